import { createHash } from "node:crypto";
import {
	link,
	lstat,
	mkdir,
	open,
	readdir,
	readFile,
	readlink,
	rm,
	symlink,
	truncate,
	writeFile,
} from "node:fs/promises";
import path from "node:path";
import { type ByteSource, bytesSource } from "../../src/bytes/source.js";
import { ext } from "../../src/filesystem/ext/index.js";
import type { Filesystem } from "../../src/filesystem/filesystem.js";
import { run } from "../support/tools.js";

process.env["PATH"] += ":/usr/sbin:/sbin";

/** Bytes that look random and are the same each time (a linear congruential generator). */
export function noise(length: number, seed: number): Uint8Array {
	let state = seed >>> 0;
	return Uint8Array.from({ length }, () => {
		state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
		return state >>> 24;
	});
}

/**
 * A folder with what file systems store in different ways: sizes around every limit, links, holes, many names. No file
 * ends with a hole: mke2fs forgets that one when it makes a file system with inline data.
 */
export async function makeTree(root: string): Promise<string> {
	const sizes = [0, 1, 59, 60, 61, 100, 150, 160, 200, 1000, 1023, 1024, 1025, 4095, 4096, 4097, 70_000, 300_000];
	for (const folder of ["", "one", "one/two", "one/two/žluťoučký kůň"]) {
		await mkdir(path.join(root, folder), { recursive: true });
		for (const size of sizes) {
			await writeFile(path.join(root, folder, `file-${size}-${"x".repeat(size % 200)}`), noise(size, size));
		}
		for (const length of [1, 58, 59, 60, 61, 100, 500, 1000]) {
			await symlink("t".repeat(length), path.join(root, folder, `link-${length}`));
		}
	}
	await writeFile(path.join(root, "holes.first"), "one file, two names");
	await mkdir(path.join(root, "empty"));
	await mkdir(path.join(root, "many"));
	for (let i = 0; i < 900; i++) await writeFile(path.join(root, "many", `${"n".repeat(i % 50)}${i}`), "");
	await link(path.join(root, "holes.first"), path.join(root, "hard"));
	await sparseFile(path.join(root, "holes"), [0, 5000, 100_000, 1 << 20, 5_000_000, 70 << 20], 2000, (70 << 20) + 2000);
	const scattered = Array.from({ length: 700 }, (_, i) => i * 8192);
	await sparseFile(path.join(root, "scattered"), scattered, 100, 699 * 8192 + 100);
	return root;
}

/** A file of `size` bytes with `length` bytes of noise at each of some offsets, and holes between. */
export async function sparseFile(file: string, offsets: readonly number[], length: number, size: number) {
	const handle = await open(file, "w");
	for (const at of offsets) await handle.write(noise(length, at + 1), 0, length, at);
	await handle.truncate(size);
	await handle.close();
}

/** Makes an image with mke2fs, filled from `source`. */
export async function mkfs(image: string, megabytes: number, options: readonly string[], source?: string) {
	await rm(image, { force: true });
	await writeFile(image, "");
	await truncate(image, megabytes << 20);
	await run("mke2fs", "-q", "-F", ...options, ...(source === undefined ? [] : ["-d", source]), image);
	return image;
}

/** A file as a source that counts what is read. */
export async function openFile(file: string) {
	const handle = await open(file, "r");
	const { size } = await handle.stat();
	const read = { bytes: 0, times: 0 };
	const source: ByteSource & AsyncDisposable = {
		name: path.basename(file),
		size,
		async read(at, into) {
			if (at + into.length > size) throw new Error("a read that leaves the file was not checked before");
			read.bytes += into.length;
			read.times++;
			for (let done = 0; done < into.length; ) {
				done += (await handle.read(into, done, into.length - done, at + done)).bytesRead;
			}
		},
		[Symbol.asyncDispose]: () => handle.close(),
	};
	return { source, read };
}

