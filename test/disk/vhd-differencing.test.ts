import { execFileSync } from "node:child_process";

import { readFileSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ByteSink } from "../../src/bytes/sink.js";
import { bytesSource } from "../../src/bytes/source.js";
import { guid, uuid, viewOf } from "../../src/bytes/struct.js";
import type { Disk, DiskFormat, Finding, Neighbours } from "../../src/disk/disk.js";
import { vhd } from "../../src/disk/vhd/index.js";
import * as vhdLayout from "../../src/disk/vhd/layout.js";
import { vhdx } from "../../src/disk/vhdx/index.js";
import { HEADER_OFFSETS, Header, METADATA_SIGNATURE, sealed, TABLE_SIZE } from "../../src/disk/vhdx/layout.js";
import { because, corpus, corpusReason, missing, run, temporaryFolder } from "../support/tools.js";
import { surviveMutations } from "./mutations.js";
import { listExtents, readAll, withDisk } from "./support.js";
import { buildVhdChild, buildVhdxChild, inMemory, type Layer } from "./vhd-chains.js";

const MIB = 1024 * 1024;
const folder = await temporaryFolder();

const IDS = ["11111111-2222-4333-8444-555555555555", "22222222-2222-4333-8444-555555555555"] as const;

/** One of the kinds of differencing disk, with how its parent is written and its id found. */
interface Kind {
	readonly name: string;
	readonly format: DiskFormat;
	readonly extension: string;
	readonly sectorSize: number;
	readonly blockSizes: readonly number[];
	build(layer: Layer): Uint8Array;
	idOf(image: Uint8Array): string;
	readonly parentVariants: readonly string[];
}

const vhdxKind = (sectorSize: number): Kind => ({
	name: `VHDX with sectors of ${sectorSize}`,
	format: vhdx,
	extension: ".vhdx",
	sectorSize,
	blockSizes: [MIB, 2 * MIB],
	build: (layer) => buildVhdxChild({ ...layer, sectorSize }),
	idOf: (image) => guid.get(viewOf(image), HEADER_OFFSETS[0] + Header.offsets.dataWriteGuid, true),
	parentVariants: ["dynamic", "fixed"],
});

const vhdKind: Kind = {
	name: "VHD",
	format: vhd,
	extension: ".vhd",
	sectorSize: 512,
	blockSizes: [4096, 512 * 1024, 2 * MIB],
	build: buildVhdChild,
	idOf: (image) => uuid.get(viewOf(image), image.length - 512 + vhdLayout.Footer.offsets.uniqueId, false),
	parentVariants: ["dynamic", "fixed"],
};

const KINDS = [vhdKind, vhdxKind(512), vhdxKind(4096)];

const memoryDisk = (content: Uint8Array, sectorSize: number): Disk => ({
	...bytesSource(content),
	format: "raw",
	sectorSize,
	async *extents() {
		yield { at: 0, length: content.length, kind: "data" };
	},
});

async function write(kind: Kind, content: Uint8Array, variant: string, name: string): Promise<Uint8Array> {
	let image = new Uint8Array(8 * MIB);
	const sink: ByteSink = {
		name,
		write(at, bytes) {
			if (at + bytes.length > image.length) {
				const larger = new Uint8Array((at + bytes.length) * 2);
				larger.set(image);
				image = larger;
			}
			image.set(bytes, at);
			return Promise.resolve();
		},
		commit: () => Promise.resolve(),
		[Symbol.asyncDispose]: () => Promise.resolve(),
	};
	const unitSize = kind.format === vhdx ? MIB : 512 * 1024;
	const written = await kind.format.write?.(memoryDisk(content, kind.sectorSize), sink, { variant, unitSize });
	return image.subarray(0, written?.size);
}

/** Stretches of sectors, each with the byte that fills it. */
type Stretches = readonly { readonly from: number; readonly count: number; readonly fill: number }[];

interface Chain {
	readonly files: Readonly<Record<string, Uint8Array>>;
	/** Name of the last child. */
	readonly last: string;
	readonly content: Uint8Array;
}

