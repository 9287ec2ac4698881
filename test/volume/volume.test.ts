import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crc32 } from "../../src/bytes/checksum/index.js";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { bytesSource, isStore, readBytes } from "../../src/bytes/source.js";
import { GptEntry, GptHeader } from "../../src/volume/gpt.js";
import { BootRecord } from "../../src/volume/mbr.js";
import { readVolumes } from "../../src/volume/registry.js";
import { memoryStore } from "../filesystem/store.js";
import { because, corpus, corpusReason, missing, run, temporaryFolder } from "../support/tools.js";
import { emptyImage, feed, patched, sparseSource } from "./images.js";

const mebibyte = 1 << 20;

/** What sfdisk tells of a partition; starts and sizes in sectors. */
interface Listed {
	readonly node: string;
	readonly start: number;
	readonly size: number;
	readonly type: string;
	readonly uuid?: string;
	readonly name?: string;
	readonly attrs?: string;
	readonly bootable?: boolean;
}

const containers = ["5", "f", "85", "ee"];

async function listed(image: string): Promise<{ label: string; id: string; partitions: Listed[] }> {
	const { partitiontable } = JSON.parse(await run("sfdisk", "--json", image));
	return { partitions: [], ...partitiontable };
}

/** sfdisk's account of an image in the terms of ours. */
async function expected(image: string) {
	const { label, id, partitions } = await listed(image);
	return partitions
		.filter(({ type }) => !containers.includes(type))
		.map(({ node, start, size, type, uuid, name, attrs, bootable }) => {
			const number = Number(/\d+$/.exec(node)?.[0]);
			const isGpt = label === "gpt";
			return {
				number,
				scheme: isGpt ? "gpt" : "mbr",
				at: start * 512,
				size: size * 512,
				type: isGpt ? type.toLowerCase() : type.padStart(2, "0"),
				partUuid: isGpt ? uuid?.toLowerCase() : `${id.slice(2)}-${number.toString(16).padStart(2, "0")}`,
				label: name,
				bootable: isGpt ? (attrs ?? "").includes("LegacyBIOSBootable") : bootable === true,
			};
		});
}

async function found(image: string, sectorSize = 512) {
	const volumes = await readVolumes(bytesSource(await readFile(image), "disk.img"), sectorSize);
	return volumes.map(({ number, scheme, at, size, type, partUuid, label, bootable, source }) => {
		expect(source).toMatchObject({ name: `disk.img:p${number}`, size });
		return { number, scheme, at, size, type, partUuid, label, bootable };
	});
}

