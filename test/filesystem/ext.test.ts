import { chmod, chown, readFile, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { bytesSource, readBytes } from "../../src/bytes/source.js";
import { ext } from "../../src/filesystem/ext/index.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import {
	filesystemTree,
	folderTree,
	makeTree,
	mkfs,
	mutated,
	noise,
	openExtImage,
	openFile,
	readAll,
	sparseFile,
	type Tree,
} from "./ext-images.js";

const tools = ["mke2fs", "debugfs", "e2fsck", "blkid", "dumpe2fs"];

describe.skipIf(missing(...tools))(`ext2, ext3 and ext4 as mke2fs makes them ${because(...tools)}`, async () => {
	const folder = await temporaryFolder();
	const root = path.join(folder, "tree");
	const image = path.join(folder, "fs.img");
	let expected: Tree = {};

	beforeAll(async () => {
		await makeTree(root);
		await chmod(path.join(root, "hard"), 0o4751);
		await utimes(path.join(root, "hard"), 0, -86_400);
		// Not every machine lets its tests give files away.
		await chown(path.join(root, "hard"), 70_000, 123_456).catch(() => undefined);
		expected = await folderTree(root);
	});

	it.each([
		["-t ext4", "ext4"],
		["-t ext2 -b 1024", "ext2"],
		["-t ext2 -b 4096 -I 128", "ext2"],
		["-t ext2 -r 0", "ext2"],
		["-t ext2 -O ^filetype", "ext2"],
		["-t ext3 -b 2048", "ext3"],
		["-t ext4 -b 1024 -I 128", "ext4"],
		["-t ext4 -b 1024 -O inline_data", "ext4"],
		["-t ext4 -b 4096 -I 1024 -O inline_data,^extent,^64bit", "ext4"],
		["-t ext4 -b 1024 -g 1024 -O meta_bg,^resize_inode,^sparse_super", "ext4"],
		["-t ext4 -b 1024 -C 4096 -O bigalloc,meta_bg,^resize_inode", "ext4"],
		["-t ext4 -b 1024 -O sparse_super2,^metadata_csum,uninit_bg", "ext4"],
		["-t ext4 -O metadata_csum_seed,mmp,quota,casefold,encrypt,verity,large_dir,ea_inode,orphan_file", "ext4"],
		["-t ext4 -O ^has_journal,^dir_index,^flex_bg,^filetype", "ext4"],
		["-t ext4 -b 65536", "ext4"],
	])("%s", async (options, kind) => {
		await mkfs(image, 128, ["-L", "läbel", "-E", "root_owner", ...options.split(" ")], root);
		const { source } = await openFile(image);
		await using _ = source;
		const filesystem = await openExtImage(source);
		const { "/lost+found": __, ...tree } = await filesystemTree(filesystem);
		expect(tree).toEqual(expected);
		expect(filesystem.kind).toBe(kind);
		const blkid = await run("blkid", "-p", "-o", "export", image);
		expect(blkid).toContain(`TYPE=${kind}\n`);
		expect(filesystem.uuid).toBe(/^UUID=(.*)$/m.exec(blkid)?.[1] ?? "");
		expect(filesystem.label).toBe("läbel");
		const numbers = await run("dumpe2fs", "-h", image);
		const number = (name: string) => Number(new RegExp(`^${name}: +(\\d+)$`, "m").exec(numbers)?.[1]);
		expect(await filesystem.free?.()).toBe(number("Free blocks") * number("Block size"));
	});

	it("reads zeros where blocks were reserved but never written", async () => {
		const garbage = path.join(folder, "garbage");
		await writeFile(garbage, noise(200_000, 1));
		await mkfs(image, 2, ["-t", "ext4", "-b", "1024", "-O", "^has_journal"]);
		const orders = [
			`write ${garbage} first`,
			"rm first",
			"write /dev/null reserved",
			"fallocate reserved 0 199",
			"set_inode_field reserved size 150000",
		];
		const script = path.join(folder, "orders");
		await writeFile(script, orders.join("\n"));
		await run("debugfs", "-w", "-f", script, image);
		expect(await run("debugfs", "-R", "dump_extents reserved", image)).toContain("Uninit");
		const bytes = new Uint8Array(await readFile(image));
		expect(Buffer.from(bytes).includes(Buffer.from(noise(1000, 1)))).toBe(true);
		const filesystem = await openExtImage(bytesSource(bytes));
		expect(await readAll(await filesystem.open("/reserved"))).toEqual(new Uint8Array(150_000));
	});

	it("reads files of any extents and holes", async () => {
		const source = path.join(folder, "sparse");
		await run("mkdir", "-p", source);
		const offsets = fc.uniqueArray(fc.integer({ min: 0, max: 3000 }), { minLength: 1, maxLength: 400 });
		const options = fc.constantFrom(["-t", "ext4"], ["-t", "ext4", "-b", "1024"], ["-t", "ext2", "-b", "1024"]);
		await fc.assert(
			fc.asyncProperty(offsets, options, fc.nat(5000), async (blocks, format, within) => {
				const file = path.join(source, "file");
				const places = blocks.map((block) => block * 4096 + within);
				await sparseFile(file, places, 1500, 3001 * 4096 + 7000);
				await mkfs(image, 32, format, source);
				const opened = await openFile(image);
				await using _ = opened.source;
				const filesystem = await openExtImage(opened.source);
				const contents = await filesystem.open("/file");
				expect(Buffer.compare(await readAll(contents), await readFile(file))).toBe(0);
			}),
			{ numRuns: 8 },
		);
	});

	it("answers the same however it is asked, many times at once", async () => {
		await mkfs(image, 128, ["-t", "ext4", "-b", "1024"], root);
		const { source } = await openFile(image);
		await using _ = source;
		const filesystem = await openExtImage(source);
		const contents = await filesystem.open("/scattered");
		const whole = await readFile(path.join(root, "scattered"));
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
		const names = Object.keys(expected);
		const stats = await Promise.all(names.map((name) => filesystem.stat(name)));
		expect(stats.every((stat) => stat !== undefined)).toBe(true);
		await expect(contents.read(contents.size, new Uint8Array(1))).rejects.toMatchObject({ kind: "damaged" });
	});

	it("reads little more than what is asked for", async () => {
		await mkfs(image, 128, ["-t", "ext4"], root);
		const { source, read } = await openFile(image);
		await using _ = source;
		const filesystem = await openExtImage(source);
		expect(read.bytes).toBeLessThan(8192);
		const file = await filesystem.open("/one/two/file-300000-");
		expect(read.bytes).toBeLessThan(1 << 20);
		const before = read.times;
		await readAll(file);
		expect(read.times - before).toBeLessThan(8);
	});

	it("finds names in a large directory, and tells what is not there", async () => {
		await mkfs(image, 128, ["-t", "ext4"], root);
		const { source } = await openFile(image);
		await using _ = source;
		const filesystem = await openExtImage(source);
		expect(await filesystem.list("/many")).toHaveLength(900);
		expect(await filesystem.stat("/many/n1")).toMatchObject({ type: "file", size: 0 });
		expect(await filesystem.stat("/")).toMatchObject({ type: "directory", mode: 0o755 });
		for (const nothing of ["/no", "/many/no", "/many/n1/no", "/one/.", "/one/..", "/link-1/x"]) {
			expect(await filesystem.stat(nothing)).toBeUndefined();
			await expect(filesystem.list(nothing)).rejects.toMatchObject({ kind: "not-found" });
			await expect(filesystem.open(nothing)).rejects.toMatchObject({ kind: "not-found" });
		}
		await expect(filesystem.list("/many/n1")).rejects.toMatchObject({ kind: "not-found" });
		await expect(filesystem.open("/many")).rejects.toMatchObject({ kind: "not-found" });
		await expect(filesystem.open("/link-1")).rejects.toMatchObject({ kind: "not-found" });
	});

	it("scans a directory that is too large to be remembered", async () => {
		// debugfs takes minutes for this many names; so the blocks are built here, and a file becomes a directory.
		const blocks = path.join(folder, "blocks");
		const lostAndFound = 11;
		const name = (i: number) => `${"long-name-".repeat(24)}${i}`;
		const block = (first: number) => {
			const bytes = Buffer.alloc(4096);
			for (let i = 0; i < 16; i++) {
				bytes.writeUInt32LE(lostAndFound, i * 256);
				bytes.writeUInt16LE(256, i * 256 + 4);
				bytes.writeUInt8(bytes.write(name(first + i), i * 256 + 8), i * 256 + 6);
				bytes.writeUInt8(2, i * 256 + 7);
			}
			return bytes;
		};
		await writeFile(blocks, Buffer.concat(Array.from({ length: 1250 }, (_, i) => block(i * 16))));
		await mkfs(image, 16, ["-t", "ext2", "-b", "4096"]);
		const script = path.join(folder, "orders");
		await writeFile(script, `write ${blocks} large\nset_inode_field large mode 040755\n`);
		await run("debugfs", "-w", "-f", script, image);
		const { source } = await openFile(image);
		await using _ = source;
		const filesystem = await openExtImage(source);
		expect((await filesystem.stat("/large"))?.size).toBeGreaterThan(4 << 20);
		expect(await filesystem.list("/large")).toHaveLength(20_000);
		expect(await filesystem.stat(`/large/${name(19_999)}`)).toMatchObject({ type: "directory" });
		expect(await filesystem.stat(`/large/${name(20_000)}`)).toBeUndefined();
		expect(await filesystem.stat(`/large/${name(7)}`)).toMatchObject({ type: "directory" });
	});

	it("times have fractions and reach beyond 2038", async () => {
		await mkfs(image, 4, ["-t", "ext4", "-O", "^has_journal"], undefined);
		const script = path.join(folder, "orders");
		await writeFile(
			script,
			"write /dev/null f\nset_inode_field f mtime @0x7\nset_inode_field f mtime_extra 0x2faf0805\n",
		);
		await run("debugfs", "-w", "-f", script, image);
		const filesystem = await openExtImage(bytesSource(await readFile(image)));
		expect(await filesystem.stat("/f")).toMatchObject({ mtime: 2 ** 32 + 7 + 0x2faf0805 / 4e9 - 1 / 4e9 });
	});
});

