import { execFileSync } from "node:child_process";
import { appendFile, mkdir, rm, truncate, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import type { ByteSource } from "../../src/bytes/source.js";
import { exfat } from "../../src/filesystem/exfat/index.js";
import type { Filesystem } from "../../src/filesystem/filesystem.js";
import { because, missing, run } from "../support/tools.js";
import { noise, sparseFile } from "./ext-images.js";

process.env["PATH"] += ":/usr/sbin:/sbin";

/** Makes a sparse image with mkfs.exfat, on a device with sectors of a size. */
export async function mkfsExfat(image: string, options: string, megabytes = 32, sectorSize = 512): Promise<string> {
	await rm(image, { force: true });
	await writeFile(image, "");
	await truncate(image, megabytes << 20);
	await attached(image, sectorSize, (device) => run("mkfs.exfat", ...options.split(" ").filter(Boolean), device));
	return image;
}

/** Lets `work` use `image` as a block device. */
async function attached<T>(image: string, sectorSize: number, work: (device: string) => Promise<T>): Promise<T> {
	const device = (await run("losetup", "-f", "--show", "-b", `${sectorSize}`, image)).trim();
	try {
		return await work(device);
	} finally {
		await run("losetup", "-d", device);
		// Only when whoever mounted it has closed it as well, all of it is written.
		while ((await run("losetup", "-j", image)) !== "") await setTimeout(10);
	}
}

/** Mounts `image` with exfat-fuse, lets `work` use it, and unmounts it. */
export async function mounted<T>(image: string, at: string, work: () => Promise<T>, sectorSize = 512): Promise<T> {
	await mkdir(at, { recursive: true });
	return attached(image, sectorSize, async (device) => {
		await run("mount.exfat-fuse", "-o", "umask=022", device, at);
		try {
			return await work();
		} finally {
			await run("umount", at);
		}
	});
}

/** Why this system cannot mount exFAT, for a suite's title; empty where it can. */
export function unmountable(folder: string): string {
	const tools = ["mkfs.exfat", "mount.exfat-fuse", "losetup"];
	if (missing(...tools)) return because(...tools);
	if (process.platform !== "linux" || process.getuid?.() !== 0) return "(skipped: only root on Linux may mount)";
	const [image, at] = [path.join(folder, "probe.img"), path.join(folder, "probe")];
	const script = `truncate -s 8M "$1" && mkdir "$2" && d=$(losetup -f --show "$1") && trap 'losetup -d $d' EXIT &&
		mkfs.exfat $d && mount.exfat-fuse $d "$2" && umount "$2"`;
	try {
		execFileSync("sh", ["-ec", script, "sh", image, at], { stdio: "pipe" });
		return "";
	} catch (error) {
		return `(skipped: exFAT cannot be mounted here: ${error instanceof Error ? error.message.trim() : ""})`;
	}
}

/** What exFAT stores in different ways: names of many entries, contiguous and chained files, times, what was not written. */
export async function fill(root: string, many = 300): Promise<void> {
	for (const folder of ["one/two/žluťoučký kůň", "many", "emoji 🙂", "empty"]) {
		await mkdir(path.join(root, folder), { recursive: true });
	}
	for (const size of [0, 1, 511, 512, 513, 4096, 70_000, 300_000]) {
		await writeFile(path.join(root, "one", `file-${size}`), noise(size, size));
	}
	for (let i = 0; i < many; i++) await writeFile(path.join(root, "many", `${"n".repeat(i % 230)}${i}`), "");
	await utimes(path.join(root, "one/file-1"), 1e9, 1e9);
	// Two files that grow in turn, so that neither is in one piece.
	for (let i = 0; i < 20; i++) {
		for (const name of ["first", "second"]) await appendFile(path.join(root, name), noise(20_000, i));
	}
	await sparseFile(path.join(root, "ends late"), [0], 2000, 500_000);
}

export async function openExfat(source: ByteSource): Promise<Filesystem> {
	const filesystem = await exfat.open(source);
	if (filesystem === undefined) throw new Error(`${source.name} was not recognised`);
	return filesystem;
}