describe.skipIf(missing("sfdisk"))(`partitions as sfdisk writes them ${because("sfdisk")}`, async () => {
	const folder = await temporaryFolder();

	it.each([
		["one active primary", "label: dos\nlabel-id: 0x1234abcd\nstart=2048, size=4096, type=83, bootable\n"],
		["four primaries", "label: dos\nsize=1M, type=83\nsize=2M, type=7\nsize=1M, type=c\ntype=82\n"],
		["only logical ones", "label: dos\ntype=f\nsize=1M, type=83\nsize=1M, type=82\nsize=1M, type=7\n"],
		[
			"logical ones between primaries",
			"label: dos\nsize=2M, type=83\nsize=6M, type=5\nsize=2M, type=83\nsize=1M, type=83\nsize=1M, type=8e\n",
		],
		["a table out of order", "label: dos\nstart=8192, size=2048, type=83\nstart=2048, size=2048, type=7\n"],
		[
			"GPT with names and attributes",
			'label: gpt\nsize=1M, type=21686148-6449-6E6F-744E-656564454649, attrs="LegacyBIOSBootable"\nsize=2M, type=uefi, name="EFI system"\nsize=3M, name="kořen – 日本"\n',
		],
		["GPT with gaps in its numbers", "label: gpt\n3: size=1M\n7: size=2M\n128: size=1M\n"],
		["GPT without partitions", "label: gpt\n"],
	])("MBR and GPT: %s", async (_, script) => {
		const image = await emptyImage(path.join(folder, "table.img"), 12 * mebibyte);
		await feed(script, "sfdisk", "-q", image);
		expect(await found(image)).toEqual(await expected(image));
	});

	it("follows fifty logical partitions", async () => {
		const image = await emptyImage(path.join(folder, "many.img"), 2 * mebibyte);
		await feed(`label: dos\ngrain: 512\ntype=5\n${"size=20, type=83\n".repeat(50)}`, "sfdisk", "-q", image);
		expect(await found(image)).toEqual(await expected(image));
	});

	it("reads any table of primaries and logical ones", async () => {
		const sizes = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 8 });
		await fc.assert(
			fc.asyncProperty(
				fc.constantFrom("dos", "gpt"),
				fc.integer({ min: 0, max: 3 }),
				sizes,
				async (label, first, many) => {
					const image = await emptyImage(path.join(folder, "any.img"), 4 * mebibyte);
					const lines = many.map((size) => `size=${size * 64}`);
					if (label === "dos") lines.splice(Math.min(first, lines.length), 0, "size=3600, type=5");
					await feed(`label: ${label}\ngrain: 512\n${lines.join("\n")}\n`, "sfdisk", "-q", image);
					expect(await found(image)).toEqual(await expected(image));
				},
			),
			{ numRuns: 12 },
		);
	});

	it("gives each partition its own bytes, as a store when the disk is one", async () => {
		const image = await emptyImage(path.join(folder, "bytes.img"), 8 * mebibyte);
		await feed("label: gpt\nsize=1M\nsize=1M\n", "sfdisk", "-q", image);
		const bytes = new Uint8Array(await readFile(image));
		const [, second] = await readVolumes(memoryStore(bytes), 512);
		if (second === undefined || !isStore(second.source)) throw new Error("not a store");
		await second.source.write(5, Uint8Array.of(1, 2, 3));
		expect([...bytes.subarray(second.at + 5, second.at + 8)]).toEqual([1, 2, 3]);
		expect([...(await readBytes(second.source, 4, 5))]).toEqual([0, 1, 2, 3, 0]);
		await expect(readBytes(second.source, mebibyte, 1)).rejects.toMatchObject({ kind: "damaged" });
	});
});

describe.skipIf(missing("sfdisk", "sgdisk"))(`GPT that suffered ${because("sfdisk", "sgdisk")}`, async () => {
	const folder = await temporaryFolder();
	const image = await emptyImage(path.join(folder, "gpt.img"), 8 * mebibyte);
	await run("sgdisk", "-n1:2048:+1M", "-n2:0:+2M", "-c2:root", "-A2:set:2", image);
	const bytes = new Uint8Array(await readFile(image));
	const want = await expected(image);
	const last = bytes.length - 512;
	const reading = async (source = patched(bytes)) => (await readVolumes(source, 512)).map(({ partUuid }) => partUuid);
	const uuids = want.map(({ partUuid }) => partUuid);

	it("is read as sgdisk wrote it", async () => expect(await found(image)).toEqual(want));

	it.each([
		["header", 512 + 40],
		["header's signature", 512],
		["entries", 1024 + 60],
	])("uses the backup where the primary %s is damaged", async (_, at) => {
		expect(await reading(patched(bytes, [[at, 0xff]]))).toEqual(uuids);
	});

	it("does not need the backup", async () => {
		expect(await reading(bytesSource(bytes.subarray(0, 4 * mebibyte), "cut.img"))).toEqual(uuids);
	});

	it("says what is wrong where both are damaged", async () => {
		const both = patched(bytes, [
			[512 + 40, 0xff],
			[last + 40, 0xff],
		]);
		await expect(reading(both)).rejects.toMatchObject({ kind: "damaged", file: "disk.img", offset: 512 });
	});

	it("does not take a stale table for the disk's own, when its MBR has been replaced", async () => {
		const stale = path.join(folder, "stale.img");
		await writeFile(stale, bytes);
		await feed(
			"label: dos\nlabel-id: 0xcafe0001\nstart=4096, size=2048, type=83\n",
			"sfdisk",
			"-q",
			"-w",
			"never",
			stale,
		);
		expect(await found(stale)).toMatchObject([{ scheme: "mbr", partUuid: "cafe0001-01" }]);
	});

	it("reads a hybrid table by its GPT", async () => {
		const hybrid = path.join(folder, "hybrid.img");
		await writeFile(hybrid, bytes);
		await run("sgdisk", "-h2", hybrid);
		expect(await found(hybrid)).toEqual(want);
	});

	it("says so where the protective MBR protects nothing", async () => {
		const wiped = bytes.slice();
		wiped.fill(0, 512, 1024);
		wiped.fill(0, last);
		await expect(reading(patched(wiped))).rejects.toMatchObject({ kind: "damaged" });
	});

	it("survives any change to its sectors", async () => {
		const table = bytes.subarray(0, 34 * 512);
		const change = fc.tuple(
			fc.oneof(fc.integer({ min: 446, max: 1024 + 256 }), fc.nat(table.length - 1)),
			fc.integer({ min: 0, max: 255 }),
		);
		await fc.assert(
			fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
				expect(await outcome(patched(table, changes))).toMatch(/^(read|damaged)$/);
			}),
			{ numRuns: 300 },
		);
	});
});

