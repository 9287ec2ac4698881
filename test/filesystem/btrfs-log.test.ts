import { link, mkdir, open, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { crc32c } from "../../src/bytes/checksum/index.js";
import { bytesSource } from "../../src/bytes/source.js";
import { btrfs } from "../../src/filesystem/btrfs/index.js";
import { because, run, temporaryFolder, trials } from "../support/tools.js";
import { kernelMade, mounted, noKernel, openBtrfs, prose, reading } from "./btrfs-images.js";
import { explore, tolerate } from "./explore.js";
import { filesystemTree, folderTree, noise } from "./ext-images.js";

const folder = await temporaryFolder();
const image = path.join(folder, "fs.img");
const crashed = path.join(folder, "crashed.img");

/** What `before` and then `after` did, as it is on the disk at once, when nothing was committed between. */
async function crash(
	mkfs: readonly string[],
	mount: string,
	before: (root: string) => Promise<void>,
	after: (root: string) => Promise<void>,
) {
	await kernelMade(folder, { mkfs, mount: `commit=300,${mount}`, size: 120 }, async (root) => {
		await before(root);
		await run("sync", "-f", root);
		await after(root);
		await run("cp", "--sparse=always", image, crashed);
	});
	const super_ = await run("btrfs", "inspect-internal", "dump-super", crashed);
	expect(super_).toMatch(/^log_root\s+[1-9]/m);
}

/** As the kernel sees it, which writes the log back: to a copy. */
async function asMounted() {
	const copy = path.join(folder, "copy.img");
	await run("cp", "--sparse=always", crashed, copy);
	return mounted(copy, "", async (root) => {
		const attributes = await run("getfattr", "--absolute-names", "-m", "user", "-d", path.join(root, "small"));
		return { tree: await folderTree(root), attributes: attributes.match(/^user.*$/gm) ?? [] };
	});
}

const synced = (...files: string[]) => run("sync", ...files);

async function manyFiles(root: string) {
	const at = (name: string) => path.join(root, name);
	for (const name of ["dir", "dir/deep", "other", "gone"]) await mkdir(at(name));
	for (let i = 0; i < 60; i++) await writeFile(at(`dir/${i}`), prose(i * 300));
	for (const name of ["a", "b", "c", "d"]) await writeFile(at(name), noise(300_000, name.charCodeAt(0)));
	await writeFile(at("small"), "inline");
	await writeFile(at("linked"), "linked");
	await run("btrfs", "subvolume", "create", at("sub"));
	await writeFile(at("sub/file"), prose(20_000));
	await link(at("linked"), at("other/linked"));
	await run("setfattr", "-n", "user.old", "-v", "old", at("small"));
}

async function write(file: string, ...parts: readonly (readonly [at: number, bytes: Uint8Array])[]) {
	const handle = await open(file, "r+");
	for (const [at, bytes] of parts) await handle.write(bytes, 0, bytes.length, at);
	await handle.close();
}

const changes: Readonly<Record<string, (at: (name: string) => string) => Promise<unknown>>> = {
	"new files, of every kind": async (at) => {
		await writeFile(at("new"), noise(200_000, 1));
		await writeFile(at("dir/deep/inline"), "small");
		await mkdir(at("made"));
		await writeFile(at("made/inside"), prose(50_000));
		await symlink("somewhere", at("made/link"));
		await writeFile(at("never synced"), "lost");
		await write(at("sub/file"), [5000, noise(3000, 1)]);
		await writeFile(at("sub/new"), prose(9000));
		await synced(at("sub/file"), at("sub/new"), at("new"), at("dir/deep/inline"), at("made/inside"), at("made"));
	},
	"files that are written in part, shortened and lengthened": async (at) => {
		await write(at("a"), [10_000, noise(9000, 2)], [100_000, noise(70_000, 3)], [299_000, noise(40_000, 4)]);
		await truncate(at("b"), 77_777);
		await truncate(at("c"), 900_000);
		await write(at("c"), [800_000, noise(5000, 5)]);
		await run("fallocate", "--punch-hole", "--offset", "40960", "--length", "81920", at("d"));
		await writeFile(at("small"), prose(100_000));
		await synced(at("a"), at("b"), at("c"), at("d"), at("small"));
		await write(at("a"), [20_000, noise(3000, 6)]);
		await synced(at("a"));
	},
	"files with another name": async (at) => {
		await rename(at("a"), at("renamed"));
		await synced(at("renamed"));
	},
	"files with a further name": async (at) => {
		await link(at("c"), at("dir/second"));
		await synced(at("c"));
	},
	"names that are gone": async (at) => {
		for (let i = 20; i < 50; i += 3) await rm(at(`dir/${i}`));
		await synced(at("dir"));
	},
	"names that are moved": async (at) => {
		await rename(at("dir/9"), at("dir/10"));
		await rename(at("dir/11"), at("dir/moved"));
		await synced(at("dir"));
	},
	"a file in place of another": async (at) => {
		for (const name of ["small", "dir/20", "other/linked"]) {
			await writeFile(at("temporary"), `instead of ${name}`);
			await synced(at("temporary"));
			await rename(at("temporary"), at(name));
		}
		await synced(at("small"), at("."));
	},
	"attributes, owners and modes": async (at) => {
		await run("setfattr", "-x", "user.old", at("small"));
		await run("setfattr", "-n", "user.new", "-v", "new", at("small"));
		await run("chown", "12:34", at("small"));
		await run("chmod", "4711", at("a"));
		await run("touch", "-d", "1999-01-02 03:04:05.678", at("a"));
		await write(at("small"), [2, Buffer.from("!")]);
		await synced(at("small"), at("a"));
	},
};

const attr = ["setfattr", "getfattr"];
const reason = noKernel || because(...attr);

describe.skipIf(reason !== "")(`Btrfs whose log was left behind ${reason}`, () => {
	const small = "-n 4096 -O ^no-holes";
	const inPart = "files that are written in part, shortened and lengthened";
	const runs: readonly (readonly [options: string, mount: string, names: readonly string[]])[] = [
		["", "", ["new files, of every kind", inPart]],
		[
			small,
			"compress=zstd",
			["files with another name", "files with a further name", "names that are gone", "names that are moved"],
		],
		[small, "", ["a file in place of another"]],
		["--csum xxhash -O ^no-holes", "nodatacow", [inPart, "attributes, owners and modes"]],
	];
	it.each(runs)("mkfs.btrfs %s, mounted with %s: %j", async (options, mount, names) => {
		const mkfs = options.split(" ").filter((word) => word !== "");
		await crash(mkfs, mount, manyFiles, async (root) => {
			for (const name of names) await changes[name]?.((file) => path.join(root, file));
		});
		const expected = await asMounted();
		await reading(crashed, async (filesystem) => {
			expect(await filesystemTree(filesystem)).toEqual(expected.tree);
			expect(filesystem.notes).toEqual([]);
			const attributes = [...((await filesystem.extendedAttributes?.("/small")) ?? [])];
			const texts = attributes.map(([name, value]) => `${name}="${Buffer.from(value).toString()}"`);
			expect(texts).toEqual(expected.attributes);
		});
	});

	describe("that is damaged", () => {
		let bytes = new Uint8Array();
		/** Nodes of the log, which are newer than the superblock. */
		let nodes: readonly number[] = [];
		const NODE = 4096;
		const sign = (at: number) =>
			new DataView(bytes.buffer).setUint32(at, crc32c(bytes.subarray(at + 32, at + NODE)), true);

		beforeAll(async () => {
			const mkfs = ["--mixed", "-n", "4096", "-m", "single", "-d", "single"];
			await crash(mkfs, "", manyFiles, async (root) => {
				const at = (name: string) => path.join(root, name);
				await changes["new files, of every kind"]?.(at);
				await changes["names that are gone"]?.(at);
				await changes[inPart]?.(at);
			});
			bytes = new Uint8Array(await readFile(crashed));
			const view = new DataView(bytes.buffer);
			const superblock = 64 << 10;
			const generation = view.getBigUint64(superblock + 72, true) + 1n;
			const uuid = bytes.slice(superblock + 32, superblock + 48);
			nodes = Array.from({ length: bytes.length / NODE }, (_, i) => i * NODE).filter(
				(at) => view.getBigUint64(at + 80, true) === generation && uuid.every((byte, i) => byte === bytes[at + 32 + i]),
			);
		});

		it("is told, and what was committed before is read", async () => {
			expect(nodes.length).toBeGreaterThan(3);
			const changed = bytes.slice();
			for (const at of nodes) changed.fill(0x5a, at + 300, at + 400);
			const filesystem = await openBtrfs(bytesSource(changed, "x.img"));
			expect(filesystem.notes).toEqual([expect.stringContaining("log")]);
			expect(await filesystem.stat("/new")).toBeUndefined();
			expect(await filesystem.stat("/dir/20")).toMatchObject({ size: 6000 });
		});

		it("any change to it whose checksum was made right is an error or harmless", async () => {
			const offset = fc.oneof(fc.integer({ min: 48, max: 500 }), fc.integer({ min: 48, max: NODE - 1 }));
			const value = fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x7f, 0x80, 0xfe, 0xff));
			const change = fc.tuple(fc.nat(), offset, value);
			await fc.assert(
				fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (all) => {
					const places = all.map(([which]) => nodes[which % nodes.length] ?? 0);
					const before = places.map((at) => bytes.slice(at, at + NODE));
					for (const [i, [, at, byte]] of all.entries()) bytes[(places[i] ?? 0) + at] = byte;
					for (const at of places) sign(at);
					const begin = performance.now();
					const filesystem = await tolerate(btrfs.open(bytesSource(bytes, "mutated.img")));
					expect(performance.now() - begin).toBeLessThan(2000);
					if (filesystem !== undefined) await explore(filesystem);
					expect(performance.now() - begin).toBeLessThan(10_000);
					for (const [i, at] of places.entries()) bytes.set(before[i] ?? [], at);
				}),
				{ numRuns: trials(30) },
			);
		});
	});
});
