import { createHash } from "node:crypto";
import { copyFile, readdir, readFile, stat, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import type { HoleAware } from "../../src/bytes/holes.js";
import { bytesSource } from "../../src/bytes/source.js";
import { vmdk } from "../../src/disk/vmdk/index.js";
import { FLAG, SECTOR, SparseExtentHeader } from "../../src/disk/vmdk/layout.js";
import { writeVmdk } from "../../src/disk/vmdk/write.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { surviveMutations } from "./mutations.js";
import { fileSink, listExtents, readAll, withDisk } from "./support.js";
import { describing } from "./vmdk-esx.js";

const KIB = 1024;
const MIB = 1024 * KIB;

const folder = await temporaryFolder();
const inFolder = (name: string) => path.join(folder, name);
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const contentOf = (file: string) => withDisk(file, async (disk) => sha256(await readAll(disk)));

const SUBFORMATS = [
	"monolithicSparse",
	"streamOptimized",
	"monolithicFlat",
	"twoGbMaxExtentSparse",
	"twoGbMaxExtentFlat",
] as const;

describe.skipIf(missing("qemu-img", "qemu-io"))(`VMDK, as qemu-img makes it ${because("qemu-img", "qemu-io")}`, () => {
	const raw = inFolder("content.raw");
	/** Our own stream: qemu-img's has no footer. */
	const stream = inFolder("stream.vmdk");
	let content: Uint8Array;
	const made = (subformat: (typeof SUBFORMATS)[number]) => inFolder(`${subformat}.vmdk`);

	beforeAll(async () => {
		content = new Uint8Array(40 * MIB + 3 * SECTOR);
		for (let i = 0; i < 700_000; i++) content[i] = (i * i) >>> 7;
		content.fill(0x33, 5 * MIB + 1000, 5 * MIB + 200_000);
		content.fill(0x44, 36 * MIB, 37 * MIB);
		content.fill(0x55, content.length - 100);
		await writeFile(raw, content);
		for (const subformat of SUBFORMATS) {
			const options = ["-f", "raw", "-O", "vmdk", "-o", `subformat=${subformat}`];
			await run("qemu-img", "convert", ...options, raw, made(subformat));
		}
		await withDisk(raw, async (disk) => {
			await using sink = await fileSink(stream);
			await sink.commit((await writeVmdk(disk, sink)).size);
		});
	});

	for (const subformat of SUBFORMATS) {
		it(`${subformat} is read at any place`, async () => {
			await withDisk(made(subformat), async (disk) => {
				expect(disk).toMatchObject({ format: `vmdk/${subformat}`, size: content.length, sectorSize: 512 });
				const place = fc.tuple(fc.nat(content.length), fc.nat(200_000));
				await fc.assert(
					fc.asyncProperty(place, async ([at, wanted]) => {
						const bytes = new Uint8Array(Math.min(wanted, content.length - at));
						await disk.read(at, bytes);
						return Buffer.compare(bytes, content.subarray(at, at + bytes.length)) === 0;
					}),
				);
				expect(sha256(await readAll(disk))).toBe(sha256(content));
			});
		});
	}

	it("has the grains that hold data as its data", async () => {
		for (const subformat of ["monolithicSparse", "streamOptimized"] as const) {
			const data = await withDisk(made(subformat), async (disk) =>
				(await listExtents(disk)).filter(({ kind }) => kind === "data").map(({ at, length }) => [at, length]),
			);
			expect(data).toEqual([
				[0, 704 * KIB],
				[5 * MIB, 256 * KIB],
				[36 * MIB, MIB],
				[40 * MIB, 3 * SECTOR],
			]);
		}
	});

	it("reads grains that are marked as zero", async () => {
		const file = inFolder("zeroed.vmdk");
		await run("qemu-img", "create", "-q", "-f", "vmdk", "-o", "zeroed_grain=on", file, "4M");
		const commands = ["write -P 9 0 1M", "write -z 128k 256k"].flatMap((command) => ["-c", command]);
		await run("qemu-io", "-f", "vmdk", ...commands, file);
		await withDisk(file, async (disk) => {
			expect(await listExtents(disk)).toMatchObject([
				{ at: 0, length: 128 * KIB, kind: "data" },
				{ at: 128 * KIB, length: 256 * KIB, kind: "zero" },
				{ at: 384 * KIB, length: 640 * KIB, kind: "data" },
				{ at: MIB, length: 3 * MIB, kind: "zero" },
			]);
		});
		const unpacked = inFolder("zeroed.raw");
		await run("qemu-img", "convert", "-f", "vmdk", "-O", "raw", file, unpacked);
		await expect(contentOf(file)).resolves.toBe(sha256(await readFile(unpacked)));
	});

	it("reads a descriptor of flat and sparse parts as qemu-img does, and parts of zeros between them", async () => {
		const description = (zeros: string) => `# Disk DescriptorFile
version=1
CID=01234567
parentCID=ffffffff
createType="monolithicFlat"
RW 3000 FLAT "content.raw" 17
${zeros}RW 64 FLAT "content.raw" 0
RW ${content.length / SECTOR} SPARSE "monolithicSparse.vmdk"
`;
		const file = inFolder("mixed.vmdk");
		await writeFile(file, description(""));
		const unpacked = inFolder("mixed.raw");
		await run("qemu-img", "convert", "-f", "vmdk", "-O", "raw", file, unpacked);
		const expected = await readFile(unpacked);
		await expect(contentOf(file)).resolves.toBe(sha256(expected));

		// qemu-img would pass over the zeros and show a shorter disk.
		const withZeros = inFolder("mixed-zeros.vmdk");
		await writeFile(withZeros, description("RW 1000 ZERO\n"));
		const first = expected.subarray(0, 3000 * SECTOR);
		const zeros = Buffer.alloc(1000 * SECTOR);
		const expectedWithZeros = Buffer.concat([first, zeros, expected.subarray(first.length)]);
		await expect(contentOf(withZeros)).resolves.toBe(sha256(expectedWithZeros));
		await withDisk(withZeros, async (disk) => {
			const [flat, zero] = await listExtents(disk);
			expect(flat).toMatchObject({ at: 0, length: first.length, kind: "data", stored: { at: 17 * SECTOR } });
			expect(zero).toEqual({ at: first.length, length: zeros.length, kind: "zero" });
		});
	});

	it("refuses one part of a split disk, which alone would be a disk with holes", async () => {
		const part = (await readdir(folder)).find((name) => /^twoGbMaxExtentSparse-s\d+\.vmdk$/.test(name)) ?? "";
		await expect(contentOf(inFolder(part))).rejects.toMatchObject({ kind: "refused", hint: /descriptor/ });
	});

	it("knows the holes of a flat file, of which only a part may be the disk's", async () => {
		const flat: HoleAware = {
			name: "thin-flat.vmdk",
			size: 8 * MIB,
			read: (_, into) => Promise.resolve(void into.fill(1)),
			async *extents() {
				yield { at: 0, length: 2 * MIB, kind: "data" };
				yield { at: 2 * MIB, length: 3 * MIB, kind: "zero" };
				yield { at: 5 * MIB, length: 3 * MIB, kind: "data" };
			},
		};
		const description = describing("custom", ['RW 8192 FLAT "thin-flat.vmdk" 2048', 'RW 2048 VMFS "thin-flat.vmdk"']);
		const disk = await vmdk.open(bytesSource(Buffer.from(description), "thin.vmdk"), {
			open: () => Promise.resolve(flat),
			openDisk: () => Promise.reject(new Error("there is no parent")),
		});
		expect(await listExtents(disk)).toEqual([
			{ at: 0, length: MIB, kind: "data", stored: { source: flat, at: MIB } },
			{ at: MIB, length: 3 * MIB, kind: "zero" },
			{ at: 4 * MIB, length: MIB, kind: "data", stored: { source: flat, at: 0 } },
		]);
	});

	it("finds files whose names are in the descriptor's own encoding", async () => {
		await writeFile(inFolder("größe-flat.vmdk"), new Uint8Array(8 * SECTOR).fill(3));
		const text = describing("vmfs", ['RW 8 VMFS "größe-flat.vmdk"']);
		const file = inFolder("encoded.vmdk");
		for (const [encoding, bytes] of [
			["UTF-8", Buffer.from(text)],
			["windows-1252", Buffer.from(text, "latin1")],
			["unheard-of", Buffer.from(text)],
		] as const) {
			const at = bytes.indexOf("CID=");
			const named = Buffer.concat([bytes.subarray(0, at), Buffer.from(`encoding="${encoding}"\n`), bytes.subarray(at)]);
			await writeFile(file, named);
			expect(await withDisk(file, readAll)).toEqual(new Uint8Array(8 * SECTOR).fill(3));
		}
	});

	it("says which file is missing", async () => {
		const file = inFolder("lonely.vmdk");
		const text = await readFile(made("monolithicFlat"), "latin1");
		await writeFile(file, text.replace("monolithicFlat-flat.vmdk", "nowhere-flat.vmdk"));
		await expect(contentOf(file)).rejects.toMatchObject({ kind: "not-found", message: /nowhere-flat\.vmdk/ });
	});

	it("says that a stream is truncated, wherever it ends", async () => {
		const { size } = await stat(stream);
		for (const length of [size - SECTOR, size - 4 * SECTOR, size / 2, 100_000, 1024, 512, 100]) {
			const file = inFolder(`cut-${length}.vmdk`);
			await copyFile(stream, file);
			await truncate(file, Math.floor(length));
			await expect(contentOf(file)).rejects.toMatchObject({ kind: "damaged" });
		}
	});

	/** Changes the header, or the text behind it, of a copy. */
	async function changed(name: string, change: (bytes: Buffer) => void): Promise<string> {
		const bytes = await readFile(made("monolithicSparse"));
		change(bytes);
		await writeFile(inFolder(name), bytes);
		return inFolder(name);
	}
	const { offsets } = SparseExtentHeader;
	/** Replaces text by other text of the same length. */
	const replace = (bytes: Buffer, text: string, by: string) => {
		const at = bytes.indexOf(text);
		if (at < 0 || by.length !== text.length) throw new Error(`cannot replace ${text}`);
		bytes.write(by, at, "latin1");
	};

	const wrong: Readonly<Record<string, readonly [kind: string, message: RegExp, change: (bytes: Buffer) => void]>> = {
		encrypted: ["refused", /encrypted/, (bytes) => replace(bytes, "ddb.virtualHWVersion", "encryption.keySafe  ")],
		"too large": ["damaged", /larger than any/, (bytes) => bytes.writeUInt32LE(0x100, offsets.capacity + 4)],
		"without capacity": ["damaged", /capacity/, (bytes) => bytes.fill(0, offsets.capacity, offsets.capacity + 8)],
		"of odd grains": ["damaged", /grains of 129/, (bytes) => bytes.writeUInt32LE(129, offsets.grainSize)],
		"of huge tables": ["damaged", /grain table/, (bytes) => bytes.writeUInt32LE(513, offsets.numGTEsPerGT)],
		"copied as text": ["damaged", /as text/, (bytes) => bytes.writeUInt8(0x0a, offsets.doubleEndLineChar1)],
		"of version 4": ["unsupported", /version 4/, (bytes) => bytes.writeUInt32LE(4, offsets.version)],
		"compressed otherwise": [
			"unsupported",
			/compression 2/,
			(bytes) => {
				bytes.writeUInt32LE(FLAG.compressed | FLAG.markers, offsets.flags);
				bytes.writeUInt16LE(2, offsets.compressAlgorithm);
			},
		],
		"an ESX snapshot's data": ["refused", /COWD/, (bytes) => bytes.write("COWD")],
		"a newer snapshot's data": ["refused", /seSparse/, (bytes) => bytes.writeBigUInt64LE(0xcafebaben)],
	};
	for (const [what, [kind, message, change]] of Object.entries(wrong)) {
		it(`${what} is ${kind} by name`, async () => {
			const file = await changed(`${what.replaceAll(" ", "-")}.vmdk`, change);
			await expect(contentOf(file)).rejects.toMatchObject({ kind, message });
		});
	}

	it("a device, another kind of extent, and an inaccessible one are unsupported by name", async () => {
		const text = await readFile(made("monolithicFlat"), "latin1");
		for (const [from, to, message] of [
			["monolithicFlat", "fullDevice", /fullDevice/],
			["monolithicFlat", "partitionedDevice", /partitionedDevice/],
			["monolithicFlat", "vmfsRDMP", /vmfsRDMP/],
			["monolithicFlat", "vmfsPassthroughRawDeviceMap", /vmfsPassthroughRawDeviceMap/],
			[" FLAT ", " VMFSRDM ", /VMFSRDM/],
			["RW ", "NOACCESS ", /NOACCESS/],
		] as const) {
			const file = inFolder(`changed-${to.trim()}.vmdk`);
			await writeFile(file, text.replace(from, to));
			await expect(contentOf(file)).rejects.toMatchObject({ kind: "unsupported", message });
		}
	});

	it("takes no time over a descriptor that is made to take long", async () => {
		const file = inFolder("slow.vmdk");
		await writeFile(file, `# Disk DescriptorFile\na=${" \t".repeat(100_000)}x\nRW ${"1".repeat(20_000)} FLAT`);
		const started = performance.now();
		await expect(contentOf(file)).rejects.toMatchObject({ kind: "damaged" });
		expect(performance.now() - started).toBeLessThan(1000);
	});

	it("does not believe in more data than the file can hold", async () => {
		const grains = await changed("repeated.vmdk", (bytes) => {
			const header = SparseExtentHeader.parse(bytes);
			const table = bytes.readUInt32LE(Number(header.gdOffset) * SECTOR) * SECTOR;
			bytes.fill(bytes.subarray(table, table + 4), table, table + 2048);
			bytes.writeUInt32LE(2 ** 16, offsets.capacity);
		});
		await expect(withDisk(grains, listExtents)).rejects.toMatchObject({ kind: "damaged", message: /can hold/ });
	});

	it("never breaks the reader, whatever is wrong with it", async () => {
		const header = { at: 0, length: 80 };
		const description = { at: SECTOR, length: 600 };
		const sparse = new Uint8Array(await readFile(made("monolithicSparse")));
		const streamed = new Uint8Array(await readFile(stream));
		// Two grain tables, the grain directory, and the footer, each behind its marker.
		const tail = { at: streamed.length - 10 * SECTOR, length: 10 * SECTOR };
		const tables = { at: 21 * SECTOR, length: 20 * SECTOR };
		for (const outcome of [
			await surviveMutations(vmdk, sparse, [header, description, tables]),
			await surviveMutations(vmdk, streamed, [header, description, tail, { at: 128 * SECTOR, length: 64 }]),
		]) {
			expect(outcome.read).toBeGreaterThan(0);
			expect(outcome.refused).toBeGreaterThan(0);
		}
	});
});
