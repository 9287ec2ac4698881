import { createHash } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { bytesSource } from "../../src/bytes/source.js";
import { parallels } from "../../src/disk/parallels/index.js";
import { openDisk } from "../../src/disk/registry.js";
import { because, corpus, corpusReason, missing, run, temporaryFolder } from "../support/tools.js";
import { surviveMutations } from "./mutations.js";
import { listExtents, openFileCount, readAll, withDisk } from "./support.js";

const MIB = 1024 * 1024;
const SECTOR = 512;

const folder = await temporaryFolder();
const same = (one: Uint8Array, other: Uint8Array) => Buffer.compare(one, other) === 0;
const contentOf = (file: string) => withDisk(file, readAll);

describe.skipIf(corpus === undefined)(`disks of Parallels Desktop ${corpusReason}`, () => {
	const data = path.join(corpus ?? "", "fox-it+dissect.hypervisor/tests/_data/disk/hdd");

	/** The disk's folder with its files unwrapped, and the descriptor in it. */
	async function unpacked(name: string): Promise<string> {
		const home = path.join(folder, name);
		await mkdir(home, { recursive: true });
		for (const file of await readdir(path.join(data, name))) {
			const bytes = await readFile(path.join(data, name, file));
			if (file.endsWith(".gz")) await writeFile(path.join(home, file.slice(0, -3)), gunzipSync(bytes));
			else await writeFile(path.join(home, file), bytes);
		}
		return path.join(home, "DiskDescriptor.xml");
	}

	// What qemu-img reads from the .hds of both.
	const content = "7906281f7a25f13df78c907d7bc4e9313d9a26fa86386c6e2a737a784fe80b8f";

	for (const kind of ["expanding", "plain"]) {
		it(`that are ${kind} open by their descriptor, with the content that qemu-img reads`, async () => {
			await withDisk(await unpacked(`${kind}.hdd`), async (disk) => {
				expect(disk).toMatchObject({
					format: `parallels/${kind}`,
					size: 100 * MIB,
					details: { files: 1, snapshots: 0, uid: expect.stringMatching(/^\{[0-9a-f-]{36}\}$/) },
				});
				expect(
					createHash("sha256")
						.update(await readAll(disk))
						.digest("hex"),
				).toBe(content);
			});
		});
	}

	it("name the file that is not beside their descriptor", async () => {
		const descriptor = path.join(corpus ?? "", "log2timeline+dfvfs/test_data/hfsplus.hdd/DiskDescriptor.xml");
		await expect(contentOf(descriptor)).rejects.toMatchObject({
			kind: "not-found",
			message: expect.stringContaining("hfsplus.hdd.0.{5fbaabe3-6958-40ff-92a7-860e329aab41}.hds"),
		});
	});
});

const TOP = "{5fbaabe3-6958-40ff-92a7-860e329aab41}";
const NIL = "{00000000-0000-0000-0000-000000000000}";

interface Described {
	/** In sectors; the sum of the pieces where left out. */
	readonly size?: number;
	readonly parameters?: string;
	readonly pieces: readonly {
		readonly sectors: number;
		/** As XML says it: type, file and id of each. */
		readonly images: readonly (readonly [type: string, file: string, id?: string])[];
		readonly start?: number;
	}[];
	/** Id and parent of each state. */
	readonly shots?: readonly (readonly [string, string])[];
	readonly top?: string;
}

function descriptorOf({ size, parameters = "<Padding>0</Padding>", pieces, shots = [[TOP, NIL]], top }: Described) {
	let next = 0;
	const storages = pieces.map(({ sectors, images, start = next }) => {
		next = start + sectors;
		const files = images.map(
			([type, file, id = TOP]) => `<Image><GUID>${id}</GUID><Type>${type}</Type><File>${file}</File></Image>`,
		);
		return `<Storage><Start>${start}</Start><End>${next}</End><Blocksize>2048</Blocksize>${files.join("")}</Storage>`;
	});
	const tree = shots.map(([id, parent]) => `<Shot><GUID>${id}</GUID><ParentGUID>${parent}</ParentGUID></Shot>`);
	return `<?xml version='1.0' encoding='UTF-8'?>
<Parallels_disk_image Version="1.0">
    <Disk_Parameters><Disk_size>${size ?? next}</Disk_size>${parameters}</Disk_Parameters>
    <StorageData>${storages.join("")}</StorageData>
    <Snapshots>${top === undefined ? "" : `<TopGUID>${top}</TopGUID>`}${tree.join("")}</Snapshots>
</Parallels_disk_image>
`;
}