/** A parent and its descendants, each of which changes some stretches. */
async function chain(
	kind: Kind,
	size: number,
	{ variant, blockSize, layers }: { variant: string; blockSize: number; layers: readonly Stretches[] },
): Promise<Chain> {
	const { sectorSize, extension } = kind;
	const content = new Uint8Array(size);
	for (let at = 0; at < size; at += 7 * sectorSize) content.fill(1 + (at % 251), at, at + 3 * sectorSize);
	const files: Record<string, Uint8Array> = {};
	let last = `base${extension}`;
	files[last] = await write(kind, content, variant, last);
	for (const [i, stretches] of layers.entries()) {
		const own = new Set<number>();
		for (const { from, count, fill } of stretches) {
			for (let sector = from; sector < Math.min(from + count, size / sectorSize); sector++) own.add(sector);
			content.fill(fill, from * sectorSize, (from + count) * sectorSize);
		}
		const layer = {
			content,
			own: (sector: number) => own.has(sector),
			blockSize,
			parentId: kind.idOf(files[last] ?? new Uint8Array()),
			id: IDS[i] ?? "",
			relativePath: `.\\${last}`,
			absolutePath: `C:\\virtual disks\\${last}`,
		};
		last = `child${i}${extension}`;
		files[last] = kind.build(layer);
	}
	return { files, last, content };
}

const open = ({ format }: Kind, { files, last }: Chain, neighbours: Neighbours = inMemory(files)): Promise<Disk> =>
	format.open(bytesSource(files[last] ?? new Uint8Array(), last), neighbours);

async function checked({ format }: Kind, { files, last }: Chain): Promise<Finding[]> {
	const findings: Finding[] = [];
	const source = bytesSource(files[last] ?? new Uint8Array(), last);
	for await (const finding of format.check?.(source, inMemory(files)) ?? []) findings.push(finding);
	return findings;
}

/** They cover the disk; what is zero is zero; what lies in a file lies there. */
async function expectSoundExtents(disk: Disk, content: Uint8Array): Promise<void> {
	let next = 0;
	for (const { at, length, kind, stored } of await listExtents(disk)) {
		expect(at).toBe(next);
		next = at + length;
		const bytes = new Uint8Array(length);
		expect(stored === undefined).toBe(kind === "zero");
		await stored?.source.read(stored.at, bytes);
		expect(Buffer.compare(bytes, content.subarray(at, next))).toBe(0);
	}
	expect(next).toBe(content.length);
}

