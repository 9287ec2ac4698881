import { execFile, execFileSync } from "node:child_process";
import { chmod, chown, link, mkdir, rm, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import type { ByteSource } from "../../src/bytes/source.js";
import type { Filesystem } from "../../src/filesystem/filesystem.js";
import { xfs } from "../../src/filesystem/xfs/index.js";
import { run } from "../support/tools.js";
import { noise, sparseFile } from "./ext-images.js";

process.env["PATH"] += ":/usr/sbin:/sbin";

/** What lets mkfs.xfs make file systems of less than 300 MB, which it does for its own tests only. */
const env = { ...process.env, TEST_DIR: "x", TEST_DEV: "x", QA_CHECK_FS: "x" };

/** Makes a sparse image with mkfs.xfs, filled as a prototype file says. */
export async function mkfsXfs(image: string, options: string, megabytes = 64, prototype?: string): Promise<string> {
	await rm(image, { force: true });
	await writeFile(image, "");
	await truncate(image, megabytes << 20);
	const filled = prototype === undefined ? [] : ["-p", prototype];
	await promisify(execFile)("mkfs.xfs", ["-q", "-f", ...filled, ...options.split(" ").filter(Boolean), image], { env });
	return image;
}

/** Mounts `image`, lets `work` use it, and unmounts it. */
export async function mounted<T>(
	image: string,
	folder: string,
	work: () => Promise<T>,
	...options: string[]
): Promise<T> {
	await mkdir(folder, { recursive: true });
	await run("mount", "-o", ["loop", ...options].join(","), image, folder);
	try {
		return await work();
	} finally {
		await run("umount", folder);
	}
}

/** Why this system cannot mount XFS, for a suite's title; empty where it can. */
export function unmountable(folder: string): string {
	if (process.platform !== "linux" || process.getuid?.() !== 0) return "(skipped: only root on Linux may mount)";
	const [image, at] = [path.join(folder, "probe.img"), path.join(folder, "probe")];
	const shell = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: "pipe", env });
	try {
		shell("truncate", "-s", "64M", image);
		shell("mkfs.xfs", "-q", "-f", image);
		shell("mkdir", at);
		shell("mount", "-o", "loop", image, at);
		shell("umount", at);
		return "";
	} catch (error) {
		return `(skipped: XFS cannot be mounted here: ${error instanceof Error ? error.message.trim() : ""})`;
	}
}

/** Names of many lengths. */
export const names = (count: number, length: number) =>
	Array.from({ length: count }, (_, i) => `${"n".repeat(i % length)}${i}`);

/** What XFS stores in different ways, in a mounted file system: directories of every form, links, holes, extents. */
export async function fill(root: string, many = 2500, fragments = 400): Promise<void> {
	for (const folder of ["short", "one/two/žluťoučký kůň", "block", "leaf", "many", "thinned"]) {
		await mkdir(path.join(root, folder), { recursive: true });
	}
	const make = (folder: string, list: readonly string[]) =>
		Promise.all(list.map((name) => writeFile(path.join(root, folder, name), "")));
	await make("short", ["a", "bb", "ccc"]);
	await make("block", names(30, 20));
	await make("leaf", names(200, 50));
	await make("many", names(many, 100));
	// A directory with holes where names were.
	await make("thinned", names(500, 80));
	for (const name of names(500, 80).slice(50, 450)) await rm(path.join(root, "thinned", name));
	for (const size of [1, 511, 512, 4095, 4096, 4097, 70_000, 300_000]) {
		await writeFile(path.join(root, "one", `file-${size}`), noise(size, size));
	}
	for (const length of [1, 100, 336, 337, 500, 1000, 1023]) {
		await symlink("t".repeat(length), path.join(root, "one/two", `link-${length}`));
	}
	await writeFile(path.join(root, "one/hard"), "one file, two names");
	await link(path.join(root, "one/hard"), path.join(root, "hard"));
	await chmod(path.join(root, "hard"), 0o4751);
	await chown(path.join(root, "hard"), 70_000, 123_456);
	await utimes(path.join(root, "hard"), 0, -86_400);
	await run("mkfifo", path.join(root, "fifo"));
	await run("mknod", path.join(root, "device"), "c", "1", "3");
	await sparseFile(path.join(root, "holes"), [0, 5000, 100_000, 1 << 20, 7 << 20], 2000, (7 << 20) + 9000);
	const scattered = Array.from({ length: fragments }, (_, i) => i * 8192);
	await sparseFile(path.join(root, "scattered"), scattered, 100, fragments * 8192);
	// Blocks that are reserved and hold nothing yet, around what was written.
	await writeFile(path.join(root, "reserved"), noise(50_000, 7));
	await run("xfs_io", "-c", "falloc 40000 400000", "-c", "pwrite -q 200000 1000", path.join(root, "reserved"));
	await run("setfattr", "-n", "user.x", "-v", "y".repeat(40), path.join(root, "short")).catch(() => undefined);
}

/** What one name of the file system at `image` is, as xfs_db prints a field of its inode. */
export async function inodeField(image: string, name: string, field: string): Promise<string> {
	return /= (.*)/.exec(await run("xfs_db", "-r", "-c", `path ${name}`, "-c", `p ${field}`, image))?.[1] ?? "";
}

export async function openXfsImage(source: ByteSource): Promise<Filesystem> {
	const filesystem = await xfs.open(source);
	if (filesystem === undefined) throw new Error(`${source.name} was not recognised`);
	return filesystem;
}