export async function openExtImage(source: ByteSource): Promise<Filesystem> {
	const filesystem = await ext.open(source);
	if (filesystem === undefined) throw new Error(`${source.name} was not recognised`);
	return filesystem;
}

/** What is at each path, one line of text for each. */
export type Tree = Record<string, string>;

const line = (type: string, mode: number, owner: string, mtime: number, rest: string) =>
	`${type} ${(mode & 0o7777).toString(8)} ${owner} ${Math.floor(mtime)} ${rest}`;

const hash = (bytes: Uint8Array) => `${bytes.length} ${createHash("sha256").update(bytes).digest("hex")}`;

/** A folder of this machine. */
export async function folderTree(root: string): Promise<Tree> {
	const tree: Tree = {};
	// With the types, it does not go into directories behind links.
	for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
		const file = path.join(entry.parentPath, entry.name);
		const name = path.relative(root, file);
		const stat = await lstat(file);
		const owner = `${stat.uid}:${stat.gid}`;
		const mtime = stat.mtimeMs / 1000;
		if (stat.isFile()) tree[`/${name}`] = line("file", stat.mode, owner, mtime, hash(await readFile(file)));
		else if (stat.isDirectory()) tree[`/${name}`] = line("directory", stat.mode, owner, mtime, "");
		else if (stat.isSymbolicLink()) tree[`/${name}`] = line("link", stat.mode, owner, mtime, await readlink(file));
		else tree[`/${name}`] = line("other", stat.mode, owner, mtime, "");
	}
	return tree;
}

/** A file system; `read` sees the contents of each file. */
export async function filesystemTree(filesystem: Filesystem): Promise<Tree> {
	const tree: Tree = {};
	const pending = [""];
	for (let folder = pending.pop(); folder !== undefined; folder = pending.pop()) {
		for (const { name, type } of await filesystem.list(folder || "/")) {
			const at = `${folder}/${name}`;
			const stat = await filesystem.stat(at);
			if (stat?.type !== type) {
				tree[at] = `listed as ${type}, but is ${stat?.type}`;
				continue;
			}
			if (type === "directory") pending.push(at);
			const owner = `${stat.uid}:${stat.gid}`;
			tree[at] = line(type, stat.mode, owner, stat.mtime, stat.target ?? "");
			if (type === "file") {
				const contents = await filesystem.open(at);
				// Only a damaged inode claims more in these images, and then that is told.
				const rest = contents.size > 1 << 29 ? `${contents.size}` : hash(await readAll(contents));
				tree[at] = line(type, stat.mode, owner, stat.mtime, rest);
			}
		}
	}
	return tree;
}

/** The whole of a source, in pieces of an odd size so that they begin and end anywhere in blocks. */
export async function readAll(source: ByteSource): Promise<Uint8Array> {
	const bytes = new Uint8Array(source.size).fill(0xee);
	const piece = 777_777;
	for (let at = 0; at < bytes.length; at += piece) await source.read(at, bytes.subarray(at, at + piece));
	return bytes;
}

/** What debugfs extracts from an image: its modes, owners and times are the image's, except for the times of links. */
export async function debugfsTree(image: string, folder: string): Promise<Tree> {
	await rm(folder, { recursive: true, force: true });
	await mkdir(folder);
	await run("debugfs", "-R", `rdump / ${folder}`, image);
	return folderTree(folder);
}

/** Leaves out what {@link debugfsTree} cannot tell. */
export function withoutLinkTimes(tree: Tree): Tree {
	const plain = ([at, text]: [string, string]) => [at, text.replace(/^(link \d+ \d+:\d+) -?\d+/, "$1")];
	return Object.fromEntries(Object.entries(tree).map(plain));
}

/** A copy of an image in memory, with `changes` written over it. */
export function mutated(image: Uint8Array, changes: readonly (readonly [at: number, byte: number])[]): ByteSource {
	const copy = image.slice();
	for (const [at, byte] of changes) copy[at] = byte;
	return bytesSource(copy, "mutated.img");
}
