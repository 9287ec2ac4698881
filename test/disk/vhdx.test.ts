import { createHash } from "node:crypto";
import { copyFile, open, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { viewOf } from "../../src/bytes/struct.js";
import type { Disk, WriteOptions } from "../../src/disk/disk.js";
import { openDisk } from "../../src/disk/registry.js";
import { vhdx } from "../../src/disk/vhdx/index.js";
import {
	FILE_FLAG,
	FileParameters,
	HEADER_OFFSETS,
	Header,
	MIB,
	REGION_TABLE_OFFSETS,
	RegionTableEntry,
	RegionTableHeader,
	sealed,
	TABLE_SIZE,
} from "../../src/disk/vhdx/layout.js";
import { writeVhdx } from "../../src/disk/vhdx/write.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { surviveMutations } from "./mutations.js";
import { fileSink, listExtents, readAll, withDisk } from "./support.js";

const folder = await temporaryFolder();
const inFolder = (name: string) => path.join(folder, name);

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** A disk in memory. */
function memoryDisk(bytes: Uint8Array, sectorSize = 512): Disk {
	return {
		...bytesSource(bytes),
		format: "raw",
		sectorSize,
		async *extents() {
			yield { at: 0, length: bytes.length, kind: "data" };
		},
	};
}

async function write(disk: Disk, name: string, options: WriteOptions = {}): Promise<string> {
	await using sink = await fileSink(inFolder(name));
	const { size } = await writeVhdx(disk, sink, options);
	await sink.commit(size);
	return inFolder(name);
}

/** Where the disk has data. */
async function dataExtents(disk: Disk): Promise<{ at: number; length: number }[]> {
	const extents = await listExtents(disk);
	return extents.filter(({ kind }) => kind === "data").map(({ at, length }) => ({ at, length }));
}

/** A copy of `file` with `change` made to it. */
async function changed(file: string, name: string, change: (bytes: Uint8Array) => void): Promise<string> {
	const bytes = await readFile(file);
	change(bytes);
	await writeFile(inFolder(name), bytes);
	return inFolder(name);
}

/** Reseals both headers and both region tables. */
function reseal(bytes: Uint8Array): void {
	for (const at of HEADER_OFFSETS) sealed(bytes.subarray(at, at + Header.size));
	for (const at of REGION_TABLE_OFFSETS) sealed(bytes.subarray(at, at + TABLE_SIZE));
}

describe.skipIf(missing("qemu-img", "qemu-io"))(`VHDX, as qemu-img makes it ${because("qemu-img", "qemu-io")}`, () => {
	const file = inFolder("made.vhdx");
	let content: string;
	let bytes: Uint8Array;

	beforeAll(async () => {
		await run("qemu-img", "create", "-q", "-f", "vhdx", "-o", "block_size=1M", file, "9M");
		const writes = ["write -P 1 0 64k", "write -P 2 3M 1M", "write -P 3 8700k 4k"];
		await run("qemu-io", "-f", "vhdx", ...writes.flatMap((command) => ["-c", command]), file);
		const raw = inFolder("made.raw");
		await run("qemu-img", "convert", "-f", "vhdx", "-O", "raw", file, raw);
		content = sha256(await readFile(raw));
		bytes = new Uint8Array(await readFile(file));
	});

	const contentOf = (image: string) => withDisk(image, async (disk) => sha256(await readAll(disk)));

	it("is read, with the blocks that are allocated as its data", async () => {
		// In memory, where no file system knows of holes inside of them.
		const disk = await openDisk(bytesSource(await readFile(file)));
		expect(disk).toMatchObject({ format: "vhdx/dynamic", size: 9 * MIB, sectorSize: 512 });
		expect(await dataExtents(disk)).toEqual([
			{ at: 0, length: MIB },
			{ at: 3 * MIB, length: MIB },
			{ at: 8 * MIB, length: MIB },
		]);
		await expect(contentOf(file)).resolves.toBe(content);
	});

	for (const [i, at] of HEADER_OFFSETS.entries()) {
		it(`is read when header ${i + 1} is torn, and region table ${i + 1} as well`, async () => {
			const torn = await changed(file, `torn-${i}.vhdx`, (bytes) => {
				bytes.fill(0xff, at + 100, at + 600);
				const table = REGION_TABLE_OFFSETS[i] ?? 0;
				bytes.fill(0xff, table + 16, table + 80);
			});
			await expect(contentOf(torn)).resolves.toBe(content);
		});
	}

	it("is damaged when both headers are, or both region tables, or a block lies outside the file", async () => {
		const targets = [HEADER_OFFSETS, REGION_TABLE_OFFSETS];
		for (const [i, offsets] of targets.entries()) {
			const torn = await changed(file, `both-${i}.vhdx`, (bytes) => {
				for (const at of offsets) bytes.fill(0xff, at + 64, at + 128);
			});
			await expect(contentOf(torn)).rejects.toMatchObject({ kind: "damaged", offset: offsets[0] });
		}
		const short = inFolder("short.vhdx");
		await copyFile(file, short);
		const handle = await open(short, "r+");
		await handle.truncate((await stat(file)).size - MIB);
		await handle.close();
		await expect(contentOf(short)).rejects.toMatchObject({ kind: "damaged" });
	});

	it("is damaged when it has a parent of which it says nothing, unsupported when it needs an unknown region", async () => {
		const parameters = Buffer.from(FileParameters.build({ blockSize: MIB, flags: 0 }));
		const child = await changed(file, "child.vhdx", (bytes) => {
			const at = Buffer.from(bytes.buffer).indexOf(parameters, MIB);
			expect(at).toBeGreaterThan(0);
			bytes.set(FileParameters.build({ blockSize: MIB, flags: FILE_FLAG.hasParent }), at);
		});
		await expect(contentOf(child)).rejects.toMatchObject({ kind: "damaged", message: /no parent locator/ });

		const foreign = await changed(file, "foreign.vhdx", (bytes) => {
			const guid = "01234567-89ab-cdef-0123-456789abcdef";
			const entry = RegionTableEntry.build({ guid, fileOffset: 4 * MIB, length: MIB, flags: 1 });
			for (const at of REGION_TABLE_OFFSETS) {
				viewOf(bytes).setUint32(at + RegionTableHeader.offsets.entryCount, 3, true);
				bytes.set(entry, at + RegionTableHeader.size + 2 * RegionTableEntry.size);
			}
			reseal(bytes);
		});
		await expect(contentOf(foreign)).rejects.toMatchObject({ kind: "unsupported", message: /01234567/ });
	});

	it("never breaks the reader, whatever is wrong with it", async () => {
		const regions = RegionTableHeader.size + 2 * RegionTableEntry.size;
		const metadata = viewOf(bytes).getUint32(REGION_TABLE_OFFSETS[0] + RegionTableHeader.size + 16, true);
		const other = viewOf(bytes).getUint32(REGION_TABLE_OFFSETS[0] + RegionTableHeader.size + 48, true);
		const { read, refused } = await surviveMutations(
			vhdx,
			bytes,
			[
				{ at: HEADER_OFFSETS[0], length: 80 },
				{ at: HEADER_OFFSETS[1], length: 80 },
				{ at: REGION_TABLE_OFFSETS[0], length: regions },
				...[metadata, other].flatMap((at) => [
					{ at, length: 256 },
					{ at: at + TABLE_SIZE, length: 64 },
				]),
			],
			reseal,
		);
		expect(read).toBeGreaterThan(0);
		expect(refused).toBeGreaterThan(0);
	});

	it("is read at the right places of a table of many pages", async () => {
		// The entries of sector bitmaps stand between those of blocks: here one of them begins a page of 64 KiB.
		const huge = inFolder("huge.vhdx");
		await run("qemu-img", "create", "-q", "-f", "vhdx", "-o", "block_size=256M", huge, "20T");
		await run("qemu-io", "-f", "vhdx", "-c", "write -P 7 17400G 4k", "-c", "write -P 8 20000G 4k", huge);
		await withDisk(huge, async (disk) => {
			// The rest of each block is a hole of the file.
			expect(await dataExtents(disk)).toEqual([17400, 20000].map((gib) => ({ at: gib * 2 ** 30, length: 4096 })));
			const sector = new Uint8Array(512);
			await disk.read(17400 * 2 ** 30, sector);
			expect(sector).toEqual(new Uint8Array(512).fill(7));
			await disk.read(20000 * 2 ** 30, sector);
			expect(sector).toEqual(new Uint8Array(512).fill(8));
		});
	});
});

describe("writing VHDX", () => {
	const content = new Uint8Array(3 * MIB);
	content.fill(0x11, 0, 5000);
	content.fill(0x22, 2 * MIB + 70_000, 2 * MIB + 80_000);

	it("takes its GUIDs from content and name: the same disk gives the same file, two empty disks do not", async () => {
		const name = async (disk: Uint8Array, name: string) => sha256(await readFile(await write(memoryDisk(disk), name)));
		const first = await name(content, "same.vhdx");
		expect(await name(content, "same.vhdx")).toBe(first);
		const empty = new Uint8Array(MIB);
		expect(await name(empty, "data1.vhdx")).not.toBe(await name(empty, "data2.vhdx"));
	});

	it("goes through the file in ascending order but for the block allocation table", async () => {
		const places: number[] = [];
		const sink = {
			name: "ordered.vhdx",
			write: (at: number) => Promise.resolve(void places.push(at)),
			commit: () => Promise.resolve(),
			[Symbol.asyncDispose]: () => Promise.resolve(),
		};
		await writeVhdx(memoryDisk(content), sink, { unitSize: MIB });
		const bat = 3 * MIB;
		const others = places.filter((at) => at !== bat);
		expect(others).toEqual([...others].sort((a, b) => a - b));
		expect(places.at(-1)).toBe(bat);
	});

	it("leaves blocks and pieces without data out", async () => {
		const file = await write(memoryDisk(content), "sparse.vhdx", { unitSize: MIB });
		expect((await stat(file)).size).toBe(6 * MIB);
		expect((await stat(file)).blocks * 512).toBeLessThan(MIB);
	});

	describe.skipIf(missing("qemu-img"))(`with other block sizes ${because("qemu-img")}`, () => {
		for (const [variant, unitSize] of [
			["dynamic", MIB],
			["dynamic", 256 * MIB],
			["fixed", 2 * MIB],
		] as const) {
			it(`${variant} with ${unitSize / MIB} MiB, which qemu-img finds clean and identical`, async () => {
				const raw = inFolder("content.raw");
				await writeFile(raw, content);
				const file = await write(memoryDisk(content), `${variant}-${unitSize}.vhdx`, { variant, unitSize });
				await expect(run("qemu-img", "compare", "-f", "raw", "-F", "vhdx", raw, file)).resolves.toMatch(/identical/);
				await expect(run("qemu-img", "check", "-f", "vhdx", file)).resolves.toMatch(/No errors/);
				const info = JSON.parse(await run("qemu-img", "info", "-f", "vhdx", "--output=json", file));
				expect(info["cluster-size"]).toBe(unitSize);
				await withDisk(file, (disk) => {
					expect(disk.format).toBe(`vhdx/${variant}`);
					return Promise.resolve();
				});
			});
		}
	});

	it.skipIf(missing("7zz"))(`keeps logical sectors of 4096 bytes, as 7zz sees them ${because("7zz")}`, async () => {
		const file = await write(memoryDisk(content, 4096), "4k.vhdx", { unitSize: MIB });
		await expect(run("7zz", "l", "-tvhdx", file)).resolves.toMatch(/LogicalSectorSize: 4096/);
		const raw = inFolder("4k.raw");
		await writeFile(raw, content);
		await run("sh", "-c", `7zz e -so -tvhdx "$1" 2>/dev/null | cmp - "$2"`, "sh", file, raw);
		await withDisk(file, async (disk) => {
			expect(disk.sectorSize).toBe(4096);
			expect(sha256(await readAll(disk))).toBe(sha256(content));
		});
	});

	it.skipIf(missing("vhdiinfo"))(`makes sectors of 4096 bytes on request ${because("vhdiinfo")}`, async () => {
		const file = await write(memoryDisk(content), "asked-4k.vhdx", { sectorSize: 4096 });
		await expect(run("vhdiinfo", file)).resolves.toMatch(/Bytes per sector\s*: 4096/);
		await withDisk(file, async (disk) => {
			expect(disk).toMatchObject({ sectorSize: 4096, size: content.length });
			expect(disk.details).toMatchObject({ logicalSectorSize: 4096, physicalSectorSize: 4096, log: "empty" });
			expect(sha256(await readAll(disk))).toBe(sha256(content));
		});
		const odd = memoryDisk(content.subarray(0, content.length - 512));
		await expect(write(odd, "odd.vhdx", { sectorSize: 4096 })).rejects.toMatchObject({
			kind: "usage",
			hint: expect.stringContaining(String(content.length)),
		});
	});

	it("takes small blocks where the table stays small, and opens a disk of 64 TiB at once", async () => {
		const sizes = [
			[100 * 2 ** 30, MIB],
			[2 ** 40, 16 * MIB],
			[64 * 2 ** 40, 32 * MIB],
		] as const;
		for (const [size, blockSize] of sizes) {
			const disk: Disk = {
				...memoryDisk(new Uint8Array()),
				size,
				read: (_, into) => Promise.resolve(void into.fill(0)),
				async *extents() {
					yield { at: 0, length: size, kind: "zero" };
				},
			};
			const file = await write(disk, "sized.vhdx");
			const started = process.cpuUsage();
			await withDisk(file, async (disk) => {
				expect(disk.details).toMatchObject({ blockSize });
				expect(await listExtents(disk)).toEqual([{ at: 0, length: size, kind: "zero" }]);
			});
			const { user, system } = process.cpuUsage(started);
			expect(user + system).toBeLessThan(1_000_000);
		}
	});

	it("has no holes in a fixed file when its space is asked for, and shares nothing there", async () => {
		const reserved: number[] = [];
		const sink = {
			name: "reserved.vhdx",
			write: () => Promise.resolve(),
			reserve: (size: number) => Promise.resolve(reserved.push(size) > 0),
			share: () => Promise.reject(new Error("shared blocks need space when they are changed")),
			commit: () => Promise.resolve(),
			[Symbol.asyncDispose]: () => Promise.resolve(),
		};
		const options = { variant: "fixed", unitSize: MIB, preallocation: "full" } as const;
		const { size } = await writeVhdx(memoryDisk(content), sink, options);
		expect(reserved).toEqual([size]);
		const filled = await write(memoryDisk(content), "filled.vhdx", options);
		expect((await stat(filled)).blocks * 512).toBeGreaterThanOrEqual(content.length);
		const dynamic = { ...options, variant: "dynamic" };
		await expect(write(memoryDisk(content), "never.vhdx", dynamic)).rejects.toMatchObject({ kind: "usage" });
	});

	it("refuses block sizes and disks that the format does not have", async () => {
		for (const unitSize of [0, 512, 3 * MIB, 512 * MIB]) {
			await expect(write(memoryDisk(content), "never.vhdx", { unitSize })).rejects.toMatchObject({ kind: "usage" });
		}
		const tooLarge = { ...memoryDisk(content), size: 65 * 2 ** 40 };
		await expect(write(tooLarge, "never.vhdx")).rejects.toMatchObject({ kind: "unsupported" });
	});
});
