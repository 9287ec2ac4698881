import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { crc32c } from "../../src/bytes/checksum/index.js";
import { type ByteSource, bytesSource, readBytes } from "../../src/bytes/source.js";
import { btrfs } from "../../src/filesystem/btrfs/index.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { kernelMade, makeFiles, mounted, noKernel, openBtrfs, prose, reading } from "./btrfs-images.js";
import { filesystemTree, folderTree, mkfs, mutated, noise, openFile, readAll } from "./ext-images.js";

const folder = await temporaryFolder();

describe.skipIf(noKernel !== "")(`Btrfs as the kernel writes it ${noKernel}`, () => {
	it.each([
		["", ""],
		["-m dup -d dup -O ^no-holes", ""],
		["--mixed -n 4096", ""],
		["-n 4096", "compress-force=lzo"],
		["-n 65536", "compress=zlib"],
		["-d raid0 -m raid0", "compress-force=zlib"],
		["--csum xxhash", "compress-force=zstd"],
		["--csum sha256", "compress=lzo"],
		["--csum blake2 -O ^no-holes", "compress=zstd"],
		["-R ^free-space-tree", "nodatacow"],
		["-m single", "max_inline=0,nodatasum"],
	])("mkfs.btrfs %s, mounted with %s", async (options, mount) => {
		const all = ["-L", "läbel", ...options.split(" ").filter((word) => word !== "")];
		const { image, tree } = await kernelMade(folder, { mkfs: all, mount }, makeFiles);
		await reading(image, async (filesystem) => {
			expect(await filesystemTree(filesystem)).toEqual(tree);
			const stat = await run("btrfs", "inspect-internal", "dump-super", image);
			const field = (name: string) => new RegExp(`^${name}\\s+(\\S+)`, "m").exec(stat)?.[1];
			expect(filesystem).toMatchObject({ kind: "btrfs", label: "läbel", uuid: field("fsid"), notes: [] });
			const [blocks = 0, size = 0] = (await mounted(image, mount, (root) => run("stat", "-f", "-c", "%a %S", root)))
				.split(" ")
				.map(Number);
			const free = await filesystem.free?.();
			// The kernel keeps a reserve where data and metadata share their chunks.
			expect(free).toBeGreaterThan(blocks * size * 0.9);
			expect(free).toBeLessThan(blocks * size + 16 * 2 ** 20);
		});
	});

	it("subvolumes are directories, can be opened by path and by id, and one of them is the default", async () => {
		const subvolume = (...args: string[]) => run("btrfs", "subvolume", ...args);
		const { image } = await kernelMade(folder, {}, async (root) => {
			await writeFile(path.join(root, "top"), "top");
			await subvolume("create", path.join(root, "@"));
			await writeFile(path.join(root, "@/file"), prose(9000));
			await mkdir(path.join(root, "@/plain"));
			await subvolume("create", path.join(root, "@/plain/nested"));
			await writeFile(path.join(root, "@/plain/nested/deep"), "deep");
			await subvolume("create", path.join(root, "@/.snapshots"));
			await mkdir(path.join(root, "@/.snapshots/1"));
			await subvolume("snapshot", path.join(root, "@"), path.join(root, "@/.snapshots/1/snapshot"));
			await writeFile(path.join(root, "@/file"), "changed after the snapshot");
			await subvolume("snapshot", "-r", path.join(root, "@"), path.join(root, "read-only"));
			await subvolume("create", path.join(root, "gone"));
			await subvolume("delete", "-c", path.join(root, "gone"));
			await subvolume("create", path.join(root, "before"));
			await rename(path.join(root, "before"), path.join(root, "@/after"));
		});
		const expected = await mounted(image, "subvolid=5", folderTree);
		const ids = new Map<string, number>();
		await mounted(image, "subvolid=5", async (root) => {
			for (const line of (await subvolume("list", root)).trim().split("\n")) {
				const [, id, name = ""] = /^ID (\d+) .* path (.*)$/.exec(line) ?? [];
				ids.set(name, Number(id));
			}
			await subvolume("set-default", String(ids.get("@/.snapshots/1/snapshot")), root);
		});
		expect(ids.size).toBe(6);
		/** What was not taken with a snapshot is an empty directory, as old as the mount. */
		const isPlaceholder = (name: string) =>
			/^\/(@\/\.snapshots\/1\/snapshot|read-only)\/(plain\/nested|\.snapshots)$/.test(name);
		const known = (tree: Record<string, string>) =>
			Object.fromEntries(
				Object.entries(tree).map(([name, text]) => [name, isPlaceholder(name) ? text.split(" ", 3).join(" ") : text]),
			);
		await reading(image, async (filesystem) => {
			expect((await filesystem.list("/")).map(({ name }) => name).sort()).toEqual([".snapshots", "file", "plain"]);
			expect(await filesystem.stat("/file")).toMatchObject({ size: 9000 });
			const top = await filesystem.subvolume?.(0);
			expect(await filesystem.subvolume?.("/")).toBe(top);
			if (top === undefined) throw new Error("no top");
			expect(known(await filesystemTree(top))).toEqual(known(expected));
			for (const [name, id] of ids) {
				const opened = await filesystem.subvolume?.(name);
				expect(opened).toBeDefined();
				expect(await top.subvolume?.(id)).toBe(opened);
			}
			expect(await filesystem.subvolume?.("@/.snapshots/1/snapshot")).toBe(filesystem);
			for (const nothing of [
				"@/plain",
				"top",
				"gone",
				"no",
				"@/.snapshots/1/snapshot/plain/nested",
				7,
				9,
				-9,
				4711,
				0.5,
			]) {
				expect(await filesystem.subvolume?.(nothing)).toBeUndefined();
			}
		});
		const byDefault = await mounted(image, "", folderTree);
		const inside = (tree: Record<string, string>) =>
			known(Object.fromEntries(Object.entries(tree).map(([name, text]) => [`/@/.snapshots/1/snapshot${name}`, text])));
		await reading(image, async (filesystem) => {
			expect(inside(await filesystemTree(filesystem))).toEqual(inside(byDefault));
		});
	});

	it("finds names in a large directory, those of one hash, and those that are no text", async () => {
		const [one, other] = sameHash();
		const odd = Buffer.from([0x61, 0xff, 0x62]);
		const { image, tree } = await kernelMade(folder, { mkfs: ["-n", "4096"] }, async (root) => {
			await mkdir(path.join(root, "many"));
			for (let i = 0; i < 3000; i++) await writeFile(path.join(root, `many/${"n".repeat(i % 50)}${i}`), "");
			await writeFile(path.join(root, `many/${one}`), "one");
			await writeFile(path.join(root, `many/${other}`), "other");
		});
		await mounted(image, "", async (root) => {
			await mkdir(path.join(root, "odd"));
			await writeFile(Buffer.concat([Buffer.from(path.join(root, "odd/")), odd]), "odd");
		});
		await reading(image, async (filesystem, read) => {
			expect(read.bytes).toBeLessThan(200_000);
			expect(await filesystem.list("/many")).toHaveLength(3002);
			expect(await filesystem.stat(`/many/${one}`)).toMatchObject({ size: 3 });
			expect(await filesystem.stat(`/many/${other}`)).toMatchObject({ size: 5 });
			const found = await filesystemTree(filesystem);
			expect(found["/odd/a\ufffdb"]).toMatch(/^file/);
			expect(Object.keys(found)).toHaveLength(Object.keys(tree).length + 2);
			for (const nothing of ["/no", "/many/no", "/many/n1/no", "/many/.", "/many/.."]) {
				expect(await filesystem.stat(nothing)).toBeUndefined();
				await expect(filesystem.list(nothing)).rejects.toMatchObject({ kind: "not-found" });
				await expect(filesystem.open(nothing)).rejects.toMatchObject({ kind: "not-found" });
			}
			await expect(filesystem.open("/many")).rejects.toMatchObject({ kind: "not-found" });
			await expect(filesystem.list(`/many/${one}`)).rejects.toMatchObject({ kind: "not-found" });
			// All nodes together, once or little more.
			expect(read.bytes).toBeLessThan(4 << 20);
		});
	});

	it("answers the same however it is asked, many times at once", async () => {
		const { image } = await kernelMade(folder, { mount: "compress=zstd" }, makeFiles);
		await reading(image, async (filesystem, read) => {
			const whole = await readAll(await filesystem.open("/clone-mixed"));
			const contents = await filesystem.open("/clone-mixed");
			const range = fc.tuple(fc.nat(contents.size), fc.nat(40_000));
			await fc.assert(
				fc.asyncProperty(fc.array(range, { minLength: 1, maxLength: 20 }), async (ranges) => {
					const parts = await Promise.all(
						ranges.map(([at, length]) => readBytes(contents, at, Math.min(length, contents.size - at))),
					);
					for (const [i, [at]] of ranges.entries()) {
						expect(Buffer.compare(parts[i] ?? Buffer.of(), whole.subarray(at, at + (parts[i]?.length ?? 0)))).toBe(0);
					}
				}),
				{ numRuns: 30 },
			);
			await expect(contents.read(contents.size, new Uint8Array(1))).rejects.toMatchObject({ kind: "damaged" });
			const before = read.bytes;
			await readBytes(await filesystem.open("/noise-1500000"), 700_000, 10);
			expect(read.bytes - before).toBeLessThan(100_000);
		});
	});

	it.skipIf(missing("btrfstune"))("reads a file system whose UUID was changed", async () => {
		const { image, tree } = await kernelMade(folder, {}, makeFiles);
		const uuid = "12345678-9abc-4def-8123-456789abcdef";
		await run("btrfstune", "-f", "-M", uuid, image);
		await reading(image, async (filesystem) => {
			expect(filesystem.uuid).toBe(uuid);
			expect(await filesystemTree(filesystem)).toEqual(tree);
		});
	});

	const converters = ["btrfs-convert", "mke2fs"];
	it.skipIf(missing(...converters))(`reads what was ext4 before ${because(...converters)}`, async () => {
		const source = path.join(folder, "source");
		await mkdir(source);
		await makeFiles(source);
		// mke2fs makes no links that are that long.
		await rm(path.join(source, "link-3000"));
		const image = await mkfs(path.join(folder, "converted.img"), 160, ["-t", "ext4", "-b", "4096"], source);
		await run("btrfs-convert", image);
		const tree = await mounted(image, "ro", folderTree);
		expect(Object.keys(tree)).toContain("/ext2_saved/image");
		await reading(image, async (filesystem) => expect(await filesystemTree(filesystem)).toEqual(tree));
	});

	it("takes the other copy where one is damaged, of nodes and of data", async () => {
		const { image, tree } = await kernelMade(folder, { mkfs: ["-m", "dup", "-d", "dup"] }, makeFiles);
		const chunks = await run("btrfs", "inspect-internal", "dump-tree", "-t", "chunk", image);
		const stripes = [...chunks.matchAll(/stripe 0 devid 1 offset (\d+)/g)].map(([, at]) => Number(at));
		const lengths = [...chunks.matchAll(/^\s+length (\d+) owner/gm)].map(([, length]) => Number(length));
		expect(stripes.length).toBeGreaterThan(2);
		const { source } = await openFile(image);
		await using _ = source;
		const halved: ByteSource = {
			...source,
			async read(at, into) {
				await source.read(at, into);
				for (const [i, from] of stripes.entries()) {
					const [begin, end] = [from - at, from - at + (lengths[i] ?? 0)];
					if (end > 0) into.fill(0xee, Math.max(begin, 0), end);
				}
			},
		};
		expect(await filesystemTree(await openBtrfs(halved))).toEqual(tree);
	});

	it.each([
		["", "damaged"],
		["nodatasum", "read"],
	])("data that are changed, mounted with %s, are %s", async (mount, outcome) => {
		const text = noise(100_000, 5);
		const { image } = await kernelMade(folder, { mount, size: 120 }, (root) =>
			writeFile(path.join(root, "file"), text),
		);
		const bytes = await readFile(image);
		bytes.writeUInt8(0x55, bytes.indexOf(text.subarray(5000, 6000)));
		const file = await (await openBtrfs(bytesSource(bytes, "x.img"))).open("/file");
		const found = await readBytes(file, 0, file.size).then(
			() => ({ kind: "read" }),
			(error: unknown) => error,
		);
		expect(found).toMatchObject(outcome === "read" ? { kind: "read" } : { kind: "damaged", file: "x.img" });
		expect(await readBytes(file, 8192, 1000)).toEqual(text.subarray(8192, 9192));
	});
});