/** `read`, or which error it was; anything but an {@link AnyvisorError} is a bug. */
async function outcome(source: ReturnType<typeof patched>): Promise<string> {
	try {
		const volumes = await readVolumes(source, 512);
		return volumes.every(({ size, at }) => size > 0 && at >= 0) ? "read" : "empty volume";
	} catch (error) {
		if (error instanceof AnyvisorError) return error.kind;
		throw error;
	}
}

/** A GPT built here, for what the tools do not write: values out of range, other sector sizes. */
function gptDisk(
	sector: number,
	header: Partial<Parameters<typeof GptHeader.build>[0]> = {},
	entry: Partial<Parameters<typeof GptEntry.build>[0]> = {},
	size = 4 * mebibyte,
) {
	const entries = new Uint8Array(128 * 4);
	const first = {
		partitionTypeGuid: "0fc63daf-8483-4772-8e79-3d69d8477de4",
		uniquePartitionGuid: "00112233-4455-6677-8899-aabbccddeeff",
		startingLba: 64,
		endingLba: 99,
	};
	entries.set(GptEntry.build({ ...first, ...entry }));
	const values = {
		signature: "EFI PART",
		revision: 0x10000,
		headerSize: GptHeader.size,
		myLba: 1,
		partitionEntryLba: 2,
		numberOfPartitionEntries: 4,
		sizeOfPartitionEntry: 128,
		partitionEntryArrayCrc32: crc32(entries),
		...header,
	};
	const headerCrc32 = crc32(GptHeader.build(values));
	const protective = BootRecord.build({ signature: 0xaa55 });
	protective.set([0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], 446);
	return sparseSource(
		size,
		new Map([
			[0, protective],
			[sector, GptHeader.build({ ...values, headerCrc32 })],
			[2 * sector, entries],
		]),
	);
}

describe("GPT, by its specification", () => {
	it.each([
		[512, 512],
		[4096, 4096],
		[512, 4096],
		[4096, 512],
	])("a disk of %i-byte sectors with a table of %i-byte ones", async (disk, table) => {
		expect(await readVolumes(gptDisk(table), disk)).toMatchObject([
			{ number: 1, at: 64 * table, size: 36 * table, partUuid: "00112233-4455-6677-8899-aabbccddeeff" },
		]);
	});

	it.each([
		["entries without end", { numberOfPartitionEntries: 0xffffffff }, {}],
		["entries too small", { sizeOfPartitionEntry: 64 }, {}],
		["entries too large", { sizeOfPartitionEntry: 0x7fffff80 }, {}],
		["a header larger than its sector", { headerSize: 4096 }, {}],
		["a header of nothing", { headerSize: 0 }, {}],
		["a header that belongs elsewhere", { myLba: 7 }, {}],
		["entries beyond the disk", { partitionEntryLba: 2 ** 40 }, {}],
		["a partition that ends before it begins", {}, { startingLba: 10, endingLba: 9 }],
		["a partition beyond any disk", {}, { startingLba: 10, endingLba: Number.MAX_SAFE_INTEGER }],
	])("refuses %s", async (_, header, entry) => {
		const disk = gptDisk(512, header, entry);
		await expect(readVolumes(disk, 512)).rejects.toMatchObject({ kind: "damaged", file: "sparse.img" });
	});

	it("a partition that the disk was cut before keeps its size, and says so when read", async () => {
		const [volume] = await readVolumes(gptDisk(512, {}, {}, 80 * 512), 512);
		expect(volume).toMatchObject({ at: 64 * 512, size: 36 * 512 });
		await expect(volume?.source.read(15 * 512, new Uint8Array(512))).resolves.toBeUndefined();
		await expect(volume?.source.read(16 * 512, new Uint8Array(512))).rejects.toMatchObject({ kind: "damaged" });
	});
});

