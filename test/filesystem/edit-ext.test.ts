import { createHash, randomFillSync } from "node:crypto";
import { mkdir, readFile, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { editExt } from "../../src/filesystem/ext/edit.js";
import type { Attributes, Editor } from "../../src/filesystem/filesystem.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { before, editEverything, exactModelTimes, exactTimes, grow } from "./edit-everything.js";
import { modelTree, mountedTree } from "./edit-model.js";
import { fileStore, memoryStore } from "./store.js";
import { mounted, unmountable } from "./xfs-images.js";

const tools = ["mke2fs", "e2fsck", "debugfs"];

/** Everything mke2fs makes by default for some system, and what differs on the volume. */
const variants: readonly (readonly [name: string, options: readonly string[]])[] = [
	["ext2", ["-t", "ext2"]],
	["ext2 of old: revision 0", ["-t", "ext2", "-r", "0", "-I", "128"]],
	["ext2 without file types in directories", ["-t", "ext2", "-O", "^filetype,^dir_index"]],
	["ext3, 2 KiB blocks", ["-t", "ext3", "-b", "2048"]],
	["ext4 of Debian 12", ["-t", "ext4", "-b", "4096"]],
	["ext4, 1 KiB blocks", ["-t", "ext4", "-b", "1024"]],
	["ext4, inodes of 128 bytes", ["-t", "ext4", "-I", "128"]],
	["ext4, inodes of 1024 bytes, inline data", ["-t", "ext4", "-b", "4096", "-I", "1024", "-O", "inline_data"]],
	["ext4, inline data", ["-t", "ext4", "-O", "inline_data"]],
	["ext4 of e2fsprogs 1.47: orphan file, checksum seed", ["-t", "ext4", "-O", "orphan_file,metadata_csum_seed"]],
	["ext4 of old: no metadata checksums, 32 bits", ["-t", "ext4", "-O", "^metadata_csum,^64bit,uninit_bg"]],
	["ext4 without extents", ["-t", "ext4", "-O", "^extents,^64bit"]],
	["ext4 without a journal, meta block groups", ["-t", "ext4", "-O", "^has_journal,meta_bg,^resize_inode"]],
	["ext4, newer features that change little", ["-t", "ext4", "-O", "large_dir,ea_inode,sparse_super2,fast_commit"]],
];

const time = 1_750_000_000;
const root: Attributes = { mode: 0o644, uid: 0, gid: 0, mtime: time };

describe.skipIf(missing(...tools))(`ext2, ext3 and ext4, edited ${because(...tools)}`, async () => {
	const folder = await temporaryFolder();
	const tree = path.join(folder, "tree");
	const image = path.join(folder, "test.img");
	const initrd = randomFillSync(new Uint8Array(4_000_001));
	const overlay = randomFillSync(new Uint8Array(1_000_000));

	beforeAll(async () => {
		await mkdir(path.join(tree, "boot"), { recursive: true });
		await mkdir(path.join(tree, "etc/many"), { recursive: true });
		await writeFile(path.join(tree, "boot/initrd.img"), initrd);
		await writeFile(path.join(tree, "etc/fstab"), "/dev/sda1 / ext4 defaults 0 1\n");
		await writeFile(path.join(tree, "etc/tiny"), "tiny");
		await writeFile(path.join(tree, "etc/other"), overlay.subarray(0, 12_345));
		for (let i = 0; i < 150; i++) {
			await writeFile(path.join(tree, `etc/many/a rather long name, number ${i}`), `${i}`);
		}
		await run("ln", "-s", "fstab", path.join(tree, "etc/link"));
	});

	async function format(mebibytes: number, options: readonly string[], contents = tree): Promise<void> {
		await writeFile(image, "");
		await truncate(image, mebibytes * 2 ** 20);
		await run("mke2fs", "-q", "-F", ...options, "-d", contents, image);
	}

	async function edit(change: (editor: Editor) => Promise<void>): Promise<void> {
		const editor = await editExt(await fileStore(image));
		await change(editor);
		await editor.close();
	}

	const debugfs = (request: string) => run("debugfs", "-R", request, image);

	async function contentsOf(name: string): Promise<Uint8Array> {
		const file = path.join(folder, "dumped");
		await debugfs(`dump "${name}" ${file}`);
		return readFile(file);
	}

	/** Hashes of all files, as debugfs extracts them. */
	async function hashes(): Promise<Map<string, string>> {
		const out = path.join(folder, "extracted");
		await run("rm", "-rf", out);
		await mkdir(out);
		await debugfs(`rdump / ${out}`);
		const found = await run("find", out, "-type", "f", "-print0");
		const names = found.split("\0").filter((name) => name !== "");
		return new Map(
			await Promise.all(
				names.map(async (name): Promise<[string, string]> => {
					const hash = createHash("sha1").update(await readFile(name));
					return [name.slice(out.length), hash.digest("hex")];
				}),
			),
		);
	}

	it.each(variants)("is clean to e2fsck and as debugfs sees it: %s", async (_, options) => {
		await format(32, options);
		// Indexes the larger directory; mke2fs leaves that to the kernel.
		await run("e2fsck", "-fyD", image).catch(() => "");
		await run("debugfs", "-w", "-R", "ea_set /etc/fstab user.kept yes", image);
		await run("debugfs", "-w", "-R", "set_inode_field /etc/fstab mode 0100600", image);
		await run("debugfs", "-w", "-R", "set_inode_field /etc/fstab uid 70000", image);
		await run("e2fsck", "-fn", image);
		const before = await hashes();
		const owner = /User: +\d+ +Group: +\d+/.exec(await debugfs("stat /etc/fstab"))?.[0];
		const attribute = await debugfs("ea_get /etc/fstab user.kept");
		await edit(async (editor) => {
			await editor.appendFile("/boot/initrd.img", overlay, time);
			await editor.writeFile("/etc/fstab", new TextEncoder().encode("UUID=1234 / ext4 defaults 0 1\n"), root);
			await editor.writeFile("/etc/tiny", overlay.subarray(0, 20_000), root);
			await editor.makeDirectory("/etc/initramfs-tools", { mode: 0o2750, uid: 100_000, gid: 8, mtime: time + 0.5 });
			await editor.makeDirectory("/etc/initramfs-tools", root);
			await editor.makeDirectory("/etc/initramfs-tools/conf.d", { ...root, mode: 0o755 });
			await editor.writeFile("/etc/initramfs-tools/conf.d/modules", overlay.subarray(0, 700_000), {
				mode: 0o4711,
				uid: 1000,
				gid: 65_537,
				mtime: time + 0.25,
			});
			await editor.writeFile("/etc/empty", new Uint8Array(), root);
			await editor.writeFile("/etc/small", overlay.subarray(0, 10), root);
			await editor.appendFile("/etc/small", overlay.subarray(10, 5000), time);
			for (let i = 0; i < 20; i++) {
				await editor.writeFile(`/etc/many/a new long name, number ${i}`, new TextEncoder().encode(`${i}`), root);
			}
		});

		await run("e2fsck", "-fn", image);
		const after = await hashes();
		const changed = [...after].filter(([name, hash]) => before.get(name) !== hash).map(([name]) => name);
		expect(changed.filter((name) => !name.startsWith("/etc/many/")).sort()).toEqual([
			"/boot/initrd.img",
			"/etc/empty",
			"/etc/fstab",
			"/etc/initramfs-tools/conf.d/modules",
			"/etc/small",
			"/etc/tiny",
		]);
		expect(changed.length).toBe(6 + 20);
		expect(Buffer.compare(await contentsOf("/boot/initrd.img"), Buffer.concat([initrd, overlay]))).toBe(0);
		expect(Buffer.compare(await contentsOf("/etc/tiny"), overlay.subarray(0, 20_000))).toBe(0);
		expect(Buffer.compare(await contentsOf("/etc/small"), overlay.subarray(0, 5000))).toBe(0);
		expect(Buffer.compare(await contentsOf("/etc/initramfs-tools/conf.d/modules"), overlay.subarray(0, 700_000))).toBe(
			0,
		);

		const stamp = `0x${time.toString(16)}`;
		const kept = await debugfs("stat /etc/fstab");
		expect(kept).toMatch(/Mode: +0600/);
		expect(kept).toContain(owner);
		expect(kept).toContain(`mtime: ${stamp}`);
		expect(await debugfs("ea_get /etc/fstab user.kept")).toBe(attribute);
		const made = await debugfs("stat /etc/initramfs-tools/conf.d/modules");
		expect(made).toMatch(/Mode: +04711/);
		expect(made).toMatch(/User: +1000 +Group: +65537/);
		const small = options.includes("128");
		const quarter = small ? "" : ":3b9aca00";
		for (const kind of ["atime", "ctime", "mtime"]) expect(made).toContain(`${kind}: ${stamp}${quarter}`);
		expect(small || made.includes(`crtime: ${stamp}${quarter}`)).toBe(true);
		const directory = await debugfs("stat /etc/initramfs-tools");
		expect(directory).toMatch(/Type: directory +Mode: +02750/);
		expect(directory).toMatch(/User: 100000 +Group: +8/);
		expect(await debugfs("stat /boot/initrd.img")).toMatch(/Mode: +0644/);
	});

	it("appends into blocks that were set aside behind the end, written or not", async () => {
		await format(40, ["-t", "ext4", "-b", "1024"]);
		const size = initrd.length;
		const first = Math.ceil(size / 1024);
		await run("debugfs", "-w", "-R", `fallocate /boot/initrd.img ${first} ${first + 500}`, image);
		await run("debugfs", "-w", "-R", `fallocate /boot/initrd.img ${first + 900} ${first + 1300}`, image);
		await run("debugfs", "-w", "-R", `set_inode_field /boot/initrd.img size ${size}`, image);
		expect(await debugfs("stat /boot/initrd.img")).toContain("[u]");
		await edit((editor) => editor.appendFile("/boot/initrd.img", overlay, time));
		await run("e2fsck", "-fn", image);
		expect(Buffer.compare(await contentsOf("/boot/initrd.img"), Buffer.concat([initrd, overlay]))).toBe(0);
	});

	it("enlarges a directory for new directories too", async () => {
		const empty = path.join(folder, "empty");
		await mkdir(empty, { recursive: true });
		await format(16, ["-t", "ext4", "-b", "1024"], empty);
		await edit(async (editor) => {
			for (let i = 0; i < 30; i++) await editor.makeDirectory(`/${"n".repeat(200)}${i}`, { ...root, mode: 0o711 });
		});
		await run("e2fsck", "-fn", image);
		expect((await debugfs("ls -p /")).match(/040711/g)?.length).toBe(30);
	});

	it("does edits that are asked for at the same time one after the other, in two file systems", async () => {
		const other = path.join(folder, "other.img");
		await format(40, ["-t", "ext4"]);
		await run("cp", "--sparse=always", image, other);
		const editors = await Promise.all([image, other].map(async (file) => editExt(await fileStore(file))));
		await Promise.all(
			editors.flatMap((editor, n) =>
				[0, 1, 2, 3].map((i) => editor.writeFile(`/etc/new${i}`, overlay.subarray(n * 10 + i, 300_000), root)),
			),
		);
		await Promise.all(editors.map((editor) => editor.close()));
		await run("e2fsck", "-fn", image);
		await run("e2fsck", "-fn", other);
		expect(Buffer.compare(await contentsOf("/etc/new3"), overlay.subarray(3, 300_000))).toBe(0);
		await run("cp", other, image);
		expect(Buffer.compare(await contentsOf("/etc/new1"), overlay.subarray(11, 300_000))).toBe(0);
	});

	const unmounted = missing("setfattr", "getfattr", "mkfs.xfs")
		? because("setfattr", "getfattr", "mkfs.xfs")
		: unmountable(folder);
	it.skipIf(unmounted !== "")(`leaves a block of attributes that files share to the others ${unmounted}`, async () => {
		await format(24, ["-t", "ext4", "-I", "128"]);
		const at = path.join(folder, "mounted");
		const files = ["fstab", "tiny", "other"].map((name) => path.join(at, "etc", name));
		await mounted(image, at, () => run("setfattr", "-n", "user.shared", "-v", "x".repeat(500), ...files));
		const blockOf = async (name: string) => /File ACL: (\d+)/.exec(await debugfs(`stat /etc/${name}`))?.[1];
		expect(await blockOf("fstab")).toBe(await blockOf("other"));
		await edit(async (editor) => {
			await editor.setExtendedAttribute("/etc/fstab", "security.selinux", new TextEncoder().encode("u:r:t:s0\0"));
			await editor.setExtendedAttribute("/etc/fstab", "user.shared", new Uint8Array());
			await editor.remove("/etc/other");
			await expect(editor.setExtendedAttribute("/etc/tiny", "user.big", new Uint8Array(5000))).rejects.toMatchObject({
				kind: "no-space",
			});
			await expect(editor.setExtendedAttribute("/etc/tiny", "btrfs.x", new Uint8Array())).rejects.toMatchObject({
				kind: "unsupported",
			});
		});
		await run("e2fsck", "-fn", image);
		expect(await blockOf("fstab")).not.toBe(await blockOf("tiny"));
		const seen = await mounted(image, at, () => run("getfattr", "-m", "-", "-d", ...files.slice(0, 2)));
		expect(seen.replace(/# file: .*/g, "#")).toBe(
			`#\nsecurity.selinux="u:r:t:s0"\nuser.shared=""\n\n#\nuser.shared="${"x".repeat(500)}"\n\n`,
		);
	});

	it.skipIf(unmounted !== "").each([
		["ext4", "256"],
		["ext4", "128"],
	])(
		`does everything that libguestfs does in the same way: %s, inodes of %s bytes ${unmounted}`,
		async (type, size) => {
			const empty = path.join(folder, "nothing");
			const at = path.join(folder, "mounted");
			await mkdir(empty, { recursive: true });
			await format(24, ["-t", type, "-I", size], empty);
			const model = before();
			await mounted(image, at, () => grow(at, model));
			await edit((editor) => editEverything(editor, model));
			await run("e2fsck", "-fn", image);
			await mounted(image, at, async () => {
				expect(await mountedTree(at)).toEqual(modelTree(model));
				const exact = size === "128" ? (time: string) => time.replace(/\.\d+$/, "") : (time: string) => time;
				expect((await exactTimes(at)).map(exact)).toEqual(exactModelTimes(model).map(exact));
			});
		},
	);

	it("refuses what cannot be done before it writes anything", async () => {
		await format(24, ["-t", "ext4", "-N", "512"]);
		const before = await readFile(image);
		await edit(async (editor) => {
			const kind = (kind: string) => expect.objectContaining({ name: "AnyvisorError", kind });
			const contents = new Uint8Array(1);
			await expect(editor.writeFile("/big", new Uint8Array(20_000_000), root)).rejects.toEqual(kind("no-space"));
			await expect(editor.appendFile("/boot/initrd.img", new Uint8Array(20_000_000), 0)).rejects.toEqual(
				kind("no-space"),
			);
			await expect(editor.appendFile("/none", contents, 0)).rejects.toEqual(kind("not-found"));
			await expect(editor.writeFile("/no/file", contents, root)).rejects.toEqual(kind("not-found"));
			await expect(editor.writeFile("/etc/fstab/x", contents, root)).rejects.toEqual(kind("not-found"));
			await expect(editor.writeFile("/etc", contents, root)).rejects.toEqual(kind("refused"));
			await expect(editor.writeFile("/etc/link", contents, root)).rejects.toEqual(kind("refused"));
			await expect(editor.makeDirectory("/etc/fstab", root)).rejects.toEqual(kind("refused"));
			for (const name of ["", "/", "/a//b", "/.", "/..", `/${"x".repeat(256)}`, "/nul\0"]) {
				await expect(editor.writeFile(name, contents, root)).rejects.toEqual(kind("refused"));
			}
		});
		expect(Buffer.compare(await readFile(image), before)).toBe(0);
	});

	it("stops at the last inode and the last block with a clean file system", async () => {
		await format(12, ["-t", "ext4", "-N", "192", "-m", "0", "-O", "^has_journal"]);
		const kind = (kind: string) => expect.objectContaining({ name: "AnyvisorError", kind });
		await edit(async (editor) => {
			const fill = async () => {
				for (let i = 0; ; i++) await editor.writeFile(`/etc/f${i}`, new Uint8Array(), root);
			};
			await expect(fill()).rejects.toEqual(kind("no-space"));
			const grow = async () => {
				for (;;) await editor.appendFile("/etc/f0", overlay.subarray(0, 10_000), time);
			};
			await expect(grow()).rejects.toEqual(kind("no-space"));
		});
		await run("e2fsck", "-fn", image);
		const summary = await run("dumpe2fs", "-h", image);
		expect(summary).toMatch(/Free inodes: +0\n/);
		expect(Number(/Free blocks: +(\d+)/.exec(summary)?.[1])).toBeLessThan(120);
	});

	it.each([
		["quota", "unsupported"],
		["bigalloc", "unsupported"],
		["casefold", "unsupported"],
		["encrypt", "unsupported"],
		["verity", "unsupported"],
		["mmp", "unsupported"],
	])("leaves a file system with the feature %s alone: %s", async (feature, kind) => {
		await format(24, ["-t", "ext4", "-O", feature]);
		const store = await fileStore(image);
		await expect(editExt(store)).rejects.toMatchObject({ kind });
		// The refusal holds nothing back.
		await expect(editExt(store)).rejects.toMatchObject({ kind });
	});

	it.each([
		["state 0", "not unmounted"],
		["state 3", "has errors"],
		["last_orphan 12", "has orphans"],
	])("wants a file system checked first whose superblock says %s: %s", async (field) => {
		await format(24, ["-t", "ext4"]);
		await run("debugfs", "-w", "-R", `set_super_value ${field}`, image);
		await expect(editExt(await fileStore(image))).rejects.toMatchObject({
			kind: "refused",
			hint: expect.stringContaining("e2fsck"),
		});
	});

	it("edits a file system of 1 TiB, far beyond the 16 MiB of memory that the library comes with", async () => {
		await format(2 ** 20, ["-t", "ext4", "-E", "lazy_itable_init=1,lazy_journal_init=1"]);
		await edit((editor) => editor.writeFile("/etc/new", overlay, root));
		expect(Buffer.compare(await contentsOf("/etc/new"), overlay)).toBe(0);
		await truncate(image, 0);
	});

	it("passes on what the volume said, and gives the volume back", async () => {
		await format(40, ["-t", "ext4"]);
		const store = await fileStore(image);
		let full = false;
		const failing = {
			...store,
			write: (at: number, bytes: Uint8Array) =>
				full ? Promise.reject(new AnyvisorError("no-space", "the disk is full")) : store.write(at, bytes),
		};
		const editor = await editExt(failing);
		await editor.writeFile("/etc/new", overlay, root);
		await expect(editExt(failing)).rejects.toMatchObject({ kind: "refused", message: /edited already/ });
		full = true;
		await expect(editor.close()).rejects.toMatchObject({ kind: "no-space", message: "the disk is full" });
		await format(40, ["-t", "ext4"]);
		full = false;
		await (await editExt(failing)).close();
	});

	it("leaves the process's own listeners for errors alone", () => {
		for (const event of ["uncaughtException", "unhandledRejection"]) {
			expect(process.rawListeners(event).map(String).join()).not.toContain("ExitStatus");
			expect(process.rawListeners(event).map(String)).not.toContain("function(reason){throw reason}");
		}
	});

	it("answers damaged metadata with a typed error or with success", { timeout: 60_000 }, async () => {
		const small = path.join(folder, "small");
		await mkdir(path.join(small, "etc"), { recursive: true });
		await writeFile(path.join(small, "etc/fstab"), "x".repeat(5000));
		await format(2, ["-t", "ext4", "-O", "^has_journal,^metadata_csum", "-N", "32"], small);
		const original = new Uint8Array(await readFile(image));
		await fc.assert(
			fc.asyncProperty(
				fc.array(fc.tuple(fc.integer({ min: 1024, max: 60_000 }), fc.integer({ min: 0, max: 255 })), {
					minLength: 1,
					maxLength: 30,
				}),
				async (changes) => {
					const bytes = original.slice();
					for (const [at, value] of changes) bytes[at] = value;
					const outcome = await editAll(bytes).catch((error: unknown) => error);
					expect(outcome === undefined || outcome instanceof AnyvisorError).toBe(true);
				},
			),
			{ numRuns: 150 },
		);
	});
});

async function editAll(bytes: Uint8Array): Promise<void> {
	const editor = await editExt(memoryStore(bytes));
	try {
		await editor.appendFile("/etc/fstab", new Uint8Array(3000), time);
		await editor.makeDirectory("/etc/new", root);
		await editor.writeFile("/etc/new/file", new Uint8Array(30_000), root);
	} finally {
		await editor.close();
	}
}