/** Two names with the same CRC: among so many there is a pair. */
function sameHash(): [string, string] {
	const seen = new Map<number, string>();
	for (let i = 0; ; i++) {
		const name = `name-${i * 7919}`;
		const hash = crc32c(Buffer.from(name));
		const before = seen.get(hash);
		if (before !== undefined) return [before, name];
		seen.set(hash, name);
	}
}

describe.skipIf(missing("mkfs.btrfs"))(`Btrfs that cannot be read ${because("mkfs.btrfs")}`, () => {
	/** The first two superblocks and what lies between them, where a new file system has all its trees. */
	let pristine = new Uint8Array();
	beforeAll(async () => {
		const image = path.join(folder, "plain.img");
		await run("truncate", "-s", "120M", image);
		await run("mkfs.btrfs", "-q", "-L", "first", image);
		pristine = new Uint8Array((await readFile(image)).subarray(0, (64 << 20) + 4096));
	});
	const made = () => pristine.slice();
	const superblocks = [64 << 10, 64 << 20];
	/** Changes every copy of the superblock, and makes their checksums right again. */
	const withSuperblock = (bytes: Uint8Array, change: (view: DataView) => void, copies = superblocks) => {
		for (const at of copies) {
			const view = new DataView(bytes.buffer, at, 4096);
			change(view);
			view.setUint32(0, crc32c(bytes.subarray(at + 32, at + 4096)), true);
		}
		return bytesSource(bytes, "x.img");
	};

	it.each([
		["ZONED", 12n],
		["EXTENT_TREE_V2", 13n],
		["RAID_STRIPE_TREE", 14n],
		["2^40", 40n],
	])("the feature %s is unsupported by its name", async (name, bit) => {
		const source = withSuperblock(made(), (view) =>
			view.setBigUint64(0xbc, view.getBigUint64(0xbc, true) | (1n << bit), true),
		);
		await expect(btrfs.open(source)).rejects.toMatchObject({
			kind: "unsupported",
			file: "x.img",
			message: expect.stringContaining(name) as string,
		});
	});

	it.each([
		["sectors", 0x90, 0x1001],
		["nodes", 0x94, 0],
		["nodes", 0x94, 0x20000],
		["system chunks", 0xa0, 2049],
		["no devices", 0x88, 0],
		["type 9", 0xc4, 9],
	])("a superblock with wrong %s is an error", async (what, at, value) => {
		const source = withSuperblock(made(), (view) => view.setUint32(at, value, true));
		await expect(btrfs.open(source)).rejects.toMatchObject({ message: expect.stringContaining(what) as string });
	});

	it("takes the newest sound superblock", async () => {
		const bytes = made();
		const newer = withSuperblock(
			bytes,
			(view) => {
				new Uint8Array(view.buffer, view.byteOffset + 0x12b, 5).set(Buffer.from("newer"));
			},
			[64 << 20],
		);
		expect((await btrfs.open(newer))?.label).toBe("first");
		bytes[(64 << 10) + 0x12b] = 0x78;
		expect((await btrfs.open(newer))?.label).toBe("newer");
		bytes[(64 << 20) + 0x12b] = 0x78;
		await expect(btrfs.open(newer)).rejects.toMatchObject({
			kind: "damaged",
			offset: 64 << 10,
			hint: expect.stringContaining("btrfs check") as string,
		});
	});

	it("what is no Btrfs is not mine", async () => {
		expect(await btrfs.open(bytesSource(new Uint8Array(0)))).toBeUndefined();
		expect(await btrfs.open(bytesSource(noise(70_000, 3)))).toBeUndefined();
		const bytes = made();
		expect(await btrfs.open(mutated(bytes, [[(64 << 10) + 0x40, 0]]))).toBeUndefined();
	});
});