describe.skipIf(missing("qemu-img", "qemu-io"))(
	`Parallels images that QEMU made ${because("qemu-img", "qemu-io")}`,
	() => {
		/** Noise, zeros, and a last piece that is not whole clusters. */
		const content = new Uint8Array(7 * MIB + 3 * SECTOR);
		for (let i = 0; i < content.length; i++) content[i] = i < 2 * MIB || i > 4.5 * MIB ? (i * 2_654_435_761) >>> 24 : 0;
		let count = 0;

		/** A folder of its own with a descriptor in it, and the images that it names. */
		async function described(disk: Described): Promise<string> {
			const home = path.join(folder, `disk-${count++}.hdd`);
			await mkdir(home);
			await writeFile(path.join(home, "DiskDescriptor.xml"), descriptorOf(disk));
			for (const file of ["a.hds", "b.hds", "c.hds", "overlay.hds", "overlay2.hds", "plain.hds"]) {
				await copyFile(path.join(folder, file), path.join(home, file));
			}
			return path.join(home, "DiskDescriptor.xml");
		}

		async function image(name: string, bytes: Uint8Array, options: string): Promise<void> {
			const raw = path.join(folder, `${name}.raw`);
			await writeFile(raw, bytes);
			await run("qemu-img", "convert", "-f", "raw", "-O", "parallels", "-o", options, raw, path.join(folder, name));
		}

		const PIECES = [2 * MIB + 5 * SECTOR, 3 * MIB - 5 * SECTOR, 2 * MIB + 3 * SECTOR] as const;
		const sectorsOf = PIECES.map((bytes) => bytes / SECTOR);

		beforeAll(async () => {
			const [first, second] = [PIECES[0], PIECES[0] + PIECES[1]];
			await image("a.hds", content.subarray(0, first), "cluster_size=1048576");
			await image("b.hds", content.subarray(first, second), "cluster_size=65536");
			await image("c.hds", content.subarray(second), "cluster_size=262144");
			await writeFile(path.join(folder, "plain.hds"), content);
			for (const [name, ...writes] of [
				["overlay.hds", "write -P 7 1M 64k", "write -P 8 4M 1M"],
				["overlay2.hds", "write -P 9 4M 64k"],
			] as const) {
				const file = path.join(folder, name);
				await run("qemu-img", "create", "-q", "-f", "parallels", "-o", "cluster_size=65536", file, `${content.length}`);
				await run("qemu-io", "-f", "parallels", ...writes.flatMap((write) => ["-c", write]), file);
			}
		});

		it("are one disk where a descriptor says so", async () => {
			const pieces = ["a.hds", "b.hds", "c.hds"].map((file, i) => ({
				sectors: sectorsOf[i] ?? 0,
				images: [["Compressed", file]] as const,
			}));
			const file = await described({ pieces });
			await withDisk(file, async (disk) => {
				expect(disk).toMatchObject({ format: "parallels/split", size: content.length, details: { files: 3 } });
				expect(same(await readAll(disk), content)).toBe(true);
				const across = new Uint8Array(4 * SECTOR);
				await disk.read(PIECES[0] - 2 * SECTOR, across);
				expect(same(across, content.subarray(PIECES[0] - 2 * SECTOR, PIECES[0] + 2 * SECTOR))).toBe(true);
				const files = (await listExtents(disk)).flatMap(({ stored }) => stored?.source.name ?? []);
				expect(new Set(files.map((name) => path.basename(name)))).toEqual(new Set(["a.hds", "b.hds", "c.hds"]));
			});
		});

		it("continue each other as the descriptor's snapshots say", async () => {
			const [root, middle] = ["{11111111-1111-1111-1111-111111111111}", "{2222222A-2222-2222-2222-222222222222}"];
			const chain = {
				pieces: [
					{
						sectors: content.length / SECTOR,
						images: [
							["Compressed", "overlay2.hds"],
							["Plain", "plain.hds", root],
							["Compressed", "overlay.hds", middle.toLowerCase()],
						],
					},
				],
				shots: [
					[root, NIL],
					[middle, root],
					[TOP, middle.toLowerCase()],
				],
			} as const;
			const before = Uint8Array.from(content)
				.fill(7, MIB, MIB + 65536)
				.fill(8, 4 * MIB, 5 * MIB);
			const now = Uint8Array.from(before).fill(9, 4 * MIB, 4 * MIB + 65536);
			await withDisk(await described(chain), async (disk) => {
				expect(disk).toMatchObject({ format: "parallels/expanding", details: { files: 3, snapshots: 2 } });
				expect(same(await readAll(disk), now)).toBe(true);
			});
			// The same files, where the second of them is the current state.
			expect(same(await contentOf(await described({ ...chain, top: middle })), before)).toBe(true);
			expect(same(await contentOf(await described({ ...chain, top: root })), content)).toBe(true);
		});

		it("are told apart by what is wrong with their descriptor", async () => {
			const one = { sectors: content.length / SECTOR, images: [["Plain", "plain.hds"]] } as const;
			const other = "{33333333-3333-3333-3333-333333333333}";
			const encrypted = `<Encryption><Engine>${other}</Engine></Encryption>`;
			const cases: readonly (readonly [string, RegExp, Described])[] = [
				["refused", /encrypted/, { pieces: [one], parameters: encrypted }],
				["unsupported", /padding/, { pieces: [one], parameters: "<Padding>1</Padding>" }],
				["unsupported", /4096/, { pieces: [one], parameters: "<LogicSectorSize>4096</LogicSectorSize>" }],
				["damaged", /should begin at 0/, { pieces: [{ ...one, start: 8 }] }],
				["damaged", /the disk 9/, { pieces: [one], size: 9 }],
				["damaged", /names no files/, { pieces: [] }],
				["damaged", /Disk_size.*1e3/, { pieces: [one], size: "1e3" as unknown as number }],
				["damaged", /no file for the state/, { pieces: [{ ...one, images: [["Plain", "plain.hds", other]] }] }],
				["unsupported", /type Sparse/, { pieces: [{ ...one, images: [["Sparse", "plain.hds"]] }] }],
				["damaged", /ends at byte/, { pieces: [{ ...one, sectors: one.sectors + 1 }] }],
				["damaged", /no snapshot/, { pieces: [one], top: other }],
				["damaged", /no snapshot/, { pieces: [one], shots: [[TOP, other]] }],
				["refused", /snapshots continue each other/, { pieces: [one], shots: [[TOP, TOP]] }],
				["refused", /300 pieces/, { pieces: Array.from({ length: 300 }, () => one) }],
				["not-found", /none\.hds/, { pieces: [{ ...one, images: [["Plain", "none.hds"]] }] }],
				["refused", /\.\.\/plain\.hds/, { pieces: [{ ...one, images: [["Plain", "../plain.hds"]] }] }],
				["refused", /\/etc\/passwd/, { pieces: [{ ...one, images: [["Plain", "/etc/passwd"]] }] }],
				["damaged", /not an expandable/, { pieces: [{ ...one, images: [["Compressed", "plain.hds"]] }] }],
				[
					"damaged",
					/plain image continues/,
					{
						pieces: [{ ...one, images: [...one.images, ["Plain", "a.hds", other]] }],
						shots: [
							[TOP, other],
							[other, NIL],
						],
					},
				],
			];
			for (const [kind, message, disk] of cases) {
				const error = await contentOf(await described(disk)).catch((error: unknown) => error);
				expect(error, String(message)).toMatchObject({ kind, message: expect.stringMatching(message) });
			}
			const dtd = await described({ pieces: [one] });
			await writeFile(dtd, descriptorOf({ pieces: [one] }).replace("?>", '?><!DOCTYPE a [<!ENTITY b "c">]>'));
			await expect(contentOf(dtd)).rejects.toMatchObject({ kind: "refused" });
		});

		it("leave no file open", () => {
			expect(openFileCount()).toBe(0);
		});

		it("survive damage to their header and table", async () => {
			const bytes = await readFile(path.join(folder, "b.hds"));
			const outcomes = await surviveMutations(parallels, bytes, [
				{ at: 0, length: 64 },
				{ at: 64, length: 4 * 47 },
			]);
			expect(outcomes.read).toBeGreaterThan(0);
			expect(outcomes.refused).toBeGreaterThan(0);
		});

		it("survive damage to their descriptor", async () => {
			const pieces = [{ sectors: content.length / SECTOR, images: [["Plain", "plain.hds"]] }] as const;
			const text = descriptorOf({ pieces });
			const open = () => Promise.resolve(bytesSource(content, "plain.hds"));
			const property = fc.asyncProperty(
				fc.array(fc.tuple(fc.nat(text.length), fc.nat(12), fc.constantFrom("", "<", "9", "&x;", "</Shot>", "{")), {
					minLength: 1,
					maxLength: 3,
				}),
				async (edits) => {
					let edited = text;
					for (const [at, removed, put] of edits) edited = edited.slice(0, at) + put + edited.slice(at + removed);
					const source = bytesSource(new TextEncoder().encode(edited), "DiskDescriptor.xml");
					const neighbours = { open, openDisk: () => Promise.reject(new Error("not needed")) };
					const outcome = await parallels.open(source, neighbours).catch((error: unknown) => error);
					expect(outcome instanceof AnyvisorError || (outcome instanceof Object && "extents" in outcome)).toBe(true);
				},
			);
			await fc.assert(property, { numRuns: 150 });
		});
	},
);

