import { mkdir, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openFilesystem } from "../../src/filesystem/registry.js";
import { because, missing, run, temporaryFolder, trials } from "../support/tools.js";
import { carryOut, type Model, modelTree, mountedTree, mtoolsTree, plain, steps } from "./edit-model.js";
import { fileStore } from "./store.js";
import { mounted, unmountable } from "./xfs-images.js";

interface Variant {
	readonly name: string;
	readonly mebibytes: number;
	readonly make: readonly string[];
	readonly check: readonly string[];
	readonly unix: boolean;
}

const ext = (name: string, ...options: string[]): Variant => ({
	name,
	mebibytes: 12,
	make: ["mke2fs", "-q", "-F", ...options],
	check: ["e2fsck", "-fn"],
	unix: true,
});
const fat = (name: string, mebibytes: number, ...options: string[]): Variant => ({
	name,
	mebibytes,
	make: ["mkfs.vfat", ...options],
	check: ["fsck.vfat", "-n"],
	unix: false,
});

const variants = [
	ext("ext2 with inodes of 128 bytes", "-t", "ext2", "-I", "128", "-b", "1024"),
	ext("ext3", "-t", "ext3", "-b", "2048"),
	ext("ext4", "-t", "ext4", "-b", "4096"),
	ext("ext4 with inline data", "-t", "ext4", "-b", "1024", "-O", "inline_data"),
	ext(
		"ext4 with inodes of 128 bytes and checksums",
		"-t",
		"ext4",
		"-I",
		"128",
		"-O",
		"metadata_csum,metadata_csum_seed",
	),
	ext("ext4 with large inodes", "-t", "ext4", "-b", "4096", "-I", "1024", "-O", "ea_inode,orphan_file"),
	ext("ext4 of old", "-t", "ext4", "-O", "^metadata_csum,^64bit,uninit_bg,^extents"),
	fat("fat12", 1, "-F12"),
	fat("fat16", 16, "-F16", "-s2"),
	fat("fat32", 40, "-F32", "-s1"),
];

process.env["MTOOLS_SKIP_CHECK"] = "1";
process.env["TZ"] = "UTC";
const folder = await temporaryFolder();
const tools = ["mke2fs", "e2fsck", "mkfs.vfat", "fsck.vfat", "mcopy", "mdir", "getfattr", "mkfs.xfs"];
const reason = missing(...tools) ? because(...tools) : unmountable(folder);

describe.skipIf(reason !== "")(`random edits, as a kernel's mount and the checker see them ${reason}`, () => {
	it.each(variants)(
		"$name",
		async ({ mebibytes, make: [make = "", ...options], check: [check = "", ...checks], unix }) => {
			const image = path.join(folder, "test.img");
			const at = path.join(folder, "mounted");
			await mkdir(at, { recursive: true });
			await fc.assert(
				fc.asyncProperty(fc.array(steps, { minLength: 1, maxLength: 3 }), async (lists) => {
					await writeFile(image, "");
					await truncate(image, mebibytes * 2 ** 20);
					await run(make, ...options, image);
					let model: Model = new Map();
					for (const list of lists) {
						const editor = await (await openFilesystem(await fileStore(image)))?.edit?.();
						if (editor === undefined) throw new Error("cannot be edited");
						model = await carryOut(editor, list, { unix }, model);
						await editor.close();
						await run(check, ...checks, image);
					}
					const seen = unix ? await mounted(image, at, () => mountedTree(at)) : await mtoolsTree(image, at);
					expect(seen).toEqual(unix ? modelTree(model) : plain(modelTree(model)));
				}),
				{ numRuns: trials(2), endOnFailure: true },
			);
		},
	);
});
