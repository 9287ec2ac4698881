import { execFileSync } from "node:child_process";
import { appendFile, link, mkdir, rm, stat, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import type { ByteSource } from "../../src/bytes/source.js";
import type { Filesystem } from "../../src/filesystem/filesystem.js";
import { ntfs } from "../../src/filesystem/ntfs/index.js";
import { because, missing, run } from "../support/tools.js";
import { noise, sparseFile } from "./ext-images.js";

process.env["PATH"] += ":/usr/sbin:/sbin";

/** Makes a sparse image with mkntfs. */
export async function mkntfs(image: string, options: string, megabytes = 32): Promise<string> {
	await rm(image, { force: true });
	await writeFile(image, "");
	await truncate(image, megabytes << 20);
	await run("mkntfs", "-q", "-F", "-f", ...options.split(" ").filter(Boolean), image);
	return image;
}

/** Mounts `image` with ntfs-3g, lets `work` use it, and unmounts it. */
export async function mounted<T>(image: string, at: string, work: () => Promise<T>, options = "compression") {
	await mkdir(at, { recursive: true });
	const { dev } = await stat(at);
	// In the foreground: what it has to write yet, it writes after it was unmounted and before it ends.
	const daemon = run("ntfs-3g", "-o", `${options},no_detach`, image, at);
	// Where it could not be mounted, this ends with the error.
	while ((await stat(at)).dev === dev) await Promise.race([daemon, setTimeout(10)]);
	try {
		return await work();
	} finally {
		await run("umount", at);
		await daemon;
	}
}

/** Why this system cannot mount NTFS, for a suite's title; empty where it can. */
export function unmountable(folder: string): string {
	const tools = ["mkntfs", "ntfs-3g", "setfattr"];
	if (missing(...tools)) return because(...tools);
	if (process.platform !== "linux" || process.getuid?.() !== 0) return "(skipped: only root on Linux may mount)";
	const [image, at] = [path.join(folder, "probe.img"), path.join(folder, "probe")];
	const shell = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: "pipe" });
	try {
		shell("truncate", "-s", "4M", image);
		shell("mkntfs", "-q", "-F", "-f", image);
		shell("mkdir", at);
		shell("ntfs-3g", image, at);
		shell("umount", at);
		return "";
	} catch (error) {
		return `(skipped: NTFS cannot be mounted here: ${error instanceof Error ? error.message.trim() : ""})`;
	}
}

/** Makes a folder, if it is not there, whose new files are compressed: FILE_ATTRIBUTE_COMPRESSED. */
export async function compress(folder: string): Promise<void> {
	await mkdir(folder, { recursive: true });
	await run("setfattr", "-n", "system.ntfs_attrib_be", "-v", "0x00000800", folder);
}

/** Words in no order, which compress well. */
export function prose(length: number): Uint8Array {
	const words = "all happy families are alike each unhappy family is unhappy in its own way".split(" ");
	const picks = noise(length, 7);
	let text = "";
	for (let i = 0; text.length < length; i++) text += `${words[(picks[i] ?? 0) % words.length]} `;
	return new TextEncoder().encode(text.slice(0, length));
}

/** What NTFS stores in different ways: residents, runs, holes, compressed units, lists of attributes, indices, links. */
export async function fill(root: string, { many = 120, fragments = 200, packed = true } = {}): Promise<void> {
	for (const folder of ["short", "one/two/žluťoučký kůň", "many", "emoji 🙂", "packed"]) {
		await mkdir(path.join(root, folder), { recursive: true });
	}
	for (const size of [0, 1, 300, 600, 680, 700, 1000, 3500, 4095, 4096, 4097, 70_000, 150_000]) {
		await writeFile(path.join(root, "one", `file-${size}`), noise(size, size));
	}
	for (let i = 0; i < many; i++) await writeFile(path.join(root, "many", `${"n".repeat(i % 90)}${i}`), "");
	for (const length of [1, 100, 1000]) await symlink("t".repeat(length), path.join(root, "one/two", `link-${length}`));
	await writeFile(path.join(root, "one/hard"), "one file, two names");
	await link(path.join(root, "one/hard"), path.join(root, "hard"));
	await utimes(path.join(root, "hard"), 0, -86_400);
	await sparseFile(path.join(root, "holes"), [0, 5000, 100_000, 1 << 20, 3 << 20], 2000, (3 << 20) + 9000);
	const scattered = Array.from({ length: fragments }, (_, i) => i * 20_000);
	await sparseFile(path.join(root, "scattered"), scattered, 100, fragments * 20_000);
	// Two files that grow in turn, so that neither is in one piece.
	for (let i = 0; i < 40; i++) {
		for (const name of ["first", "second"]) await appendFile(path.join(root, name), noise(9000, i));
	}
	if (packed) await compress(path.join(root, "packed"));
	await writeFile(path.join(root, "packed/prose"), prose(200_000));
	await writeFile(path.join(root, "packed/noise"), noise(200_000, 3));
	await writeFile(path.join(root, "packed/short"), prose(5000));
	await writeFile(path.join(root, "packed/zeros"), new Uint8Array(200_000));
	await writeFile(path.join(root, "packed/mixed"), Buffer.concat([prose(70_000), noise(70_000, 1), prose(100)]));
	await sparseFile(path.join(root, "packed/holes"), [0, 300_000, 900_000], 5000, 1_000_000);
}

export async function openNtfs(source: ByteSource): Promise<Filesystem> {
	const filesystem = await ntfs.open(source);
	if (filesystem === undefined) throw new Error(`${source.name} was not recognised`);
	return filesystem;
}

/** Makes a file or folder a reparse point. @param flags of a symbolic link; 1 for a relative one */
export async function reparse(file: string, tag: number, target: string, flags?: number): Promise<void> {
	const name = Buffer.from(target, "utf16le");
	const names = Buffer.alloc(8);
	names.writeUInt16LE(name.length, 2);
	names.writeUInt16LE(name.length, 4);
	const rest = flags === undefined ? [] : [Buffer.from([flags, 0, 0, 0])];
	const data = Buffer.concat([names, ...rest, name]);
	const header = Buffer.alloc(8);
	header.writeUInt32LE(tag);
	header.writeUInt16LE(data.length, 4);
	const value = `0x${Buffer.concat([header, data]).toString("hex")}`;
	await run("setfattr", "-n", "system.ntfs_reparse_data", "-v", value, file);
}
