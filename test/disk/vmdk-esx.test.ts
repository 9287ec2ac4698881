import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import type { DiskFormat, Neighbours } from "../../src/disk/disk.js";
import { vmdk } from "../../src/disk/vmdk/index.js";
import { CowdHeader, SECTOR, SeSparseHeader } from "../../src/disk/vmdk/layout.js";
import { because, corpus, corpusReason, missing, run, temporaryFolder } from "../support/tools.js";
import { surviveMutations } from "./mutations.js";
import { listExtents, readAll, withDisk } from "./support.js";
import { cowd, describing, type Grain, SE_GRAIN, seSparse } from "./vmdk-esx.js";

const MIB = 1024 * 1024;
const folder = await temporaryFolder();
const inFolder = (name: string) => path.join(folder, name);
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

const filled = (length: number, value: number) => new Uint8Array(length).fill(value);

/** What qemu-img reads from `file`. */
async function judged(file: string): Promise<Uint8Array> {
	const raw = inFolder("judged.raw");
	await run("qemu-img", "convert", "-f", "vmdk", "-O", "raw", file, raw);
	return readFile(raw);
}

const SECTORS = 9000;
/** Grains by their number, and in which order they lie in the file. */
const layouts = (grainSize: number, kinds: readonly Grain[]) =>
	fc
		.array(
			fc.record({
				grain: fc.nat(Math.ceil((SECTORS * SECTOR) / grainSize) - 1),
				kind: fc.oneof(fc.integer({ min: 1, max: 255 }), fc.constantFrom(...kinds)),
			}),
			{ minLength: 1, maxLength: 40 },
		)
		.map((chosen) => {
			const grains: Grain[] = [];
			for (const { grain, kind } of chosen) grains[grain] = typeof kind === "number" ? filled(grainSize, kind) : kind;
			return { grains: Array.from(grains), order: chosen.map(({ grain }) => grain) };
		});

const once = (order: readonly number[]) => [...new Set(order)];

describe.skipIf(missing("qemu-img"))(`ESX's sparse extents ${because("qemu-img")}`, () => {
	/** A snapshot over `base.vmdk`, in an extent of the given bytes, is what qemu-img reads. */
	async function expectAsJudged(createType: string, line: string, extent: Uint8Array): Promise<void> {
		await writeFile(inFolder("base-flat.vmdk"), filled(SECTORS * SECTOR, 0xaa));
		const base = describing("vmfs", [`RW ${SECTORS} VMFS "base-flat.vmdk"`]);
		await writeFile(inFolder("base.vmdk"), base);
		await writeFile(inFolder("delta.bin"), extent);
		const file = inFolder("child.vmdk");
		const parent = { cid: "0badf00d", name: "base.vmdk" };
		await writeFile(file, describing(createType, [`RW ${SECTORS} ${line} "delta.bin"`], parent));
		await withDisk(file, async (disk) => {
			expect(disk.format).toBe(`vmdk/${createType}`);
			expect(Buffer.compare(await readAll(disk), await judged(file))).toBe(0);
			let next = 0;
			for (const { at, length } of await listExtents(disk)) {
				expect(at).toBe(next);
				next += length;
			}
			expect(next).toBe(SECTORS * SECTOR);
		});
	}

	it("COWD over its parent is what qemu-img reads, however its grains lie", async () => {
		await fc.assert(
			fc.asyncProperty(layouts(SECTOR, [undefined]), async ({ grains, order }) => {
				const data = grains.map((grain) => (grain instanceof Uint8Array ? grain : undefined));
				await expectAsJudged("vmfsSparse", "VMFSSPARSE", cowd(SECTORS, 1, data, once(order)));
			}),
			{ numRuns: 20 },
		);
	});

	it("seSparse over its parent is what qemu-img reads, however its grains lie", async () => {
		await fc.assert(
			fc.asyncProperty(layouts(SE_GRAIN, ["zero", "unmapped", undefined]), async ({ grains, order }) => {
				await expectAsJudged("seSparse", "SESPARSE", seSparse(SECTORS, grains, once(order)));
			}),
			{ numRuns: 20 },
		);
	});

	it("tells how it is kept", async () => {
		await writeFile(inFolder("delta.bin"), seSparse(SECTORS, [filled(SE_GRAIN, 1)]));
		const file = inFolder("alone.vmdk");
		await writeFile(file, describing("seSparse", [`RW ${SECTORS} SESPARSE "delta.bin"`]));
		await withDisk(file, (disk) => {
			expect(disk.details).toEqual({
				createType: "seSparse",
				cid: "0badf00d",
				extents: 1,
				grainSize: 4096,
				adapterType: "lsilogic",
				hardwareVersion: "14",
			});
			return Promise.resolve();
		});
	});

	it("refuses an extent that is smaller than its descriptor says, or that is something else", async () => {
		const file = inFolder("wrong.vmdk");
		await writeFile(inFolder("small.bin"), cowd(100, 1, []));
		await writeFile(file, describing("vmfsSparse", ['RW 101 VMFSSPARSE "small.bin"']));
		await expect(withDisk(file, readAll)).rejects.toMatchObject({ kind: "damaged", message: /51200 bytes/ });
		await writeFile(inFolder("small.bin"), filled(51200, 1));
		await expect(withDisk(file, readAll)).rejects.toMatchObject({ kind: "damaged", message: /not the sparse extent/ });
	});
});

