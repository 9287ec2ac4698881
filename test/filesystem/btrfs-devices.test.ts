import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, rmdir, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { crc32c } from "../../src/bytes/checksum/index.js";
import { type ByteSource, type ByteStore, readBytes } from "../../src/bytes/source.js";
import { openRaw } from "../../src/disk/raw/read.js";
import { btrfs } from "../../src/filesystem/btrfs/index.js";
import { lookAtFiles } from "../../src/pipeline.js";
import { ExternalEditing } from "../../src/prepare/index.js";
import { run, temporaryFolder, trials } from "../support/tools.js";
import { noKernel, prose } from "./btrfs-images.js";
import { explore, tolerate } from "./explore.js";
import { filesystemTree, folderTree, noise, openFile, type Tree } from "./ext-images.js";

const folder = await temporaryFolder();
const files: AsyncDisposable[] = [];
afterEach(async () => {
	for (const file of files.splice(0)) await file[Symbol.asyncDispose]();
});

/** What `work` finds out about a file system on several images that is mounted. */
async function mountedAll<T>(images: readonly string[], options: string, work: (root: string) => Promise<T>) {
	const root = await mkdtemp(path.join(folder, "mounted-"));
	const loops = images.map((image) => execFileSync("losetup", ["-f", "--show", image], { encoding: "utf8" }).trim());
	try {
		const devices = loops.map((loop) => `device=${loop}`).join(",");
		execFileSync("mount", ["-t", "btrfs", "-o", `${devices},${options}`, loops[0] ?? "", root], { stdio: "pipe" });
		try {
			return await work(root);
		} finally {
			execFileSync("umount", [root]);
		}
	} finally {
		// Otherwise the kernel goes on knowing devices that are no more.
		for (const loop of loops) execFileSync("btrfs", ["device", "scan", "--forget", loop], { stdio: "pipe" });
		for (const loop of loops) execFileSync("losetup", ["-d", loop]);
		await rmdir(root);
	}
}

async function makeImages(count: number, ...options: string[]): Promise<readonly string[]> {
	const images = Array.from({ length: count }, (_, i) => path.join(folder, `device-${i + 1}.img`));
	for (const image of images) {
		await rm(image, { force: true });
		await writeFile(image, "");
		await truncate(image, 200 << 20);
	}
	await run("mkfs.btrfs", "-q", "-f", ...options, ...images);
	return images;
}

/** More than a round of every profile, and nodes enough for a tree of some levels. */
async function fill(root: string): Promise<void> {
	for (const size of [1, 3000, 70_000, 800_001]) {
		await writeFile(path.join(root, `prose-${size}`), prose(size));
		await writeFile(path.join(root, `noise-${size}`), noise(size, size));
	}
	await mkdir(path.join(root, "etc"));
	for (let i = 0; i < 100; i++) await writeFile(path.join(root, `etc/file-${i}`), prose(i * 7));
}

async function sourcesOf(images: readonly string[]): Promise<readonly ByteSource[]> {
	const opened = await Promise.all(images.map(openFile));
	for (const { source } of opened) files.push(source);
	return opened.map(({ source }) => source);
}

async function openAll(sources: readonly ByteSource[]) {
	const [first, ...others] = sources;
	const filesystem = first && (await btrfs.open(first, others));
	if (filesystem === undefined) throw new Error("not recognised");
	return filesystem;
}