for (const kind of KINDS) {
	const SIZE = 5 * MIB;
	const sectors = SIZE / kind.sectorSize;
	const stretch = fc.record({
		from: fc.oneof(fc.nat(sectors - 1), fc.nat(40)),
		count: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: sectors })),
		fill: fc.integer({ min: 0, max: 255 }),
	});
	const shape = fc.record({
		variant: fc.constantFrom(...kind.parentVariants),
		blockSize: fc.constantFrom(...kind.blockSizes),
		layers: fc.array(fc.array(stretch, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 2 }),
	});

	describe(`a differencing ${kind.name}`, () => {
		it("shows each sector as the last disk of the chain has it that has it at all", async () => {
			const window = fc.record({ at: fc.nat(SIZE - 1), length: fc.integer({ min: 1, max: 3 * MIB }) });
			await fc.assert(
				fc.asyncProperty(shape, fc.array(window, { minLength: 4, maxLength: 4 }), async (shape, windows) => {
					const made = await chain(kind, SIZE, shape);
					const disk = await open(kind, made);
					expect(disk).toMatchObject({ size: SIZE, sectorSize: kind.sectorSize });
					expect(disk.format).toBe(`${kind.format.id}/differencing`);
					expect(Buffer.compare(await readAll(disk), made.content)).toBe(0);
					for (const { at, length } of windows) {
						const bytes = new Uint8Array(Math.min(length, SIZE - at)).fill(0xaa);
						await disk.read(at, bytes);
						expect(Buffer.compare(bytes, made.content.subarray(at, at + bytes.length))).toBe(0);
					}
					await expectSoundExtents(disk, made.content);
					expect(await checked(kind, made)).toEqual([]);
				}),
				{ numRuns: 15 },
			);
		});

		const one = { variant: "dynamic", blockSize: kind.blockSizes.at(-1) ?? MIB };
		const small = () => chain(kind, SIZE, { ...one, layers: [[{ from: 9, count: 5, fill: 3 }]] });

		it("is refused with the parent's name when the parent is not there", async () => {
			const made = await small();
			const alone = { ...made, files: { [made.last]: made.files[made.last] ?? new Uint8Array() } };
			await expect(open(kind, alone)).rejects.toMatchObject({
				kind: "not-found",
				message: expect.stringContaining(`"base${kind.extension}"`),
				hint: expect.stringContaining("beside it"),
			});
		});

		it("takes no other disk of the same name for its parent", async () => {
			const made = await small();
			const name = `base${kind.extension}`;
			const other = await write(kind, new Uint8Array(SIZE).fill(1), "dynamic", "other");
			const swapped = { ...made, files: { ...made.files, [name]: other } };
			const refused = { kind: "damaged", file: name, message: expect.stringContaining(kind.idOf(other)) };
			await expect(open(kind, swapped)).rejects.toMatchObject(refused);
			expect(await checked(kind, swapped)).toMatchObject([{ severity: "error" }]);
		});

		it("follows no path out of its folder, but finds the parent beside it", async () => {
			const asked: string[] = [];
			const made = await chain(kind, SIZE, { ...one, layers: [] });
			const base = made.files[made.last] ?? new Uint8Array();
			const child = kind.build({
				content: made.content,
				own: () => false,
				blockSize: one.blockSize,
				parentId: kind.idOf(base),
				id: IDS[0],
				relativePath: `..\\elsewhere\\base${kind.extension}`,
				absolutePath: `\\\\?\\C:\\elsewhere\\base${kind.extension}`,
			});
			const files = inMemory({ [`base${kind.extension}`]: base });
			const disk = await open(
				kind,
				{ ...made, files: { child }, last: "child" },
				{
					open: (name) => {
						asked.push(name);
						return files.open(name);
					},
					openDisk: (name, format) => files.openDisk(name, format),
				},
			);
			expect(Buffer.compare(await readAll(disk), made.content)).toBe(0);
			expect(asked.at(-1)).toBe(`base${kind.extension}`);
		});

		it("that is its own ancestor is refused", async () => {
			const names = [`one${kind.extension}`, `two${kind.extension}`] as const;
			const link = (i: 0 | 1) =>
				kind.build({
					content: new Uint8Array(SIZE),
					own: (sector) => sector === 0,
					blockSize: one.blockSize,
					id: IDS[i],
					parentId: IDS[i === 0 ? 1 : 0],
					relativePath: `.\\${names[i === 0 ? 1 : 0]}`,
				});
			const files = { [names[0]]: link(0), [names[1]]: link(1) };
			await expect(open(kind, { files, last: names[0], content: new Uint8Array() })).rejects.toMatchObject({
				kind: "refused",
			});
		});

		it("breaks neither the reader nor the check, whatever is wrong with it", async () => {
			const made = await small();
			const image = made.files[made.last] ?? new Uint8Array();
			const neighbours = inMemory(made.files);
			const format: DiskFormat = {
				...kind.format,
				async open(source) {
					for await (const { message } of kind.format.check?.(source, neighbours) ?? []) expect(message).not.toBe("");
					return kind.format.open(source, neighbours);
				},
			};
			const mutable = kind.format === vhd ? vhdTargets(image) : vhdxTargets(image);
			const outcome = await surviveMutations(format, image, mutable.targets, (bytes) => mutable.repair(bytes));
			expect(outcome.read).toBeGreaterThan(0);
			expect(outcome.refused).toBeGreaterThan(0);
		});
	});
}

describe("a differencing VHDX", () => {
	const kind = vhdxKind(512);
	const SIZE = 4 * MIB;

	async function family(own: (sector: number) => boolean, zeroBlocks?: ReadonlySet<number>) {
		const content = new Uint8Array(SIZE).fill(5);
		const base = await write(kind, content, "dynamic", "base.vhdx");
		const common = { content: new Uint8Array(SIZE).fill(9), own, blockSize: MIB, sectorSize: 512 };
		const link = { id: IDS[0], parentId: kind.idOf(base), relativePath: ".\\base.vhdx" };
		const child = buildVhdxChild({ ...common, ...link, ...(zeroBlocks && { zeroBlocks }) });
		return { files: { "base.vhdx": base, "child.vhdx": child }, last: "child.vhdx", content };
	}

	it("hides the parent where it says that a block is zero", async () => {
		const made = await family((sector) => sector < 10, new Set([2]));
		made.content.fill(9, 0, 5120).fill(0, 2 * MIB, 3 * MIB);
		const disk = await open(kind, made);
		expect(Buffer.compare(await readAll(disk), made.content)).toBe(0);
		await expectSoundExtents(disk, made.content);
	});

	it("is damaged where the sector bitmap of a block is missing", async () => {
		const made = await family((sector) => sector < 10);
		const child = made.files["child.vhdx"];
		const BITMAP_ENTRY = 3 * MIB + 4096 * 8;
		expect(viewOf(child).getBigUint64(BITMAP_ENTRY, true) & 7n).toBe(6n);
		child.fill(0, BITMAP_ENTRY, BITMAP_ENTRY + 8);
		const disk = await open(kind, made);
		await expect(readAll(disk)).rejects.toMatchObject({ kind: "damaged", offset: BITMAP_ENTRY });
		expect(await checked(kind, made)).toMatchObject([
			{ severity: "error", message: "block 0 needs sector bitmap 0, which is missing" },
		]);
	});

	it("has its parent's size of sectors", async () => {
		const made = await family((sector) => sector < 16);
		const base = await write(vhdxKind(4096), made.content, "dynamic", "base.vhdx");
		const mixed = { ...made, files: { ...made.files, "base.vhdx": base } };
		await expect(open(kind, mixed)).rejects.toMatchObject({
			kind: "damaged",
			message: expect.stringMatching(/sectors of 512 bytes, its parent .* of 4096/),
		});
	});
});

