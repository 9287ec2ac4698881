import { cp, link, mkdir, readdir, readFile, rename, rm, rmdir, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Editor, Filesystem } from "../../src/filesystem/filesystem.js";
import { openFilesystem } from "../../src/filesystem/registry.js";
import { ExternalEditing } from "../../src/prepare/external-editing.js";
import type { FilesystemJob } from "../../src/source/guestfish.js";
import { because, missing, run, temporaryFolder, trials } from "../support/tools.js";
import { fileStore } from "./store.js";

const root = await temporaryFolder();
const image = path.join(root, "test.img");
const home = path.join(root, "home");
const work = path.join(root, "work");

/** Each file says its own name. */
const files = ["/a", "/b", "/d/a", "/d/long name.conf", "/full/deep/c"];
const folders = ["/d", "/e", "/f", "/full", "/full/deep"];
const names = [...files, ...folders, "/new", "/e/new", "/d/sub", "/full/deep/new", "/none/new", "/a/new"];
const moves = fc.array(fc.tuple(fc.constantFrom(...names), fc.constantFrom(...names)), { minLength: 1, maxLength: 12 });

async function plant(): Promise<void> {
	await rm(home, { recursive: true, force: true });
	await mkdir(home);
	for (const folder of folders) await mkdir(home + folder);
	for (const file of files) await writeFile(home + file, file.repeat(900));
}

/** What `rename()` of the kernel under these tests makes of it. */
async function byKernel(list: readonly (readonly [string, string])[]): Promise<string[]> {
	await rm(work, { recursive: true, force: true });
	await cp(home, work, { recursive: true });
	const outcomes: string[] = [];
	for (const [from, to] of list) {
		outcomes.push(
			await rename(work + from, work + to).then(
				() => "done",
				() => "refused",
			),
		);
	}
	return outcomes;
}

async function byEditor(editor: Editor, list: readonly (readonly [string, string])[]): Promise<string[]> {
	const outcomes: string[] = [];
	for (const [from, to] of list) {
		outcomes.push(
			await editor.rename(from, to).then(
				() => "done",
				(error: unknown) => {
					expect(error).toMatchObject({ kind: expect.toBeOneOf(["refused", "not-found"]) });
					return "refused";
				},
			),
		);
	}
	return outcomes;
}

type Tree = Record<string, string>;

async function folderTree(folder: string): Promise<Tree> {
	const tree: Tree = {};
	for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
		const file = path.join(entry.parentPath, entry.name);
		tree[file.slice(folder.length)] = entry.isDirectory() ? "folder" : await readFile(file, "utf8");
	}
	return tree;
}

async function imageTree(filesystem: Filesystem, at = "", tree: Tree = {}): Promise<Tree> {
	for (const { name, type } of await filesystem.list(at || "/")) {
		const file = `${at}/${name}`;
		if (file === "/lost+found") continue;
		if (type === "directory") {
			tree[file] = "folder";
			await imageTree(filesystem, file, tree);
			continue;
		}
		const source = await filesystem.open(file);
		const bytes = new Uint8Array(source.size);
		await source.read(0, bytes);
		tree[file] = new TextDecoder().decode(bytes);
	}
	return tree;
}

async function opened(): Promise<Filesystem> {
	const filesystem = await openFilesystem(await fileStore(image));
	if (filesystem === undefined) throw new Error("the image cannot be read");
	return filesystem;
}

async function makeExt(): Promise<void> {
	await writeFile(image, "");
	await truncate(image, 4 << 20);
	await run("mke2fs", "-q", "-F", "-t", "ext4", "-d", home, image);
}

async function makeFat(): Promise<void> {
	await writeFile(image, "");
	await truncate(image, 4 << 20);
	await run("mkfs.vfat", "-F12", image);
	await run("sh", "-c", `MTOOLS_SKIP_CHECK=1 mcopy -s -i "${image}" "${home}"/* ::/`);
}

async function edited(): Promise<Editor> {
	const editor = await (await opened()).edit?.();
	if (editor === undefined) throw new Error("cannot be edited");
	return editor;
}

const kinds = [
	{ kind: "ext4", tools: ["mke2fs", "e2fsck"], make: makeExt, check: ["e2fsck", "-fn", image] },
	{ kind: "FAT", tools: ["mkfs.vfat", "mcopy", "fsck.vfat"], make: makeFat, check: ["fsck.vfat", "-n", image] },
] as const;