const alone: Neighbours = {
	open: (name) => Promise.reject(new Error(`${name} was opened`)),
	openDisk: (name) => Promise.reject(new Error(`${name} was opened`)),
};

describe("ESX's sparse extents", () => {
	/** The format with an extent behind a descriptor, so that mutations strike the extent. */
	const behind = (line: string): Pick<DiskFormat, "open"> => ({
		open: (source) =>
			vmdk.open(bytesSource(new TextEncoder().encode(describing("vmfsSparse", [line])), "descriptor"), {
				open: () => Promise.resolve(source),
				openDisk: (name) => alone.openDisk(name),
			}),
	});

	const changed = async (extent: Uint8Array, at: number, value: number, line: string) => {
		const bytes = extent.slice();
		new DataView(bytes.buffer).setUint32(at, value, true);
		const disk = await behind(line).open(bytesSource(bytes, "extent"), alone);
		return readAll(disk);
	};
	const cowdLine = 'RW 4096 VMFSSPARSE "extent"';
	const seLine = 'RW 4096 SESPARSE "extent"';
	const cowdExtent = cowd(4096, 1, [filled(SECTOR, 1), undefined, filled(SECTOR, 2)]);
	const seExtent = seSparse(4096, [filled(SE_GRAIN, 1), "zero", undefined, filled(SE_GRAIN, 3)]);
	const wrong: readonly [string, Uint8Array, number, number, string, { kind: string; message: RegExp }][] = [
		["COWD's version", cowdExtent, 4, 3, cowdLine, { kind: "unsupported", message: /version 3/ }],
		[
			"COWD's grains",
			cowdExtent,
			CowdHeader.offsets.grainSize,
			0,
			cowdLine,
			{ kind: "damaged", message: /grains of 0/ },
		],
		[
			"COWD's directory",
			cowdExtent,
			CowdHeader.offsets.numGDEntries,
			0,
			cowdLine,
			{ kind: "damaged", message: /too few/ },
		],
		["seSparse's version", seExtent, 8, 2, seLine, { kind: "unsupported", message: /not known/ }],
		[
			"seSparse's grains",
			seExtent,
			SeSparseHeader.offsets.grainSize,
			16,
			seLine,
			{ kind: "unsupported", message: /not known/ },
		],
		["seSparse's journal", seExtent, SECTOR + 24, 1, seLine, { kind: "unsupported", message: /journal/ }],
		["seSparse's second header", seExtent, SECTOR, 1, seLine, { kind: "damaged", message: /second part/ }],
		["a directory entry", seExtent, 8 * SECTOR + 4, 0x2000_0000, seLine, { kind: "damaged", message: /no meaning/ }],
	];
	for (const [what, extent, at, value, line, failure] of wrong) {
		it(`${what}, wrong, is ${failure.kind}`, async () => {
			await expect(changed(extent, at, value, line)).rejects.toMatchObject(failure);
		});
	}

	it("never break the reader, whatever is wrong with them", async () => {
		for (const [extent, line, targets] of [
			[
				cowdExtent,
				cowdLine,
				[
					{ at: 0, length: 64 },
					{ at: 4 * SECTOR, length: 24 * SECTOR },
				],
			],
			[
				seExtent,
				seLine,
				[
					{ at: 0, length: 208 },
					{ at: SECTOR, length: 32 },
					{ at: 8 * SECTOR, length: 2 * SECTOR },
				],
			],
		] as const) {
			const outcome = await surviveMutations({ ...vmdk, ...behind(line) }, extent, targets);
			expect(outcome.read).toBeGreaterThan(0);
			expect(outcome.refused).toBeGreaterThan(0);
		}
	});

	it("are opened, listed and read at once, whatever their size", async () => {
		const size = 62 * 2 ** 40;
		const extent = seSparse(size / SECTOR, [undefined, filled(SE_GRAIN, 7)]);
		// The last entry of the directory, 31 MiB long, has the first one's table.
		const entries = size / (4096 * SE_GRAIN);
		extent.copyWithin(8 * SECTOR + (entries - 1) * 8, 8 * SECTOR, 8 * SECTOR + 8);
		const started = process.cpuUsage();
		const disk = await behind(`RW ${size / SECTOR} SESPARSE "extent"`).open(bytesSource(extent, "extent"), alone);
		const second = size - 4096 * SE_GRAIN + SE_GRAIN;
		const extents = await listExtents(disk);
		expect(extents.map(({ at, length, kind }) => [at, length, kind])).toEqual([
			[0, SE_GRAIN, "zero"],
			[SE_GRAIN, SE_GRAIN, "data"],
			[2 * SE_GRAIN, second - 2 * SE_GRAIN, "zero"],
			[second, SE_GRAIN, "data"],
			[second + SE_GRAIN, size - second - SE_GRAIN, "zero"],
		]);
		const bytes = new Uint8Array(3 * SE_GRAIN);
		await disk.read(second - SE_GRAIN, bytes);
		expect(bytes).toEqual(
			Uint8Array.from({ length: 3 * SE_GRAIN }, (_, i) => (Math.floor(i / SE_GRAIN) === 1 ? 7 : 0)),
		);
		const { user, system } = process.cpuUsage(started);
		expect(user + system).toBeLessThan(1_000_000);
	});

	it.skipIf(corpus === undefined)(`a real seSparse extent holds 16 MiB of "a" ${corpusReason}`, async () => {
		const real = path.join(corpus ?? "", "fox-it+dissect.hypervisor/tests/_data/disk/vmdk/sesparse.vmdk.gz");
		await writeFile(inFolder("real-sesparse.vmdk"), gunzipSync(await readFile(real)));
		const file = inFolder("real.vmdk");
		await writeFile(file, describing("seSparse", ['RW 1048576 SESPARSE "real-sesparse.vmdk"']));
		await withDisk(file, async (disk) => {
			const extents = await listExtents(disk);
			expect(extents.map(({ at, length, kind }) => [at, length, kind])).toEqual([
				[0, 16 * MIB, "data"],
				[16 * MIB, 496 * MIB, "zero"],
			]);
			const bytes = new Uint8Array(16 * MIB);
			await disk.read(0, bytes);
			expect(sha256(bytes)).toBe(sha256(filled(16 * MIB, 0x61)));
		});
	});
});