describe("a differencing VHD", () => {
	const content = new Uint8Array(4 * MIB).fill(5);
	const family = async (
		change: (header: ReturnType<typeof vhdLayout.DynamicHeader.parse>, child: Uint8Array) => void,
	) => {
		const base = await write(vhdKind, content, "fixed", "the base.vhd");
		const child = buildVhdChild({
			content,
			own: () => false,
			blockSize: 2 * MIB,
			id: IDS[0],
			parentId: vhdKind.idOf(base),
		});
		const { DynamicHeader, checksum } = vhdLayout;
		const header = DynamicHeader.parse(child, 512);
		change(header, child);
		child.set(DynamicHeader.build({ ...header, checksum: 0 }), 512);
		const sealed = child.subarray(512, 512 + DynamicHeader.size);
		viewOf(sealed).setUint32(DynamicHeader.offsets.checksum, checksum(sealed, DynamicHeader.offsets.checksum));
		return { files: { "the base.vhd": base, "child.vhd": child }, last: "child.vhd", content };
	};
	const locate = (platformCode: string, path: Uint8Array) =>
		family((header, child) => {
			child.set(path, 4096);
			const place = { platformDataSpace: 1, platformDataLength: path.length, platformDataOffset: 4096, reserved: 0 };
			header.parentLocators[0] = { platformCode, ...place };
		});

	it("finds its parent by each kind of locator, and by the name in its header", async () => {
		const text = new TextEncoder();
		const ways = [
			await family((header) => (header.parentUnicodeName = "D:\\vm\\the base.vhd")),
			await locate("W2ru", new Uint8Array(Buffer.from(".\\the base.vhd\0", "utf16le"))),
			await locate("W2ku", new Uint8Array(Buffer.from("E:\\the base.vhd", "utf16le"))),
			await locate("MacX", text.encode("file://localhost/Users/a/the%20base.vhd")),
		];
		for (const made of ways) {
			const disk = await open(vhdKind, made);
			expect(Buffer.compare(await readAll(disk), content)).toBe(0);
			expect(await checked(vhdKind, made)).toEqual([]);
		}
	});

	it("without any is refused, and so is one whose locators lead nowhere", async () => {
		const silent = await family(() => {});
		await expect(open(vhdKind, silent)).rejects.toMatchObject({ kind: "not-found", file: "child.vhd" });
		const far = await family((header) => {
			const place = { platformDataSpace: 1, platformDataLength: 40, platformDataOffset: 2 ** 40, reserved: 0 };
			header.parentLocators[0] = { platformCode: "W2ru", ...place };
		});
		await expect(open(vhdKind, far)).rejects.toMatchObject({ kind: "not-found" });
		expect(await checked(vhdKind, far)).toMatchObject([
			{ severity: "warning", message: "parent locator 1 lies beyond the end of the file" },
			{ severity: "error", message: "the disk does not name its parent" },
		]);
	});

	it("warns of a parent that is newer than what the child knew of it", async () => {
		const made = await family((header) => {
			header.parentUnicodeName = "the base.vhd";
			header.parentTimeStamp = 100;
		});
		const base = made.files["the base.vhd"];
		const footer = base.subarray(-512);
		viewOf(footer).setUint32(vhdLayout.Footer.offsets.timeStamp, 101);
		viewOf(footer).setUint32(64, vhdLayout.checksum(footer, 64));
		expect(await checked(vhdKind, made)).toMatchObject([
			{ severity: "warning", message: expect.stringContaining("newer") },
		]);
		expect((await open(vhdKind, made)).details).toMatchObject({ parent: "the base.vhd", parentId: vhdKind.idOf(base) });
	});
});