describe.skipIf(noKernel !== "")(`Btrfs on several devices ${noKernel}`, () => {
	it.each([
		["dup", "raid0", 3, false],
		["raid1", "single", 2, false],
		["raid1c3", "raid10", 4, true],
		["raid5", "raid6", 4, false],
	])("metadata %s, data %s, on %i devices", async (metadata, data, count, mirrored) => {
		const images = await makeImages(count, "-m", metadata, "-d", data);
		const tree = await mountedAll(images, "compress=zstd", async (root) => {
			await fill(root);
			return folderTree(root);
		});
		const sources = await sourcesOf(images);
		for (const order of [sources, sources.toReversed()]) {
			const filesystem = await openAll(order);
			expect(await filesystemTree(filesystem)).toEqual(tree);
			expect(filesystem).toMatchObject({ notes: [], devices: order });
		}
		for (const lost of mirrored ? [0, count - 1] : []) {
			const filesystem = await openAll(sources.filter((_, i) => i !== lost));
			expect(await filesystemTree(filesystem)).toEqual(tree);
			const told = [expect.stringMatching(new RegExp(`device ${lost + 1} \\([-0-9a-f]{36}\\): .* copies elsewhere`))];
			expect(filesystem.notes).toEqual(told);
		}
		if (mirrored) return;
		const failure = await openAll(sources.slice(1))
			.then(filesystemTree)
			.catch((error: unknown) => error);
		expect(failure).toMatchObject({
			kind: "not-found",
			message: expect.stringMatching(/device 1 \([-0-9a-f]{36}\)/) as string,
			hint: expect.stringContaining("disks") as string,
		});
	});

	describe("a mirror", () => {
		let images: readonly string[] = [];
		let tree: Tree = {};
		beforeAll(async () => {
			images = await makeImages(2, "-m", "raid1", "-d", "raid1");
			tree = await mountedAll(images, "", async (root) => {
				await fill(root);
				await writeFile(path.join(root, "etc/fstab"), "");
				await mkdir(path.join(root, "usr"));
				return folderTree(root);
			});
		});

		it("is read from the other copy where one is damaged", async () => {
			const [first, second] = await sourcesOf(images);
			if (first === undefined || second === undefined) throw new Error("two devices");
			/** Everything of a device but its superblock and the first MiB, in every other MiB. */
			const torn = (source: ByteSource, parity: number): ByteSource => ({
				name: source.name,
				size: source.size,
				async read(at, into) {
					await source.read(at, into);
					for (let i = 0; i < into.length; i += 512) {
						const mebibyte = Math.floor((at + i) / 2 ** 20);
						if (mebibyte !== 0 && mebibyte !== 64 && mebibyte % 2 === parity) into.fill(0xee, i, i + 512);
					}
				},
			});
			expect(await filesystemTree(await openAll([torn(first, 0), second]))).toEqual(tree);
			expect(await filesystemTree(await openAll([torn(first, 1), second]))).toEqual(tree);
			expect(await filesystemTree(await openAll([first, torn(second, 1)]))).toEqual(tree);
			const both = openAll([torn(first, 0), torn(second, 0)]).then(filesystemTree);
			await expect(both).rejects.toMatchObject({
				kind: "damaged",
				file: expect.stringMatching(/device-[12]\.img/) as string,
			});
		});

		it("is one file system on two disks of a machine, and not edited elsewhere", async () => {
			const disks = (await sourcesOf(images)).map((source) => openRaw(source));
			const { volumes, tree: guest } = await lookAtFiles({ disks });
			expect(
				volumes.map(({ filesystem, recognised, problem }) => [filesystem?.kind, recognised?.name, problem]),
			).toEqual([
				["btrfs", undefined, undefined],
				[undefined, "a Btrfs device", undefined],
			]);
			expect(volumes[0]?.mount).toBe("/");
			expect(await guest?.readText("/prose-3000")).toBe(prose(3000).toString());
			const filesystem = volumes[0]?.filesystem;
			if (filesystem === undefined) throw new Error("no file system");
			const editing = new ExternalEditing(() => Promise.resolve());
			expect(editing.editorFor(filesystem, disks[0] as unknown as ByteStore)).toBeUndefined();
		});

		it("is read from the device that was written last, and what was left behind is told", async () => {
			const [one = "", two = ""] = images;
			const copy = path.join(folder, "stale.img");
			await run("cp", "--sparse=always", two, copy);
			const [stale] = await sourcesOf([copy]);
			// Without checksums, nothing but its generation tells an old copy.
			const changed = await mountedAll([one], "degraded,nodatasum", async (root) => {
				await run("dd", "if=/dev/zero", `of=${path.join(root, "noise-70000")}`, "bs=1k", "count=9", "conv=notrunc");
				await writeFile(path.join(root, "new"), noise(300_000, 1));
				return folderTree(root);
			});
			const [newer] = await sourcesOf([one]);
			if (newer === undefined || stale === undefined) throw new Error("no device");
			for (const order of [
				[newer, stale],
				[stale, newer],
			]) {
				const filesystem = await openAll(order);
				expect(await filesystemTree(filesystem)).toEqual(changed);
				expect(filesystem.notes).toEqual([expect.stringMatching(/^Device 2 .*stale\.img.* left behind/)]);
				expect(filesystem.devices).toEqual(order);
			}
		});

		it("survives any change to the superblocks and to the system's chunks", async () => {
			const SUPERBLOCK = 64 << 10;
			const sources = await sourcesOf(images);
			const originals = await Promise.all(sources.map((source) => readBytes(source, SUPERBLOCK, 4096)));
			const offset = fc.oneof(fc.integer({ min: 32, max: 300 }), fc.integer({ min: 811, max: 1000 }));
			const value = fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 2, 0x7f, 0x80, 0xff));
			const change = fc.tuple(fc.nat(1), offset, value);
			await fc.assert(
				fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
					const blocks = originals.map((block) => block.slice());
					for (const [which, at, byte] of changes) blocks[which]?.fill(byte, at, at + 1);
					const mutated = sources.map((whole, i): ByteSource => {
						const block = blocks[i] ?? new Uint8Array();
						new DataView(block.buffer).setUint32(0, crc32c(block.subarray(32)), true);
						return {
							name: whole.name,
							// Only the first copy of the superblock is left.
							size: 64 << 20,
							async read(at, into) {
								await whole.read(at, into);
								for (let j = 0; j < into.length; j++) {
									const within = at + j - SUPERBLOCK;
									if (within >= 4096) break;
									if (within >= 0) into[j] = block[within] ?? 0;
								}
							},
						};
					});
					const begin = performance.now();
					for (const order of [mutated, mutated.toReversed()]) {
						const filesystem = await tolerate(openAll(order).catch(forgive));
						if (filesystem !== undefined) await explore(filesystem);
					}
					expect(performance.now() - begin).toBeLessThan(4000);
				}),
				{ numRuns: trials(25) },
			);
		});
	});
});

/** A magic that was changed is nothing that is recognised. */
function forgive(error: unknown): undefined {
	if (error instanceof Error && error.message === "not recognised") return undefined;
	throw error;
}
