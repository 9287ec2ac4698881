import { copyFile, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import type { Finding } from "../../src/disk/disk.js";
import { confinedNeighbours } from "../../src/disk/neighbours.js";
import { vmdk } from "../../src/disk/vmdk/index.js";
import { ENTRIES_PER_TABLE, FLAG, SECTOR, SparseExtentHeader } from "../../src/disk/vmdk/layout.js";
import { SPARSE_MAGIC } from "../../src/disk/vmdk/mark.js";
import { openFile } from "../../src/source/file.js";
import { folderNeighbours } from "../../src/source/neighbours.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { listExtents } from "./support.js";
import { cowd, describing, seSparse } from "./vmdk-esx.js";

const MIB = 1024 * 1024;
const folder = await temporaryFolder();
const inFolder = (name: string) => path.join(folder, name);

let opened = 0;

async function findings(file: string): Promise<Finding[]> {
	const found: Finding[] = [];
	await using source = await openFile(file);
	const open = folderNeighbours(path.dirname(file));
	const neighbours = confinedNeighbours(async (name) => {
		const neighbour = await open(name);
		opened++;
		return {
			...neighbour,
			async [Symbol.asyncDispose]() {
				opened--;
				await neighbour[Symbol.asyncDispose]?.();
			},
		};
	});
	for await (const finding of vmdk.check?.(source, neighbours) ?? []) found.push(finding);
	return found;
}

const SUBFORMATS = [
	"monolithicSparse",
	"streamOptimized",
	"monolithicFlat",
	"twoGbMaxExtentSparse",
	"twoGbMaxExtentFlat",
] as const;

it("checks and lists an empty VMDK of 62 TiB at once", async () => {
	const capacity = (62 * 2 ** 40) / SECTOR;
	const directory = (capacity / 128 / ENTRIES_PER_TABLE) * 4;
	const bytes = new Uint8Array(3 * SECTOR + 2 * directory);
	const header = {
		magicNumber: SPARSE_MAGIC,
		version: 1,
		flags: FLAG.redundantGrainTable,
		capacity,
		grainSize: 128,
		descriptorOffset: 1,
		descriptorSize: 2,
		numGTEsPerGT: ENTRIES_PER_TABLE,
		rgdOffset: 3n,
		gdOffset: BigInt(3 + directory / SECTOR),
	};
	bytes.set(SparseExtentHeader.build(header));
	bytes.set(new TextEncoder().encode(describing("monolithicSparse", [`RW ${capacity} SPARSE "x"`])), SECTOR);
	const source = bytesSource(bytes);
	const nobody = confinedNeighbours((name) => Promise.reject(new Error(`${name} was opened`)));
	const started = process.cpuUsage();
	for await (const finding of vmdk.check?.(source, nobody) ?? []) expect(finding).toBeUndefined();
	const disk = await vmdk.open(source, nobody);
	expect(await listExtents(disk)).toEqual([{ at: 0, length: capacity * SECTOR, kind: "zero" }]);
	const { user, system } = process.cpuUsage(started);
	expect(user + system).toBeLessThan(1_000_000);
});

describe.skipIf(missing("qemu-img"))(`checking VMDK ${because("qemu-img")}`, () => {
	const made = (subformat: (typeof SUBFORMATS)[number]) => inFolder(`${subformat}.vmdk`);

	beforeAll(async () => {
		const raw = inFolder("content.raw");
		const content = new Uint8Array(70 * MIB);
		for (let i = 0; i < 300_000; i++) content[i] = (i * i) >>> 7;
		content.fill(5, 40 * MIB, 41 * MIB);
		content.fill(6, 69 * MIB);
		await writeFile(raw, content);
		for (const subformat of SUBFORMATS) {
			const options = ["-f", "raw", "-O", "vmdk", "-o", `subformat=${subformat}`];
			await run("qemu-img", "convert", ...options, raw, made(subformat));
		}
	});

	for (const subformat of SUBFORMATS) {
		it(`finds nothing wrong with ${subformat}`, async () => {
			expect(await findings(made(subformat))).toEqual([]);
		});
	}

	it("finds nothing wrong with a snapshot", async () => {
		const child = inFolder("child.vmdk");
		await run("qemu-img", "create", "-q", "-f", "vmdk", "-F", "vmdk", "-b", "monolithicSparse.vmdk", child);
		expect(await findings(child)).toEqual([]);
	});

	it("finds nothing wrong with ESX's extents, and grains of theirs that lie on tables", async () => {
		const grain = new Uint8Array(4096).fill(1);
		const file = inFolder("esx.vmdk");
		await writeFile(file, describing("seSparse", ['RW 9000 SESPARSE "esx.bin"']));
		for (const extent of [cowd(9000, 8, [grain, undefined, grain]), seSparse(9000, [grain, "zero", grain])]) {
			await writeFile(inFolder("esx.bin"), extent);
			expect(await findings(file)).toEqual([]);
		}
		const wrong = cowd(9000, 8, [grain]);
		const table = new DataView(wrong.buffer).getUint32(4 * SECTOR, true);
		new DataView(wrong.buffer).setUint32(table * SECTOR, table, true);
		await writeFile(inFolder("esx.bin"), wrong);
		const [finding, ...others] = await findings(file);
		expect(others).toEqual([]);
		expect(finding).toMatchObject({
			severity: "error",
			message: /byte 0 of the disk lie where/,
			offset: table * SECTOR,
		});
	});

	const { offsets } = SparseExtentHeader;
	/** Entry `index` of the grain directory, as a sector. */
	const tableOf = (bytes: Buffer, index: number) =>
		bytes.readUInt32LE(Number(SparseExtentHeader.parse(bytes).gdOffset) * SECTOR + index * 4);

	const wrong: Readonly<
		Record<string, readonly [(typeof SUBFORMATS)[number], Finding["severity"], RegExp, (bytes: Buffer) => void]>
	> = {
		"that it was not closed": [
			"monolithicSparse",
			"warning",
			/not closed/,
			(bytes) => bytes.writeUInt8(1, offsets.uncleanShutdown),
		],
		"grain tables that differ from their copies": [
			"monolithicSparse",
			"error",
			/1 of its grain tables, first that for byte 33554432/,
			(bytes) => bytes.writeUInt32LE(0, tableOf(bytes, 1) * SECTOR + 4 * ((8 * MIB) / 65536)),
		],
		"redundant tables that are not in the file": [
			"monolithicSparse",
			"warning",
			/redundant grain tables cannot be read/,
			(bytes) => bytes.writeBigUInt64LE(0xffff_ffffn, offsets.rgdOffset),
		],
		"a grain on top of the descriptor": [
			"monolithicSparse",
			"error",
			/byte 0 of the disk lie where/,
			(bytes) => {
				bytes.writeUInt32LE(bytes.readUInt32LE(offsets.flags) & ~2, offsets.flags);
				bytes.writeUInt32LE(1, tableOf(bytes, 0) * SECTOR);
			},
		],
		"a grain table that is used twice": [
			"monolithicSparse",
			"error",
			/on top of each other/,
			(bytes) => {
				bytes.writeUInt32LE(bytes.readUInt32LE(offsets.flags) & ~2, offsets.flags);
				bytes.writeUInt32LE(tableOf(bytes, 0), Number(SparseExtentHeader.parse(bytes).gdOffset) * SECTOR + 4);
			},
		],
		"a descriptor that says another size": [
			"monolithicSparse",
			"warning",
			/its descriptor says 73399808 bytes, its header 73400320/,
			(bytes) => bytes.write("RW 143359", bytes.indexOf("RW 143360")),
		],
		"a compressed grain that is another one": [
			"streamOptimized",
			"error",
			/byte 0 of the disk is not where/,
			(bytes) => {
				bytes.writeUInt32LE(bytes.readUInt32LE(offsets.flags) & ~2, offsets.flags);
				const table = tableOf(bytes, 0) * SECTOR;
				bytes.writeUInt32LE(bytes.readUInt32LE(table + 4), table);
			},
		],
	};
	for (const [what, [subformat, severity, message, change]] of Object.entries(wrong)) {
		it(`finds ${what}`, async () => {
			const bytes = await readFile(made(subformat));
			change(bytes);
			const file = inFolder("changed.vmdk");
			await writeFile(file, bytes);
			expect(await findings(file)).toMatchObject([{ severity, file, message: expect.stringMatching(message) }]);
		});
	}

	it("finds data that the descriptor does not use", async () => {
		const file = inFolder("short.vmdk");
		await copyFile(inFolder("monolithicFlat-flat.vmdk"), inFolder("short-flat.vmdk"));
		await writeFile(file, describing("vmfs", ['RW 8 VMFS "short-flat.vmdk"']));
		expect(await findings(file)).toMatchObject([{ severity: "warning", message: /uses 4096/ }]);
	});

	it("leaves no file open", () => {
		expect(opened).toBe(0);
	});
});