describe("an expandable image", () => {
	const sample = fc.record({
		/** Sectors of a cluster. */
		tracks: fc.constantFrom(1, 8, 63, 128),
		/** Which clusters are there. */
		clusters: fc.array(fc.boolean(), { minLength: 1, maxLength: 60 }),
		missingSectors: fc.nat(500),
		large: fc.boolean(),
	});

	it("reads as its table says, whatever its clusters", async () => {
		const property = fc.asyncProperty(
			sample,
			fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 8 }),
			async (layout, windows) => {
				const { image, content } = build(layout);
				const disk = await openDisk(bytesSource(image, "built.hds"));
				expect(same(await readAll(disk), content)).toBe(true);
				for (const [a, b] of windows) {
					const from = a % content.length;
					const bytes = new Uint8Array(Math.min(content.length - from, b % 100_000)).fill(0xee);
					await disk.read(from, bytes);
					expect(same(bytes, content.subarray(from, from + bytes.length))).toBe(true);
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
			},
		);
		await fc.assert(property, { numRuns: 100 });
	});

	function build(layout: {
		readonly tracks: number;
		readonly clusters: readonly boolean[];
		readonly missingSectors: number;
		/** The later of the two kinds, whose table counts clusters. */
		readonly large: boolean;
	}) {
		const { tracks, clusters, missingSectors, large } = layout;
		const cluster = tracks * SECTOR;
		const there = clusters.flatMap((there, i) => (there ? [i] : [])).reverse();
		const first = Math.ceil((64 + clusters.length * 4) / cluster) * cluster;
		const image = Buffer.alloc(first + there.length * cluster);
		const sectors = clusters.length * tracks - (missingSectors % tracks);
		const content = new Uint8Array(clusters.length * cluster);
		image.write(large ? "WithouFreSpacExt" : "WithoutFreeSpace", "latin1");
		for (const [at, value] of [
			[16, 2],
			[28, tracks],
			[32, clusters.length],
			[36, sectors],
			// Left over in the small kind, where it does not count.
			[40, large ? 0 : 0xdead],
			[48, first / SECTOR],
		] as const) {
			image.writeUInt32LE(value, at);
		}
		for (const [place, index] of there.entries()) {
			const at = first + place * cluster;
			image.writeUInt32LE(at / (large ? cluster : SECTOR), 64 + index * 4);
			const data = content.subarray(index * cluster, (index + 1) * cluster);
			for (let i = 0; i < data.length; i++) data[i] = (index * 31 + i * 7 + (i >> 8)) % 256;
			image.set(data, at);
		}
		return { image: new Uint8Array(image), content: content.subarray(0, sectors * SECTOR) };
	}

	it("says that it was not closed", async () => {
		const { image } = build({ tracks: 8, clusters: [true, false], missingSectors: 0, large: true });
		const details = async () => (await openDisk(bytesSource(image))).details;
		expect(await details()).toEqual({ clusterSize: 4096, inUse: false });
		Buffer.from(image.buffer).writeUInt32LE(0x746f6e59, 44);
		expect(await details()).toEqual({ clusterSize: 4096, inUse: true });
	});
});
