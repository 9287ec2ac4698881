import { copyFile, open, readFile, rename, stat, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import type { Disk, Finding, WriteOptions } from "../../src/disk/disk.js";
import { openDisk } from "../../src/disk/registry.js";
import { vdi } from "../../src/disk/vdi/index.js";
import { writeVdi } from "../../src/disk/vdi/write.js";
import { fileSink as outputFile } from "../../src/source/sink.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { surviveMutations } from "./mutations.js";
import { fileSink, listExtents, openFileCount, readAll, withDisk } from "./support.js";

const KIB = 1024;
const MIB = KIB * KIB;
/** Where VDICore.h puts the fields, from the beginning of the file. */
const AT = {
	version: 68,
	cbHeader: 72,
	type: 76,
	comment: 84,
	offBlocks: 340,
	offData: 344,
	cbDisk: 368,
	cbBlock: 376,
	cbBlockExtra: 380,
	cBlocks: 384,
	cBlocksAllocated: 388,
	uuidCreate: 392,
	uuidLinkage: 424,
} as const;
const FREE = 0xffff_ffff;
const ZERO = 0xffff_fffe;

const folder = await temporaryFolder();
const inFolder = (name: string) => path.join(folder, name);

const contentOf = (file: string) => withDisk(file, readAll);
const same = (one: Uint8Array, other: Uint8Array) => Buffer.compare(one, other) === 0;

/** Changes 32-bit fields of a file in place, by their offsets. */
async function patch(file: string, fields: Readonly<Record<number, number>>): Promise<void> {
	const handle = await open(file, "r+");
	for (const [at, value] of Object.entries(fields)) {
		const bytes = Buffer.alloc(4);
		bytes.writeUInt32LE(value);
		await handle.write(bytes, 0, 4, Number(at));
	}
	await handle.close();
}

/** The UUID as VirtualBox prints it: the first three groups are little-endian. */
async function uuidOf(file: string): Promise<string> {
	const bytes = (await readFile(file)).subarray(AT.uuidCreate, AT.uuidCreate + 16);
	const group = (from: number, to: number) => bytes.subarray(from, to).toString("hex");
	const swapped = (from: number, to: number) => Buffer.from(bytes.subarray(from, to)).reverse().toString("hex");
	return [swapped(0, 4), swapped(4, 6), swapped(6, 8), group(8, 10), group(10, 16)].join("-");
}

/** Makes `child` continue `parent`, as a snapshot does. */
async function link(child: string, parent: string): Promise<void> {
	await patch(child, { [AT.type]: 4 });
	const uuid = (await readFile(parent)).subarray(AT.uuidCreate, AT.uuidCreate + 16);
	const handle = await open(child, "r+");
	await handle.write(uuid, 0, 16, AT.uuidLinkage);
	await handle.close();
}

const qemuIo = (file: string, ...writes: string[]) =>
	run("qemu-io", "-f", "vdi", ...writes.flatMap((write) => ["-c", `write ${write}`]), file);

async function findings(file: string): Promise<Finding[]> {
	const found: Finding[] = [];
	const source = bytesSource(await readFile(file), file);
	const none = () => Promise.reject(new Error("the check of a VDI needs no other file"));
	for await (const finding of vdi.check?.(source, { open: none, openDisk: none }) ?? []) found.push(finding);
	return found;
}

describe.skipIf(missing("qemu-img", "qemu-io"))(`VDI, as qemu-img makes it ${because("qemu-img", "qemu-io")}`, () => {
	const base = inFolder("base.vdi");
	let baseContent: Uint8Array;

	async function asQemuReadsIt(file: string): Promise<Uint8Array> {
		const raw = inFolder("judged.raw");
		await run("qemu-img", "convert", "-f", "vdi", "-O", "raw", file, raw);
		return readFile(raw);
	}

	beforeAll(async () => {
		await run("qemu-img", "create", "-q", "-f", "vdi", base, "8M");
		await qemuIo(base, "-P 1 0 64k", "-P 2 3M 2M", "-P 3 7900k 4k");
		baseContent = await asQemuReadsIt(base);
	});

	it("has the content that QEMU reads, and says where it lies", async () => {
		await withDisk(base, async (disk) => {
			expect(same(await readAll(disk), baseContent)).toBe(true);
			expect(disk.format).toBe("vdi/dynamic");
			expect(disk.details).toEqual({
				blockSize: MIB,
				blocksAllocated: 4,
				uuid: await uuidOf(base),
				creator: "QEMU VM Virtual",
			});
			const extents = await listExtents(disk);
			expect(extents.map(({ at, length, kind }) => [at / MIB, length / MIB, kind])).toEqual([
				[0, 1, "data"],
				[1, 2, "zero"],
				[3, 2, "data"],
				[5, 2, "zero"],
				[7, 1, "data"],
			]);
			const bytes = await readFile(base);
			for (const { at, length, stored } of extents) {
				if (stored === undefined) continue;
				expect(same(bytes.subarray(stored.at, stored.at + length), baseContent.subarray(at, at + length))).toBe(true);
			}
		});
		expect(await findings(base)).toEqual([]);
	});

	describe("as a differencing image", () => {
		const child = inFolder("child.vdi");
		let parent: string;

		beforeAll(async () => {
			await run("qemu-img", "create", "-q", "-f", "vdi", child, "8M");
			await qemuIo(child, "-P 9 4M 1M", "-P 8 6M 512k");
			await link(child, base);
			// Block 7 of the disk, in the map behind the header.
			await patch(child, { [512 + 7 * 4]: ZERO });
			parent = inFolder(`{${await uuidOf(base)}}.vdi`);
			await copyFile(base, parent);
		});

		it("is read together with its parent", async () => {
			const expected = Uint8Array.from(baseContent);
			expected.fill(9, 4 * MIB, 5 * MIB);
			expected.fill(8, 6 * MIB, 6.5 * MIB).fill(0, 6.5 * MIB, 8 * MIB);
			await withDisk(child, async (disk) => {
				expect(disk.format).toBe("vdi/differencing");
				expect(disk.details).toMatchObject({ parentUuid: await uuidOf(base) });
				expect(same(await readAll(disk), expected)).toBe(true);
				const files = (await listExtents(disk)).map(({ at, kind, stored }) => [
					at / MIB,
					kind === "data" ? path.basename(stored?.source.name ?? "") : kind,
				]);
				expect(files).toEqual([
					[0, path.basename(parent)],
					[1, "zero"],
					[3, path.basename(parent)],
					[4, "child.vdi"],
					[5, "zero"],
					[6, "child.vdi"],
					[7, "zero"],
				]);
			});
		});

		it("may continue another one", async () => {
			const middle = inFolder(`{${await uuidOf(child)}}.vdi`);
			const top = inFolder("top.vdi");
			await copyFile(child, middle);
			await run("qemu-img", "create", "-q", "-f", "vdi", top, "8M");
			await qemuIo(top, "-P 7 0 1M");
			await link(top, middle);
			const content = await contentOf(top);
			expect([content[0], content[3 * MIB], content[4 * MIB], content[6 * MIB], content[7 * MIB]]).toEqual([
				7, 2, 9, 8, 0,
			]);
		});

		it("says which disk it lacks, and what VirtualBox calls it", async () => {
			const away = inFolder("away.vdi");
			const uuid = await uuidOf(base);
			await rename(parent, away);
			await expect(contentOf(child)).rejects.toMatchObject({
				kind: "not-found",
				message: expect.stringContaining(path.basename(parent)),
				hint: expect.stringContaining(`showmediuminfo ${uuid}`),
			});
			await rename(away, parent);
		});

		it("takes no other disk for its parent", async () => {
			const other = inFolder("other.vdi");
			await run("qemu-img", "create", "-q", "-f", "vdi", other, "8M");
			const name = inFolder("astray.vdi");
			await copyFile(child, name);
			const handle = await open(name, "r+");
			await handle.write(Buffer.alloc(16, 0x11), 0, 16, AT.uuidLinkage);
			await handle.close();
			const alleged = inFolder("{11111111-1111-1111-1111-111111111111}.vdi");
			await rename(other, alleged);
			await expect(contentOf(name)).rejects.toMatchObject({ kind: "damaged", file: alleged });
		});

		it("that continues itself is refused", async () => {
			const circle = inFolder("circle.vdi");
			await copyFile(child, circle);
			await link(circle, circle);
			const name = inFolder(`{${await uuidOf(circle)}}.vdi`);
			await copyFile(circle, name);
			await expect(contentOf(name)).rejects.toMatchObject({ kind: "refused" });
		});

		it("leaves no file open", () => {
			expect(openFileCount()).toBe(0);
		});
	});

	it("is refused by name where its version or kind is another", async () => {
		const file = inFolder("other-kind.vdi");
		for (const [field, value, message] of [
			[AT.version, 0x0000_0001, /version 0\.1 /],
			[AT.version, 0x0001_0002, /version 1\.2 /],
			[AT.type, 3, /undo image/],
			[AT.type, 9, /of type 9/],
		] as const) {
			await copyFile(base, file);
			await patch(file, { [field]: value });
			await expect(contentOf(file), String(message)).rejects.toMatchObject({
				kind: "unsupported",
				message: expect.stringMatching(message),
				hint: expect.any(String),
				offset: field,
			});
		}
	});

	it("is damaged where its header contradicts itself or the file", async () => {
		const file = inFolder("contradiction.vdi");
		for (const [field, value] of [
			[AT.cbHeader, 100],
			[AT.cbBlock, 0],
			[AT.cbBlock, MIB + 512],
			[AT.cBlocks, 7],
			[AT.cBlocks, 0xffff_fff0],
			[AT.offBlocks, 16],
			[AT.offData, 512],
			[512, 5],
			[512, 0x8000_0000],
		] as const) {
			await copyFile(base, file);
			await patch(file, { [field]: value });
			const error = await contentOf(file).catch((error: unknown) => error);
			expect(error, `${value} at ${field}`).toMatchObject({ kind: "damaged", offset: expect.any(Number) });
		}
	});

	describe("when it is checked", () => {
		const file = inFolder("checked.vdi");

		async function checked(fields: Readonly<Record<number, number>>) {
			await copyFile(base, file);
			await patch(file, fields);
			// What it says of the same image is beside the point: it must find fault as well.
			const judge = run("qemu-img", "check", "-f", "vdi", file);
			await expect(judge).rejects.toMatchObject({ code: expect.any(Number) });
			return findings(file);
		}

		it("tells that VirtualBox would write over blocks which the header does not count", async () => {
			expect(await checked({ [AT.cBlocksAllocated]: 2 })).toEqual([
				{
					severity: "error",
					message: expect.stringMatching(/4 blocks .* counts 2/),
					file,
					offset: AT.cBlocksAllocated,
				},
			]);
		});

		it("tells of space that nothing uses", async () => {
			expect(await checked({ [512]: FREE })).toEqual([
				{ severity: "leak", message: expect.stringContaining("1 of 4"), file, offset: AT.cBlocksAllocated },
			]);
		});

		it("tells of every block that is not in the file", async () => {
			const found = await checked({ [512]: 1000, [512 + 12]: 0x1234_5678 });
			expect(found).toMatchObject([
				{ severity: "error", offset: 512 },
				{ severity: "error", offset: 512 + 12 },
				{ severity: "leak" },
			]);
		});
	});

	it("survives damage to its header and its map", async () => {
		const image = await readFile(base);
		const targets = [
			{ at: 64, length: 24 },
			{ at: 340, length: 52 },
			{ at: 512, length: 32 },
		];
		const outcomes = await surviveMutations(vdi, image, targets);
		expect(outcomes.read).toBeGreaterThan(0);
		expect(outcomes.refused).toBeGreaterThan(0);
	});
});

describe("VDI of any layout", () => {
	/** A block of the disk: where it lies in the data area, or how it is missing. */
	const entry = fc.oneof(fc.constant("place" as const), fc.constant(FREE), fc.constant(ZERO));

	it("reads as its map says", async () => {
		const layout = fc.record({
			blockSize: fc.constantFrom(4 * KIB, 16 * KIB, 64 * KIB),
			extra: fc.constantFrom(0, 512, 4096),
			entries: fc.array(entry, { minLength: 1, maxLength: 40 }),
			offBlocks: fc.constantFrom(456, 512, 4096),
			cut: fc.nat(7),
			seed: fc.nat(),
		});
		const window = fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }));
		const property = fc.asyncProperty(layout, fc.array(window, { maxLength: 8 }), async (layout, windows) => {
			const { image, content } = build(layout);
			const disk = await openDisk(bytesSource(image, "built.vdi"));
			expect(disk.size).toBe(content.length);
			for (const [a, b] of [[0, 1] as const, ...windows]) {
				const [from, to] = [Math.floor(Math.min(a, b) * content.length), Math.floor(Math.max(a, b) * content.length)];
				const bytes = new Uint8Array(to - from).fill(0xee);
				await disk.read(from, bytes);
				expect(same(bytes, content.subarray(from, to))).toBe(true);
			}
			let next = 0;
			for (const { at, length, kind, stored } of await listExtents(disk)) {
				expect(at).toBe(next);
				next += length;
				const stands =
					kind === "zero" ? new Uint8Array(length) : image.subarray(stored?.at, (stored?.at ?? 0) + length);
				expect(same(stands, content.subarray(at, next))).toBe(true);
			}
			expect(next).toBe(content.length);
		});
		await fc.assert(property, { numRuns: 100 });
	});

	function build(layout: {
		readonly blockSize: number;
		readonly extra: number;
		readonly entries: readonly ("place" | number)[];
		readonly offBlocks: number;
		/** Sectors that the last block has too many. */
		readonly cut: number;
		readonly seed: number;
	}) {
		const { blockSize, extra, entries, offBlocks, cut, seed } = layout;
		const placed = entries.flatMap((entry, block) => (entry === "place" ? [block] : []));
		// Each place once, in an order of its own.
		const order = placed.toSorted((a, b) => ((a * 7919 + seed) % 101) - ((b * 7919 + seed) % 101) || a - b);
		const offData = 8 * KIB;
		const image = Buffer.alloc(offData + order.length * (extra + blockSize), 0xdd);
		image.fill(0, 0, offData);
		image.writeUInt32LE(0xbeda107f, 64);
		image.writeUInt32LE(0x0001_0001, AT.version);
		for (const [field, value] of [
			[AT.cbHeader, 0x180],
			[AT.type, 1],
			[AT.offBlocks, offBlocks],
			[AT.offData, offData],
			[AT.cbDisk, entries.length * blockSize - cut * 512],
			[AT.cbBlock, blockSize],
			[AT.cbBlockExtra, extra],
			[AT.cBlocks, entries.length],
			[AT.cBlocksAllocated, order.length],
		] as const) {
			image.writeUInt32LE(value, field);
		}
		const content = new Uint8Array(entries.length * blockSize);
		for (const [block, entry] of entries.entries()) {
			const place = entry === "place" ? order.indexOf(block) : entry;
			image.writeUInt32LE(place, offBlocks + block * 4);
			if (entry !== "place") continue;
			const data = content.subarray(block * blockSize, (block + 1) * blockSize);
			data.forEach((_, i) => (data[i] = (block * 31 + i * 7 + Math.floor(i / 255) + 1) % 256));
			image.set(data, offData + place * (extra + blockSize) + extra);
		}
		return { image: new Uint8Array(image), content: content.subarray(0, content.length - cut * 512) };
	}
});

