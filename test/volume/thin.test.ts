import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crc32cRaw } from "../../src/bytes/checksum/index.js";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { type ByteSource, bytesSource, checkRange, readBytes } from "../../src/bytes/source.js";
import { openThin } from "../../src/volume/lvm2/thin.js";
import { because, missing, run, temporaryFolder, trials } from "../support/tools.js";
import { emptyImage } from "./images.js";

process.env["PATH"] += ":/usr/sbin:/sbin";

/** Sectors, and bytes. */
const [sectors, block] = [128, 65536];

/** The data of a pool: each block begins with its own number, counted from 1. */
const numbered: ByteSource = {
	name: "data",
	size: 2 ** 45,
	async read(at, into) {
		checkRange(numbered, at, into.length);
		into.fill(0);
		const view = new DataView(into.buffer, into.byteOffset, into.length);
		if (into.length >= 8) view.setBigUint64(0, BigInt(Math.floor(at / block) + 1));
	},
};

type Devices = ReadonlyMap<number, ReadonlyMap<number, number>>;

const xml = (
	devices: Devices,
) => `<superblock uuid="" time="3" transaction="1" version="2" data_block_size="${sectors}" nr_data_blocks="200000">
${[...devices]
	.map(
		([
			id,
			blocks,
		]) => `<device dev_id="${id}" mapped_blocks="${blocks.size}" transaction="0" creation_time="0" snap_time="0">
${[...blocks]
	.sort(([a], [b]) => a - b)
	.map(([at, to]) => `<single_mapping origin_block="${at}" data_block="${to}" time="${at % 4}"/>`)
	.join("\n")}
</device>`,
	)
	.join("\n")}
</superblock>`;

describe.skipIf(missing("thin_restore", "thin_dump"))(
	`thin pools ${because("thin_restore", "thin_dump")}`,
	async () => {
		const folder = await temporaryFolder();

		/** The metadata that thin_restore makes, which thin_dump reads as well. */
		async function restored(devices: Devices, size = 4 << 20): Promise<Uint8Array> {
			const file = await emptyImage(path.join(folder, "tmeta"), size);
			await writeFile(path.join(folder, "pool.xml"), xml(devices));
			await run("thin_restore", "-i", path.join(folder, "pool.xml"), "-o", file);
			const dumped = await run("thin_dump", file);
			for (const [id, { size: blocks }] of devices) {
				expect(dumped).toMatch(new RegExp(`dev_id="${id}" mapped_blocks="${blocks}"`));
			}
			return new Uint8Array(await readFile(file));
		}

		const open = (metadata: Uint8Array, id: number, blocks: number) =>
			openThin(
				{ metadata: bytesSource(metadata, "tmeta"), data: numbered },
				{ id, name: "thin", size: blocks * block },
			);

		/** The number of the data block behind block `at`; -1 in a hole. */
		async function blockAt(source: ByteSource, at: number): Promise<number> {
			const bytes = await readBytes(source, at * block, 8);
			return Number(new DataView(bytes.buffer).getBigUint64(0)) - 1;
		}

		it("reads any mapping", async () => {
			const blocks = fc
				.uniqueArray(fc.nat(3000), { maxLength: 400 })
				.map((list) => new Map(list.map((at, i) => [at, (i * 7919) % 200_000])));
			const devices = fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 2 ** 24 - 1 }), blocks), {
				minLength: 1,
				maxLength: 4,
				selector: ([id]) => id,
			});
			await fc.assert(
				fc.asyncProperty(devices, async (list) => {
					const pool = new Map(list);
					const metadata = await restored(pool);
					for (const [id, mapping] of pool) {
						const source = await open(metadata, id, 3001);
						for (const [at, to] of mapping) expect(await blockAt(source, at)).toBe(to);
						for (let at = 0; at < 3001; at += 13) expect(await blockAt(source, at)).toBe(mapping.get(at) ?? -1);
					}
				}),
				{ numRuns: trials(6) },
			);
		});

		it("reads deep trees and large holes, at a cost of what is looked at", async () => {
			const far = 2 ** 36 / block;
			const mapping = new Map(Array.from({ length: 60_000 }, (_, i) => [i * 3 + (i > 30_000 ? far : 0), i]));
			const metadata = await restored(new Map([[1, mapping]]), 8 << 20);
			const source = await open(metadata, 1, far * 2);
			for (const at of [0, 1, 2, 3, 89_997, 90_000, 90_001, far, far + 90_003, far + 179_997, far * 2 - 1]) {
				expect(await blockAt(source, at)).toBe(mapping.get(at) ?? -1);
			}
			const begin = performance.now();
			const hole = new Uint8Array(64 << 20).fill(1);
			await source.read(90_001 * block, hole);
			expect(hole.every((byte) => byte === 0)).toBe(true);
			expect(performance.now() - begin).toBeLessThan(3000);
		});

		it("says so where the pool does not know the volume, or is none", async () => {
			const metadata = await restored(new Map([[1, new Map([[0, 0]])]]));
			await expect(open(metadata, 2, 1)).rejects.toMatchObject({
				kind: "damaged",
				message: expect.stringContaining("volume 2"),
			});
			await expect(open(new Uint8Array(1 << 20), 1, 1)).rejects.toMatchObject({
				kind: "damaged",
				file: "tmeta",
				offset: 0,
			});
		});

		it("survives any change to the metadata, whatever its checksums say", async () => {
			const mapping = new Map(Array.from({ length: 2000 }, (_, i) => [i * 2, i]));
			const metadata = await restored(new Map([[1, mapping]]));
			const blocks = Array.from({ length: metadata.length / 4096 }, (_, i) => i).filter((i) =>
				metadata.subarray(i * 4096, i * 4096 + 4096).some((byte) => byte !== 0),
			);
			const offset = fc.oneof(fc.nat(64), fc.nat(400), fc.nat(4095));
			const change = fc.tuple(
				fc.constantFrom(...blocks),
				offset,
				fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 2, 0xff)),
			);
			await fc.assert(
				fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 8 }), fc.boolean(), async (changes, mend) => {
					const copy = metadata.slice();
					for (const [index, at, byte] of changes) copy[index * 4096 + at] = byte;
					for (const [index] of mend ? changes : [])
						mendChecksum(copy.subarray(index * 4096, index * 4096 + 4096), index);
					const begin = performance.now();
					try {
						const source = await open(copy, 1, 4000);
						for (const at of [0, 777, 3998]) await blockAt(source, at);
						await source.read(0, new Uint8Array(8 * block));
					} catch (error) {
						if (!(error instanceof AnyvisorError)) throw error;
					}
					expect(performance.now() - begin).toBeLessThan(2000);
				}),
				{ numRuns: trials(200) },
			);
		});

		it("does not follow a tree in a circle", async () => {
			const metadata = await restored(new Map([[1, new Map([[0, 0]])]]));
			const view = new DataView(metadata.buffer);
			const root = Number(view.getBigUint64(320, true));
			const node = metadata.subarray(root * 4096, root * 4096 + 4096);
			view.setUint32(root * 4096 + 4, 1, true);
			view.setBigUint64(root * 4096 + 32 + 8 * view.getUint32(root * 4096 + 20, true), BigInt(root), true);
			mendChecksum(node, root);
			await expect(open(metadata, 1, 1)).rejects.toMatchObject({
				kind: "damaged",
				message: expect.stringContaining("too deep"),
			});
		});
	},
);

function mendChecksum(bytes: Uint8Array, index: number) {
	const sum = (crc32cRaw(0xffffffff, bytes.subarray(4)) ^ (index === 0 ? 160774 : 121107)) >>> 0;
	new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, sum, true);
}