/** An MBR or a link of a chain of logical partitions. */
function bootRecord(...records: [type: number, start: number, size: number][]): Uint8Array {
	const record = BootRecord.build({
		uniqueMbrDiskSignature: 0xabad1dea,
		signature: 0xaa55,
		partitionRecord: records.map(([osType, startingLba, sizeInLba]) => ({
			bootIndicator: 0,
			startingChs: new Uint8Array(3),
			osType,
			endingChs: new Uint8Array(3),
			startingLba,
			sizeInLba,
		})),
	});
	return record;
}

describe("MBR, by what it may claim", () => {
	it("a chain of logical partitions that runs in a circle is damaged", async () => {
		const disk = sparseSource(
			mebibyte,
			new Map([
				[0, bootRecord([5, 100, 1000])],
				[100 * 512, bootRecord([0x83, 1, 10], [5, 20, 100])],
				[120 * 512, bootRecord([0x83, 1, 10], [5, 0, 100])],
			]),
		);
		await expect(readVolumes(disk, 512)).rejects.toMatchObject({ kind: "damaged", offset: 100 * 512 });
	});

	it("a chain without end is damaged", async () => {
		const links = Array.from({ length: 300 }, (_, i): [number, Uint8Array] => [
			(100 + i) * 512,
			bootRecord([0x83, 1, 1], [5, i + 1, 1]),
		]);
		const disk = sparseSource(mebibyte, new Map([[0, bootRecord([5, 100, 1000])], ...links]));
		await expect(readVolumes(disk, 512)).rejects.toMatchObject({ kind: "damaged" });
	});

	it("an extended partition beyond the disk is damaged, one that nobody divided is empty", async () => {
		const beyond = sparseSource(mebibyte, new Map([[0, bootRecord([5, 2 ** 31, 1000])]]));
		await expect(readVolumes(beyond, 512)).rejects.toMatchObject({ kind: "damaged" });
		const undivided = sparseSource(mebibyte, new Map([[0, bootRecord([0x83, 1, 8], [15, 100, 1000])]]));
		expect(await readVolumes(undivided, 512)).toMatchObject([{ number: 1 }]);
	});

	it("counts in the disk's own sectors", async () => {
		const disk = sparseSource(mebibyte, new Map([[0, bootRecord([0x83, 16, 8])]]));
		expect(await readVolumes(disk, 4096)).toMatchObject([{ at: 65536, size: 32768, partUuid: "abad1dea-01" }]);
	});

	it("survives any change to the records", async () => {
		const pieces = new Map([
			[0, bootRecord([0x83, 1, 8], [5, 100, 500])],
			[100 * 512, bootRecord([0x83, 1, 10], [5, 20, 100])],
			[120 * 512, bootRecord([0x83, 1, 10])],
		]);
		const change = fc.tuple(fc.constantFrom(...pieces.keys()), fc.integer({ min: 446, max: 511 }), fc.nat(255));
		await fc.assert(
			fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 5 }), async (changes) => {
				const copies = new Map([...pieces].map(([at, bytes]) => [at, bytes.slice()]));
				for (const [piece, at, byte] of changes) copies.get(piece)?.set([byte], at);
				expect(await outcome(sparseSource(mebibyte, copies))).toMatch(/^(read|damaged)$/);
			}),
			{ numRuns: 300 },
		);
	});
});