/** A disk in memory. */
const memoryDisk = (bytes: Uint8Array): Disk => ({
	...bytesSource(bytes),
	format: "raw",
	sectorSize: 512,
	async *extents() {
		yield { at: 0, length: bytes.length, kind: "data" };
	},
});

async function write(disk: Disk, name: string, options: WriteOptions = {}): Promise<string> {
	await using sink = await fileSink(inFolder(name));
	const { size } = await writeVdi(disk, sink, options);
	await sink.commit(size);
	return inFolder(name);
}

describe("VDI, as Anyvisor writes it", () => {
	const content = new Uint8Array(9 * MIB + 512);
	content
		.fill(1, 0, 100)
		.fill(2, 4 * MIB, 5 * MIB)
		.fill(3, 9 * MIB);

	it("has whole blocks at whole MiB, so that they can be shared", async () => {
		for (const [variant, size] of [
			["dynamic", 4 * MIB],
			["static", 11 * MIB],
		] as const) {
			const file = await write(memoryDisk(content), `${variant}.vdi`, { variant });
			expect((await stat(file)).size).toBe(size);
			await withDisk(file, async (disk) => {
				expect(disk.format).toBe(`vdi/${variant}`);
				expect(same(await readAll(disk), content)).toBe(true);
				for (const { stored } of await listExtents(disk)) expect((stored?.at ?? 0) % MIB).toBe(0);
			});
			expect(await findings(file)).toEqual([]);
		}
	});

	it("is the same file for the same disk and name, and another disk to VirtualBox under another name", async () => {
		const first = await readFile(await write(memoryDisk(content), "same.vdi"));
		const again = await readFile(await write(memoryDisk(content), "same.vdi"));
		expect(same(first, again)).toBe(true);
		const other = await write(memoryDisk(content), "another.vdi");
		expect(await uuidOf(other)).not.toBe(await uuidOf(inFolder("same.vdi")));
	});

	it.skipIf(missing("qemu-img"))(`is what QEMU reads, whatever the disk ${because("qemu-img")}`, async () => {
		const extent = fc.record({
			at: fc.nat(20 * MIB),
			length: fc.integer({ min: 1, max: 2 * MIB }),
			value: fc.nat(255),
		});
		const property = fc.asyncProperty(
			fc.array(extent, { maxLength: 6 }),
			fc.integer({ min: 1, max: 40_000 }),
			fc.constantFrom("dynamic", "static"),
			async (extents, sectors, variant) => {
				const bytes = new Uint8Array(sectors * 512);
				for (const { at, length, value } of extents) bytes.fill(value, at, at + length);
				const raw = inFolder("random.raw");
				await writeFile(raw, bytes);
				const file = await write(memoryDisk(bytes), "random.vdi", { variant });
				const identical = run("qemu-img", "compare", "-f", "raw", "-F", "vdi", raw, file);
				await expect(identical).resolves.toContain("identical");
				await expect(run("qemu-img", "check", "-f", "vdi", file)).resolves.toContain("No errors");
			},
		);
		await fc.assert(property, { numRuns: 12 });
	});

	it("has no holes when its space is asked for, with and without the file system's help", async () => {
		const options: WriteOptions = { variant: "static", preallocation: "full" };
		const filled = await write(memoryDisk(content), "filled.vdi", options);
		const reserved = inFolder("reserved.vdi");
		{
			await using sink = await outputFile(reserved);
			const { size } = await writeVdi(memoryDisk(content), sink, options);
			await sink.commit(size);
		}
		for (const file of [filled, reserved]) {
			const { blocks } = await stat(file);
			expect(blocks * 512, file).toBeGreaterThanOrEqual(10 * MIB);
			expect(same(await contentOf(file), content)).toBe(true);
		}
	});

	it("is refused what VDI does not have", async () => {
		for (const options of [{ unitSize: 2 * MIB }, { preallocation: "full" }, { variant: "fixed" }] as const) {
			await expect(write(memoryDisk(content), "refused.vdi", options)).rejects.toMatchObject({ kind: "usage" });
		}
		const native = { ...memoryDisk(content.subarray(0, MIB)), sectorSize: 4096 };
		await expect(write(native, "refused.vdi")).rejects.toMatchObject({ kind: "unsupported" });
		await write(native, "asked-for.vdi", { sectorSize: 512 });
		const huge = { ...memoryDisk(new Uint8Array()), size: 2 ** 50 };
		await expect(write(huge, "refused.vdi")).rejects.toMatchObject({ kind: "unsupported" });
	});

	it.skipIf(missing("qemu-img"))(`of an odd size has its last sector whole ${because("qemu-img")}`, async () => {
		const odd = content.subarray(0, MIB + 512);
		const file = await write(memoryDisk(odd), "odd.vdi");
		await patch(file, { [AT.cbDisk]: odd.length - 100 });
		expect(same(await contentOf(file), odd)).toBe(true);
		const { "virtual-size": size } = JSON.parse(await run("qemu-img", "info", "--output=json", file)) as Record<
			string,
			unknown
		>;
		expect(size).toBe(odd.length);
	});

	it("whose blocks lie over each other does not make a disk without end of a small file", async () => {
		const file = await write(memoryDisk(content.slice(0, 3 * MIB).fill(1)), "folded.vdi");
		await patch(file, { 512: 0, 516: 0, 520: 0 });
		const { size } = await stat(file);
		await truncate(file, size - 2 * MIB);
		await expect(contentOf(file)).rejects.toMatchObject({ kind: "damaged" });
	});

	it.skipIf(missing("file"))(`bears the marks of the format ${because("file")}`, async () => {
		const file = await write(memoryDisk(content), "marks.vdi");
		await expect(run("file", "-b", file)).resolves.toMatch(/VirtualBox Disk Image, major 1, minor 1.*9437696 bytes/);
	});
});