describe.each(kinds)("renaming on $kind", ({ tools, make, check: [check, ...checked] }) => {
	it.skipIf(missing(...tools))(
		`replaces and refuses what the kernel does, and leaves nothing behind ${because(...tools)}`,
		async () => {
			await plant();
			await fc.assert(
				fc.asyncProperty(moves, async (list) => {
					await make();
					const expected = await byKernel(list);
					const editor = await edited();
					expect(await byEditor(editor, list)).toEqual(expected);
					await editor.close();
					await run(check, ...checked);
					expect(await imageTree(await opened())).toEqual(await folderTree(work));
				}),
				{ numRuns: trials(6), endOnFailure: true },
			);
		},
	);
});

describe("renaming", () => {
	it.skipIf(missing("mke2fs", "e2fsck", "debugfs"))(
		`frees the inode of what is replaced, and leaves two names of one file alone ${because("mke2fs", "e2fsck", "debugfs")}`,
		async () => {
			await plant();
			await link(`${home}/a`, `${home}/e/same`);
			await makeExt();
			const debugfs = async (command: string) => run("debugfs", "-R", command, image);
			const inode = /Inode: (\d+)/.exec(await debugfs("stat /b"))?.[1] ?? "";
			const moved = /Inode: (\d+)/.exec(await debugfs("stat /d/a"))?.[1];
			const editor = await edited();
			await editor.setExtendedAttribute("/b", "user.lost", new Uint8Array(500));
			await editor.rename("/d/a", "/b");
			await editor.rename("/a", "/e/same");
			await editor.rename("/a", "/a");
			await editor.close();
			await run("e2fsck", "-fn", image);
			expect(await debugfs(`testi <${inode}>`)).toContain("not in use");
			expect(await debugfs("stat /b")).toContain(`Inode: ${moved} `);
			expect(await debugfs("stat /e/same")).toContain("Links: 2");
			expect(await debugfs("ea_list /b")).not.toContain("user.lost");
		},
	);

	it.skipIf(missing("mke2fs"))(
		`by another program is noted as what it can do, in an order in which it can ${because("mke2fs")}`,
		async () => {
			await plant();
			await makeExt();
			await fc.assert(
				fc.asyncProperty(moves, async (list) => {
					const expected = await byKernel(list);
					const wanted = await folderTree(work);
					await byKernel([]);
					const editing = new ExternalEditing((jobs) => carriedOut(jobs));
					const store = await fileStore(image);
					const filesystem = await opened();
					const editor = await editing.editorFor(filesystem, store)?.();
					if (editor === undefined) throw new Error("cannot be edited");
					expect(await byEditor(editor, list)).toEqual(expected);
					await editing.finish();
					expect(await folderTree(work)).toEqual(wanted);
				}),
				{ numRuns: trials(15), endOnFailure: true },
			);
		},
	);

	it.skipIf(missing("mkfs.vfat", "mcopy", "fsck.vfat"))(
		`changes the case of a name on FAT, and replaces by any spelling ${because("mkfs.vfat", "mcopy", "fsck.vfat")}`,
		async () => {
			await plant();
			await makeFat();
			const editor = await edited();
			await editor.rename("/d/long name.conf", "/d/Long Name.CONF");
			await editor.rename("/b", "/D/LONG NAME.conf");
			await editor.close();
			await run("fsck.vfat", "-n", image);
			const tree = await imageTree(await opened());
			expect(tree["/d/Long Name.CONF"]).toBe("/b".repeat(900));
			expect(Object.keys(tree)).not.toContain("/b");
			expect(Object.keys(tree).filter((name) => /long/i.test(name))).toHaveLength(1);
		},
	);
});

/** As guestfish would, by the kernel's own calls. */
async function carriedOut(jobs: readonly FilesystemJob[]): Promise<void> {
	for (const operation of jobs.flatMap(({ operations }) => operations)) {
		if (operation.kind === "rename") await rename(work + operation.path, work + operation.to);
		else if (operation.kind !== "remove") throw new Error(`nobody asked for ${operation.kind}`);
		else if (operation.folder) await rmdir(work + operation.path);
		else await rm(work + operation.path);
	}
}