describe.skipIf(missing(...tools))(`ext file systems that cannot be read ${because(...tools)}`, async () => {
	const folder = await temporaryFolder();
	const image = path.join(folder, "fs.img");

	const made = async (...options: string[]) => {
		await mkfs(image, 2, options);
		return new Uint8Array(await readFile(image));
	};

	it.each([
		[0x1, "COMPRESSION"],
		[0x8, "JOURNAL_DEV"],
		[0x1000, "DIRDATA"],
		[0x800000, "0x800000"],
		[-0x80000000, "0x80000000"],
	])("the feature %i is unsupported by its name", async (bit, name) => {
		const bytes = await made("-t", "ext2");
		new DataView(bytes.buffer).setUint32(1024 + 0x60, bit, true);
		await expect(ext.open(bytesSource(bytes, "x.img"))).rejects.toMatchObject({
			kind: "unsupported",
			file: "x.img",
			message: expect.stringContaining(name),
		});
	});

	it("a wrong checksum of the superblock is damage that e2fsck repairs", async () => {
		const bytes = await made("-t", "ext4");
		await expect(ext.open(mutated(bytes, [[1024 + 0x78, 1]]))).rejects.toMatchObject({
			kind: "damaged",
			offset: 1024,
			hint: expect.stringContaining("e2fsck"),
		});
	});

	it("what is no ext file system is not mine", async () => {
		expect(await ext.open(bytesSource(new Uint8Array(0)))).toBeUndefined();
		expect(await ext.open(bytesSource(new Uint8Array(2047)))).toBeUndefined();
		expect(await ext.open(bytesSource(noise(1 << 20, 3)))).toBeUndefined();
	});

	it("encrypted files and directories are refused when they are opened, and listed before", async () => {
		const small = path.join(folder, "small");
		await writeFile(small, "secret");
		await mkfs(image, 2, ["-t", "ext4", "-O", "encrypt,^has_journal"]);
		const script = path.join(folder, "orders");
		const orders = [
			`write ${small} file`,
			"mkdir dir",
			"symlink link target",
			"set_inode_field file flags 0x80800",
			"set_inode_field dir flags 0x80800",
			"set_inode_field link flags 0x800",
		];
		await writeFile(script, orders.join("\n"));
		await run("debugfs", "-w", "-f", script, image);
		const filesystem = await openExtImage(bytesSource(await readFile(image)));
		expect((await filesystem.list("/")).map(({ name }) => name).sort()).toEqual(["dir", "file", "link", "lost+found"]);
		expect(await filesystem.stat("/file")).toMatchObject({ size: 6 });
		await expect(filesystem.open("/file")).rejects.toMatchObject({ kind: "refused" });
		await expect(filesystem.list("/dir")).rejects.toMatchObject({ kind: "refused" });
		await expect(filesystem.stat("/dir/x")).rejects.toMatchObject({ kind: "refused" });
		await expect(filesystem.stat("/link")).rejects.toMatchObject({ kind: "refused" });
	});

	it("a volume that was cut short reads as far as it goes", async () => {
		const half = path.join(folder, "half");
		await writeFile(half, noise(1 << 20, 1));
		await mkfs(image, 4, ["-t", "ext2", "-b", "1024"]);
		await run("debugfs", "-w", "-R", `write ${half} half`, image);
		const bytes = await readFile(image);
		const filesystem = await openExtImage(bytesSource(bytes.subarray(0, 700_000)));
		const file = await filesystem.open("/half");
		expect(await readBytes(file, 0, 1000)).toEqual(noise(1 << 20, 1).subarray(0, 1000));
		await expect(readAll(file)).rejects.toMatchObject({ kind: "damaged" });
	});
});