function vhdTargets(image: Uint8Array) {
	const { Footer, DynamicHeader } = vhdLayout;
	const seal = (bytes: Uint8Array, at: number, field: number) =>
		viewOf(bytes).setUint32(at + field, vhdLayout.checksum(bytes, field));
	return {
		targets: [
			{ at: image.length - 512, length: 80 },
			{ at: 512, length: 60 },
			{ at: 512 + DynamicHeader.offsets.parentLocators, length: 48 },
			{ at: 4096, length: 80 },
			{ at: 8192, length: 40 },
			{ at: 12_288, length: 600 },
		],
		repair(bytes: Uint8Array) {
			seal(bytes.subarray(image.length - 512), 0, Footer.offsets.checksum);
			seal(bytes.subarray(512, 512 + DynamicHeader.size), 0, DynamicHeader.offsets.checksum);
		},
	};
}

function vhdxTargets(image: Uint8Array) {
	const metadata = Buffer.from(image.buffer, image.byteOffset, image.length).indexOf(METADATA_SIGNATURE, MIB);
	return {
		targets: [
			{ at: HEADER_OFFSETS[1], length: 80 },
			{ at: metadata, length: 256 },
			{ at: metadata + TABLE_SIZE, length: 400 },
			{ at: 3 * MIB, length: 64 },
			{ at: 3 * MIB + 4096 * 8 - 8, length: 24 },
		],
		repair(bytes: Uint8Array) {
			for (const at of HEADER_OFFSETS) sealed(bytes.subarray(at, at + Header.size));
		},
	};
}

/** Debian's module stands beside Debian's interpreter, which need not be the first of the path. */
const python = ["/usr/bin/python3", "python3"].find((command) => {
	try {
		execFileSync(command, ["-c", "import pyvhdi"], { stdio: "ignore" });
		return true;
	} catch {
		return false;
	}
});
const noPyvhdi = python === undefined ? "(skipped: python3-libvhdi not installed; see scripts/system-packages.sh)" : "";

const EXPORT = `
import sys, pyvhdi
chain = []
for name in sys.argv[2:]:
    disk = pyvhdi.file()
    disk.open(name)
    if chain: disk.set_parent(chain[-1])
    chain.append(disk)
with open(sys.argv[1], "wb") as out:
    left = disk.get_media_size()
    while left > 0:
        data = disk.read(min(left, 1 << 20))
        if not data: break
        out.write(data)
        left -= len(data)
`;

describe("a chain of differencing disks, as others read it,", () => {
	for (const kind of KINDS) {
		const sectors = (9 * MIB) / kind.sectorSize;
		// libvhdi 20210425 takes all sectors behind the first one present in a byte of a VHD's bitmap for present.
		const whole = kind.format === vhd ? 8 : 1;
		const layers: Stretches[] = [
			[
				{ from: 8, count: 16, fill: 0x21 },
				{ from: Math.floor(sectors / 3 / 8) * 8, count: Math.floor(sectors / 4 / 8) * 8, fill: 0x22 },
				{ from: sectors - 8, count: 8, fill: 0x23 },
			],
			[
				{ from: 16, count: 8, fill: 0 },
				{ from: 64, count: 3 * whole, fill: 0x31 },
				{ from: Math.floor(sectors / 2 / 8) * 8, count: 40 * whole, fill: 0x32 },
			],
		];
		const fine: Stretches[] = [layers[0] ?? [], [...(layers[1] ?? []), { from: 203, count: 3, fill: 0x33 }]];

		async function onDisk(name: string, layers: readonly Stretches[]) {
			const home = path.join(folder, `${name} ${kind.name}`);
			await mkdir(home);
			const shape = { variant: "dynamic", blockSize: kind.format === vhd ? 2 * MIB : MIB, layers };
			const made = await chain(kind, 9 * MIB, shape);
			for (const [file, bytes] of Object.entries(made.files)) await writeFile(path.join(home, file), bytes);
			await writeFile(path.join(home, "expected.raw"), made.content);
			const ours = await withDisk(path.join(home, made.last), readAll);
			expect(Buffer.compare(ours, made.content)).toBe(0);
			return { home, made };
		}

		it.skipIf(python === undefined)(`is the same ${kind.name} for libvhdi ${noPyvhdi}`, async () => {
			const { home, made } = await onDisk("libvhdi", layers);
			const files = Object.keys(made.files).map((file) => path.join(home, file));
			const raw = path.join(home, "libvhdi.raw");
			await run(python ?? "", "-c", EXPORT, raw, ...files);
			expect(Buffer.compare(await readFile(raw), made.content)).toBe(0);
		});

		it.skipIf(missing("7zz"))(`is the same ${kind.name} for 7zz ${because("7zz")}`, async () => {
			const { home, made } = await onDisk("7zz", fine);
			const compare = `7zz e -so -t${kind.format.id} "$1" 2>/dev/null | cmp - "$2"`;
			const files = [path.join(home, made.last), path.join(home, "expected.raw")];
			await expect(run("sh", "-c", compare, "sh", ...files)).resolves.toBe("");
		});

		it.skipIf(missing("vhdiinfo"))(`tells vhdiinfo its parent's id ${kind.name} ${because("vhdiinfo")}`, async () => {
			const { home, made } = await onDisk("vhdiinfo", layers);
			const text = await run("vhdiinfo", path.join(home, made.last));
			await withDisk(path.join(home, made.last), (disk) => {
				expect(text).toContain(`Parent identifier\t: ${String(disk.details?.["parentId"]).replace(/[{}]/g, "")}`);
				return Promise.resolve();
			});
		});
	}
});

