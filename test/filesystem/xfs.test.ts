import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { crc32c } from "../../src/bytes/checksum/index.js";
import { bytesSource } from "../../src/bytes/source.js";
import { xfs } from "../../src/filesystem/xfs/index.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { filesystemTree, folderTree, noise, openFile, readAll } from "./ext-images.js";
import { fill, inodeField, mkfsXfs, mounted, names, openXfsImage, unmountable } from "./xfs-images.js";

const folder = await temporaryFolder();
const image = path.join(folder, "fs.img");

const mounting = ["mkfs.xfs", "xfs_db", "xfs_io"];
const reason = missing(...mounting) ? because(...mounting) : unmountable(folder);

describe.skipIf(reason !== "")(`XFS as the kernel writes it ${reason}`, () => {
	const at = path.join(folder, "mounted");

	it.each([
		["-L a_label", 2500],
		["-b size=1024 -i size=512", 1500],
		["-b size=4096 -i size=2048 -n size=16384", 300],
		["-b size=4096 -n size=8192 -i size=1024 -s size=4096", 300],
		["-m bigtime=0,reflink=0,rmapbt=0 -i nrext64=0", 300],
		["-m bigtime=1,reflink=1,rmapbt=1 -i nrext64=1,sparse=1", 300],
		["-n size=65536 -d agcount=3", 300],
	])("mkfs.xfs %s", async (options, many) => {
		const blockSize = options.includes("-b size=1024") ? 1024 : 4096;
		await mkfsXfs(image, options);
		let available = 0;
		const expected = await mounted(image, at, async () => {
			await fill(at, many);
			await run("sync", "-f", at);
			available = Number(await run("stat", "-f", "-c", "%a", at)) * blockSize;
			return folderTree(at);
		});
		const { source } = await openFile(image);
		await using _ = source;
		const filesystem = await openXfsImage(source);
		expect(await filesystemTree(filesystem)).toEqual(expected);
		expect(filesystem.kind).toBe("xfs");
		const blkid = await run("blkid", "-p", "-o", "export", image);
		expect(filesystem.uuid).toBe(/^UUID=(.*)$/m.exec(blkid)?.[1]);
		expect(filesystem.label).toBe(/^LABEL=(.*)$/m.exec(blkid)?.[1] ?? "");
		const free = await filesystem.free?.();
		expect(free).toBeLessThanOrEqual(available);
		expect(free).toBeGreaterThan(available * 0.95 - 2 ** 20);
		expect(await inodeField(image, "/short", "core.format")).toContain("local");
		expect(await inodeField(image, "/scattered", "core.format")).toContain("btree");
		if (many < 1000) return;
		expect(await inodeField(image, "/block", "core.size")).toBe("4096");
		expect(await indexOf("/leaf", blockSize)).toContain("lhdr.info.hdr.magic = 0x3d");
		expect(await indexOf("/many", blockSize)).toContain("nhdr.info.hdr.magic = 0x3ebe");
	});

	/** The root of a directory's index: a leaf, or a node above leaves. */
	const indexOf = (name: string, blockSize: number) =>
		run("xfs_db", "-r", "-c", `path ${name}`, "-c", `dblock ${2 ** 35 / blockSize}`, "-c", "p", image);

	it("reads what is shared between files, and a file system whose UUID was changed", async () => {
		await mkfsXfs(image, "-m reflink=1");
		const expected = await mounted(image, at, async () => {
			await writeFile(path.join(at, "first"), noise(1 << 20, 1));
			await run("xfs_io", "-f", "-c", `reflink ${at}/first 0 0 1048576`, path.join(at, "second"));
			await run("xfs_io", "-c", "pwrite -q 100000 200000", path.join(at, "second"));
			return folderTree(at);
		});
		const uuid = "12345678-1234-1234-1234-123456789abc";
		await run("xfs_db", "-x", "-c", `uuid ${uuid}`, image);
		expect(await run("xfs_db", "-r", "-c", "version", image)).toContain("META_UUID");
		const filesystem = await openXfsImage(bytesSource(await readFile(image)));
		expect(filesystem.uuid).toBe(uuid);
		expect(await filesystemTree(filesystem)).toEqual(expected);
	});

	it("lists and stats ten thousand files for the bytes of their inodes and names", async () => {
		await mkfsXfs(image, "", 128);
		await mounted(image, at, async () => {
			for (let i = 0; i < 100; i++) {
				const here = path.join(at, `folder-${i}`);
				await mkdir(here);
				await Promise.all(names(100, 20).map((name) => writeFile(path.join(here, name), "")));
			}
		});
		const { source, read } = await openFile(image);
		await using _ = source;
		const filesystem = await openXfsImage(source);
		expect(read.bytes).toBeLessThan(128 << 10);
		expect(Object.keys(await filesystemTree(filesystem))).toHaveLength(10_100);
		// 10,100 inodes of 512 bytes are 5 MB; the rest is names, and what lies beside both in pieces of 64 KiB.
		expect(read.bytes).toBeLessThan(12 << 20);
	});
});