describe("disks without partitions", () => {
	it.each([0, 100, 512, 65536])("%i bytes of nothing are one volume", async (size) => {
		const disk = sparseSource(size, new Map());
		expect(await readVolumes(disk, 512)).toEqual([
			{ number: 0, scheme: "whole-disk", at: 0, size, type: "", bootable: false, source: disk },
		]);
	});

	it.skipIf(missing("mkfs.vfat")).each([[["-F12"]], [["-F32"]], [["-F32", "--mbr=yes"]]])(
		`a FAT file system on the whole disk is no partition table: mkfs.vfat %s ${because("mkfs.vfat")}`,
		async (options) => {
			const folder = await temporaryFolder();
			const image = await emptyImage(path.join(folder, "fat.img"), 40 * mebibyte);
			await run("mkfs.vfat", ...options, image);
			const bytes = await readFile(image);
			expect(bytes.readUInt16LE(510)).toBe(0xaa55);
			expect(await readVolumes(bytesSource(bytes), 512)).toMatchObject([{ number: 0, scheme: "whole-disk" }]);
		},
	);

	it("an NTFS boot sector is no partition table", async () => {
		const sector = bootRecord([0x83, 1, 8]);
		sector.set([0xeb, 0x52, 0x90, ...Buffer.from("NTFS    ")]);
		expect(await readVolumes(bytesSource(sector), 512)).toMatchObject([{ scheme: "whole-disk" }]);
	});

	it("GRUB's boot sector, which begins like a FAT one, is", async () => {
		const sector = bootRecord([0x83, 1, 8]);
		sector.set([0xeb, 0x63, 0x90]);
		expect(await readVolumes(bytesSource(sector), 512)).toMatchObject([{ scheme: "mbr", number: 1 }]);
	});
});

describe.skipIf(corpus === undefined)(`real disks of other projects ${corpusReason}`, () => {
	const read = async (name: string) => {
		const bytes = await readFile(path.join(corpus ?? "", name));
		return bytesSource(name.endsWith(".gz") ? gunzipSync(bytes) : bytes, path.basename(name));
	};
	const dissect = "fox-it+dissect.volume/tests/data";

	// As mmls, 7zz or sfdisk list them; those that are heads of disks only cannot be listed by all of these.
	it.each([
		[`${dissect}/mbr.bin`, ["mbr 1 1048576 524288000 07 active", "mbr 2 525336576 63898124288 07"]],
		[
			`${dissect}/gpt.bin`,
			[
				"gpt 1 20480 209715200 c12a7328-f81f-11d2-ba4b-00a0c93ec93b EFI System Partition",
				"gpt 2 210763776 31245467648 ebd0a0a2-b9e5-4433-87c0-68b6b72699c7",
			],
		],
		[
			`${dissect}/gpt_4k.bin`,
			[
				"gpt 1 1048576 1052672 0fc63daf-8483-4772-8e79-3d69d8477de4 Linux filesystem",
				"gpt 2 3145728 1052672 0fc63daf-8483-4772-8e79-3d69d8477de4 Linux filesystem",
				"gpt 3 5242880 11907072 0fc63daf-8483-4772-8e79-3d69d8477de4 Linux filesystem",
			],
		],
		[
			`${dissect}/bsd64.bin.gz`,
			[
				"gpt 1 1048576 1048576 c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
				"gpt 2 2097152 5365563392 3d48ce54-1d16-11dc-8696-01301bb8a9f5",
			],
		],
		["log2timeline+dfvfs/test_data/tsk_volume_system.raw.gz", ["mbr 1 512 179200 83", "mbr 5 180224 1294336 83"]],
		["libguestfs+libguestfs/test-data/files/mbr-ext2-empty.img.gz", ["mbr 1 512 1474048 83"]],
		[`${dissect}/apm.bin`, ["whole-disk 0 0 2048"]],
		[`${dissect}/bsd.bin`, ["bsd 1 2048 512 07", "bsd 2 3072 512 01", "bsd 3 4096 512 1b"]],
		["log2timeline+dfvfs/test_data/ímynd.dd", ["whole-disk 0 0 102400"]],
	])("%s", async (name, volumes) => {
		const lines = (await readVolumes(await read(name), 512)).map(
			({ scheme, number, at, size, type, label, bootable }) =>
				`${scheme} ${number} ${at} ${size} ${type}${label ? ` ${label}` : ""}${bootable ? " active" : ""}`.trimEnd(),
		);
		expect(lines).toEqual(volumes);
	});

	it("the entries of gpt_no_name_xff.bin do not match their checksum", async () => {
		await expect(readVolumes(await read(`${dissect}/gpt_no_name_xff.bin`), 512)).rejects.toMatchObject({
			kind: "damaged",
			offset: 1024,
		});
	});
});
