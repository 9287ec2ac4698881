import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import {
	chmod,
	chown,
	link,
	mkdir,
	mkdtemp,
	open,
	rm,
	rmdir,
	symlink,
	truncate,
	utimes,
	writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ByteSource } from "../../src/bytes/source.js";
import { btrfs } from "../../src/filesystem/btrfs/index.js";
import type { Filesystem } from "../../src/filesystem/filesystem.js";
import { attempt } from "../source/mounts.js";
import { missing, run } from "../support/tools.js";
import { folderTree, noise, openFile, type Tree } from "./ext-images.js";

/** Why the kernel cannot be asked here; empty where it can. */
export const noKernel = missing("mkfs.btrfs")
	? "(skipped: mkfs.btrfs not installed; see scripts/system-packages.sh)"
	: attempt(() => {
			// Not kept: where all tests of a file are skipped, nothing would unmount it.
			const folder = mkdtempSync(path.join(tmpdir(), "anyvisor-test-"));
			const image = path.join(folder, "fs.img");
			try {
				execFileSync("truncate", ["-s", "120M", image], { stdio: "pipe" });
				execFileSync("mkfs.btrfs", ["-q", image], { stdio: "pipe" });
				execFileSync("mount", ["-o", "loop", image, folder], { stdio: "pipe" });
				execFileSync("umount", [folder], { stdio: "pipe" });
			} finally {
				rmSync(folder, { recursive: true, force: true });
			}
			return folder;
		}).reason;

export interface Recipe {
	/** Options of mkfs.btrfs. */
	readonly mkfs?: readonly string[];
	/** Options of mount, besides `loop`. */
	readonly mount?: string;
	/** MiB; sparse. */
	readonly size?: number;
}

/** Makes a file system, lets `fill` work on it while it is mounted, and says what the kernel then sees. */
export async function kernelMade(
	folder: string,
	{ mkfs = [], mount = "", size = 256 }: Recipe,
	fill: (mounted: string) => Promise<void>,
): Promise<{ readonly image: string; readonly tree: Tree }> {
	const image = path.join(folder, "fs.img");
	await rm(image, { force: true });
	await writeFile(image, "");
	await truncate(image, size << 20);
	await run("mkfs.btrfs", "-q", ...mkfs, image);
	const tree = await mounted(image, mount, async (root) => {
		await fill(root);
		return folderTree(root);
	});
	return { image, tree };
}

/** What `work` finds out about an image that is mounted. */
export async function mounted<T>(image: string, options: string, work: (mounted: string) => Promise<T>): Promise<T> {
	const folder = await mkdtemp(path.join(path.dirname(image), "mounted-"));
	execFileSync("mount", ["-o", `loop,${options}`, image, folder]);
	try {
		return await work(folder);
	} finally {
		execFileSync("umount", [folder]);
		await rmdir(folder);
	}
}

export async function openBtrfs(source: ByteSource): Promise<Filesystem> {
	const filesystem = await btrfs.open(source);
	if (filesystem === undefined) throw new Error(`${source.name} was not recognised`);
	return filesystem;
}

/** An image while `work` reads it. */
export async function reading<T>(
	image: string,
	work: (filesystem: Filesystem, read: { bytes: number; times: number }) => Promise<T>,
): Promise<T> {
	const { source, read } = await openFile(image);
	await using _ = source;
	return await work(await openBtrfs(source), read);
}

/** Text that compresses, each line another one. */
export const prose = (length: number): Buffer =>
	Buffer.from(
		Array.from({ length: Math.ceil(length / 20) }, (_, i) => `${i} of many lines: ${i % 7}\n`.padStart(20)).join(""),
	).subarray(0, length);

/** Files that extents, holes and compression store in every way that they have. */
export async function makeFiles(root: string): Promise<void> {
	const at = (name: string) => path.join(root, name);
	for (const size of [0, 1, 1500, 2047, 2048, 3900, 4095, 4096, 4097, 70_000, 131_072, 131_073, 1_500_000]) {
		await writeFile(at(`prose-${size}`), prose(size));
		await writeFile(at(`noise-${size}`), noise(size, size));
	}
	await writeFile(at("zeros"), new Uint8Array(500_000));
	await writeFile(at("mixed"), Buffer.concat([prose(200_000), noise(200_000, 1), prose(200_000)]));
	for (const length of [1, 60, 500, 3000]) await symlink("t".repeat(length), at(`link-${length}`));
	await mkdir(at("folder"));
	await link(at("prose-1500"), at("folder/hard"));
	await chmod(at("folder/hard"), 0o4751);
	await chown(at("folder"), 70_000, 123_456);
	await utimes(at("folder/hard"), 0, -86_400);
	await run("mkfifo", at("fifo"));
	await run("mknod", at("device"), "c", "1", "3");
	await rewritten(root);
}

/** Files that were changed after they had been written, so that extents are used in part. */
async function rewritten(root: string): Promise<void> {
	const at = (name: string) => path.join(root, name);
	const sync = () => run("sync", "-f", root);
	for (const name of ["prose-1500000", "noise-1500000", "mixed"]) {
		await run("cp", "--reflink=auto", at(name), at(`clone-${name}`));
		await sync();
		const handle = await open(at(`clone-${name}`), "r+");
		for (let place = 10_000; place < 500_000; place += 49_152) await handle.write(prose(5000), 0, 5000, place);
		await handle.sync();
		for (let place = 30_000; place < 500_000; place += 65_536) await handle.write(noise(900, place), 0, 900, place);
		await handle.close();
		await run("fallocate", "--punch-hole", "--offset", "600000", "--length", "123456", at(`clone-${name}`));
	}
	await run("cp", at("prose-1500000"), at("shortened"));
	await sync();
	await truncate(at("shortened"), 777_777);
	await run("cp", at("prose-1500"), at("lengthened"));
	await sync();
	await truncate(at("lengthened"), 200_000);
	await run("fallocate", "--length", "900000", at("reserved"));
	await writeFile(at("reserved-beyond"), prose(50_000));
	await run("fallocate", "--length", "900000", "--keep-size", at("reserved-beyond"));
	const handle = await open(at("reserved"), "r+");
	await handle.write(prose(40_000), 0, 40_000, 400_000);
	await handle.close();
	const sparse = await open(at("sparse"), "w");
	for (const place of [0, 9000, 1 << 20, 6 << 20]) await sparse.write(prose(3000), 0, 3000, place);
	await sparse.truncate((6 << 20) + 123_456);
	await sparse.close();
}