/** A prototype file: names with a type, mode, owner, and either contents, a target, or children. */
async function prototype(many: readonly string[], target = "somewhere") {
	const data = path.join(folder, "data");
	await writeFile(data, noise(70_000, 5));
	const file = path.join(folder, "prototype");
	const lines = [
		...["dummy", "0 0", "d--755 3 1", `file ---644 7 8 ${data}`, "set -u-755 0 0 /dev/null", "fifo p--600 1 1"],
		...["short d--700 70000 123456", "near l--777 1 2 target", `far l--777 1 2 ${target}`, "$"],
		...["many d--755 0 0", ...many.map((name) => `${name} ---640 9 9 /dev/null`), "$", "$"],
	];
	await writeFile(file, `${lines.join("\n")}\n`);
	return file;
}

describe.skipIf(missing("mkfs.xfs", "xfs_db"))(`XFS as mkfs.xfs makes it ${because("mkfs.xfs", "xfs_db")}`, () => {
	it.each([
		["-m crc=0 -n ftype=0 -b size=512 -i size=256", "btree"],
		["-m crc=0 -n ftype=1 -b size=4096", "btree"],
		["-m crc=0 -n ftype=0,size=8192,version=ci -b size=1024 -i size=512", ""],
		["-b size=1024", "extents"],
		["-b size=4096 -s size=4096 -i size=512", ""],
	])("%s", async (options, form) => {
		const many = names(2000, 60);
		// In version 5 mkfs.xfs writes long targets of links without their headers.
		const target = "t".repeat(options.includes("crc=0") ? 900 : 300);
		await mkfsXfs(image, options, 32, await prototype(many, target));
		expect(await inodeField(image, "/many", "core.format")).toContain(form);
		const bytes = await readFile(image);
		const filesystem = await openXfsImage(bytesSource(bytes));
		expect((await filesystem.list("/many")).map(({ name }) => name).sort()).toEqual([...many].sort());
		expect(await filesystem.list("/short")).toHaveLength(2);
		expect(await filesystem.stat("/short")).toMatchObject({
			type: "directory",
			mode: 0o700,
			uid: 70_000,
			gid: 123_456,
		});
		expect(await filesystem.stat("/short/near")).toMatchObject({ type: "link", target: "target", uid: 1, gid: 2 });
		expect(await filesystem.stat("/short/far")).toMatchObject({ target, size: target.length });
		expect(await filesystem.stat("/set")).toMatchObject({ type: "file", mode: 0o4755, size: 0 });
		expect(await filesystem.stat("/fifo")).toMatchObject({ type: "other", mode: 0o600 });
		expect(await filesystem.stat("/many/nn2")).toMatchObject({ type: "file", mode: 0o640, uid: 9, gid: 9 });
		expect(Math.abs(((await filesystem.stat("/"))?.mtime ?? 0) - Date.now() / 1000)).toBeLessThan(100);
		expect(await readAll(await filesystem.open("/file"))).toEqual(noise(70_000, 5));
		expect((await filesystem.stat("/MANY/Nn2"))?.type).toBe(options.includes("ci") ? "file" : undefined);
		for (const nothing of ["/no", "/many/no", "/many/nn2/no", "/many/..", "/short/near/x"]) {
			expect(await filesystem.stat(nothing)).toBeUndefined();
			await expect(filesystem.list(nothing)).rejects.toMatchObject({ kind: "not-found" });
			await expect(filesystem.open(nothing)).rejects.toMatchObject({ kind: "not-found" });
		}
		await expect(filesystem.open("/many")).rejects.toMatchObject({ kind: "not-found" });
		await expect(filesystem.list("/file")).rejects.toMatchObject({ kind: "not-found" });
	});

	it.each([
		["-b size=1024", 1 << 20],
		["-m crc=0 -b size=1024", 1 << 20],
	])("finds names in a directory too large to be remembered, through its index: %s", async (options, most) => {
		const many = Array.from({ length: 20_000 }, (_, i) => `${i}${"x".repeat(200 + (i % 40))}`);
		await mkfsXfs(image, options, 64, await prototype(many));
		const { source, read } = await openFile(image);
		await using _ = source;
		const filesystem = await openXfsImage(source);
		expect((await filesystem.stat("/many"))?.size).toBeGreaterThan(4 << 20);
		for (const name of many.slice(0, 3)) {
			expect(await filesystem.stat(`/many/${name}`)).toMatchObject({ type: "file" });
			expect(await filesystem.stat(`/many/${name}no`)).toBeUndefined();
		}
		expect(read.bytes).toBeLessThan(most);
		for (const name of many.slice(0, 2000)) expect(await filesystem.stat(`/many/${name}`)).toBeDefined();
		expect(await filesystem.list("/many")).toHaveLength(20_000);
	});

	/** An image with words of its superblock replaced, and its checksum right. */
	const changed = async (...words: readonly (readonly [at: number, value: number])[]) => {
		await mkfsXfs(image, "", 32);
		const bytes = new Uint8Array(await readFile(image));
		const view = new DataView(bytes.buffer);
		for (const [at, value] of words) view.setUint32(at, value);
		view.setUint32(224, 0);
		view.setUint32(224, crc32c(bytes.subarray(0, 512)), true);
		return bytesSource(bytes, "x.img");
	};

	it.each([
		[0x100, "METADIR"],
		[0x200, "ZONED"],
		[0x40000000, "0x40000000"],
	])("the feature %i is unsupported by its name", async (bit, name) => {
		await expect(xfs.open(await changed([216, 3 | bit]))).rejects.toMatchObject({
			kind: "unsupported",
			file: "x.img",
			offset: 216,
			message: expect.stringContaining(name),
		});
	});

	it("features that change nothing for a reader are read, and repairs that are needed are told", async () => {
		expect(await (await openXfsImage(await changed([216, 0xc3]))).list("/")).toEqual([]);
		await expect(xfs.open(await changed([216, 0x13]))).rejects.toMatchObject({
			kind: "refused",
			hint: expect.stringContaining("xfs_repair"),
		});
	});

	it("a log on another disk is unsupported, and version 3 too", async () => {
		await expect(xfs.open(await changed([48, 0], [52, 0]))).rejects.toMatchObject({ kind: "unsupported", offset: 48 });
		await expect(xfs.open(await changed([100, 0xb4a30200]))).rejects.toMatchObject({
			kind: "unsupported",
			offset: 100,
		});
	});

	it("files on the realtime device are refused when they are opened, and listed before", async () => {
		await mkfsXfs(image, "-m crc=0", 32, await prototype(["a"]));
		await run("xfs_db", "-x", "-c", "path /file", "-c", "write core.realtime 1", image);
		const filesystem = await openXfsImage(bytesSource(await readFile(image)));
		expect(await filesystem.stat("/file")).toMatchObject({ size: 70_000 });
		await expect(filesystem.open("/file")).rejects.toMatchObject({
			kind: "unsupported",
			message: expect.stringContaining("realtime"),
		});
	});

	it("what is no XFS is not mine", async () => {
		expect(await xfs.open(bytesSource(new Uint8Array(0)))).toBeUndefined();
		expect(await xfs.open(bytesSource(noise(1 << 20, 3)))).toBeUndefined();
	});
});