describe.skipIf(corpus === undefined)(`differencing disks of other people ${corpusReason}`, () => {
	const unpack = (file: string) =>
		new Uint8Array(gunzipSync(readFileSync(path.join(corpus ?? "", "log2timeline+dfvfs/test_data", file))));

	it.skipIf(python === undefined)(`are read as libvhdi does, once their checksums are right ${noPyvhdi}`, async () => {
		// Someone cut these disks' size down and left the checksums as they were; nothing else is wrong with them.
		const { Footer, DynamicHeader, checksum } = vhdLayout;
		const home = path.join(folder, "corpus");
		await mkdir(home);
		for (const name of ["image.vhd", "image-differential.vhd"]) {
			const image = unpack(`${name}.gz`);
			for (const at of [0, image.length - Footer.size]) {
				const footer = image.subarray(at, at + Footer.size);
				viewOf(footer).setUint32(Footer.offsets.checksum, checksum(footer, Footer.offsets.checksum));
			}
			const header = image.subarray(512, 512 + DynamicHeader.size);
			viewOf(header).setUint32(DynamicHeader.offsets.checksum, checksum(header, DynamicHeader.offsets.checksum));
			await writeFile(path.join(home, name), image);
		}
		const files = ["image.vhd", "image-differential.vhd"].map((name) => path.join(home, name));
		await run(python ?? "", "-c", EXPORT, path.join(home, "libvhdi.raw"), ...files);
		const theirs = await readFile(path.join(home, "libvhdi.raw"));
		const ours = await withDisk(files[1] ?? "", readAll);
		expect(ours.length).toBe(104_448);
		expect(Buffer.compare(ours, theirs)).toBe(0);
	});

	it("show what Hyper-V wrote, over any parent that has the right id", async () => {
		const name = "fat-differential.vhd";
		const child = unpack(`${name}.gz`);
		const parent = await write(vhdKind, new Uint8Array(4 * MIB).fill(0x50), "dynamic", "fat-parent.vhd");
		const { Footer, checksum } = vhdLayout;
		for (const at of [0, parent.length - Footer.size]) {
			const footer = parent.subarray(at, at + Footer.size);
			uuid.set(viewOf(footer), Footer.offsets.uniqueId, "5fa21a55-f394-aa4d-9958-1951a67d5540", false);
			viewOf(footer).setUint32(Footer.offsets.checksum, checksum(footer, Footer.offsets.checksum));
		}
		const disk = await open(vhdKind, {
			files: { [name]: child, "fat-parent.vhd": parent },
			last: name,
			content: child,
		});
		const content = await readAll(disk);
		// Of the first block's bitmap, by hand: sector 0 is the parent's; of sectors 184 to 191 (0xcb) 186, 187 and 189.
		const sector = (at: number) => content.subarray(at * 512, at * 512 + 512);
		const parents = [0, 186, 187, 189].map((at) => sector(at).every((byte) => byte === 0x50));
		expect(parents).toEqual([true, true, true, true]);
		expect([184, 185, 188, 190, 191].some((at) => sector(at).every((byte) => byte === 0x50))).toBe(false);
	});
});
