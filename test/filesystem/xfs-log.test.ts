import { access, copyFile, mkdir, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { filesystemTree, folderTree, noise, openFile } from "./ext-images.js";
import { fill, mkfsXfs, mounted, openXfsImage, unmountable } from "./xfs-images.js";

const folder = await temporaryFolder();
const image = path.join(folder, "fs.img");
const copy = path.join(folder, "copy.img");
const at = path.join(folder, "mounted");
const tools = ["mkfs.xfs", "xfs_io"];
const reason = missing(...tools) ? because(...tools) : unmountable(folder);

/** Makes and unmakes every form of everything; what is written is on the disk before the log is cut off. */
async function churn(root: string, rounds: number): Promise<void> {
	for (let round = 0; round < rounds; round++) {
		const here = path.join(root, `round-${round}`);
		await mkdir(here);
		await fill(here, 300, 60);
		await rename(path.join(here, "short"), path.join(here, "one/moved"));
		await rm(path.join(here, "leaf"), { recursive: true });
		await truncate(path.join(here, "scattered"), 50_000);
		await symlink("a".repeat(900), path.join(here, "late"));
		if (round > 0) await rm(path.join(root, `round-${round - 1}`), { recursive: true });
		await writeFile(path.join(root, "grows"), noise(round * 10_000, round));
		await run("sync", "-f", root);
	}
	await mkdir(path.join(root, "last"));
	await writeFile(path.join(root, "last/words"), "not unmounted");
}

const exists = (file: string) =>
	access(file).then(
		() => true,
		() => false,
	);

describe.skipIf(reason !== "")(`XFS that was not unmounted ${reason}`, () => {
	it.each([
		["", 1],
		["-b size=1024 -n size=4096 -i size=512", 2],
		["-m bigtime=0,reflink=0 -i nrext64=0 -l su=32k", 2],
		["-m rmapbt=1 -n size=65536", 2],
	])("mkfs.xfs %s, %i rounds: what the kernel replays is read", async (options, rounds) => {
		await mkfsXfs(image, options);
		await mounted(image, at, async () => {
			await churn(at, rounds);
			// Flushes the log, and writes nothing more of the metadata.
			await run("xfs_io", "-x", "-c", "shutdown -f", at);
		});
		await copyFile(image, copy);
		const { source } = await openFile(image);
		await using _ = source;
		const words = await mounted(copy, at, () => exists(path.join(at, "last/words")), "ro", "norecovery");
		expect(words).toBe(false);
		// A file of its own: a kernel that has not yet let go of a mount gives the same one, without its log, again.
		await rm(copy);
		await copyFile(image, copy);
		const expected = await mounted(copy, at, () => folderTree(at));
		expect(Object.keys(expected).length).toBeGreaterThan(400);
		expect(await filesystemTree(await openXfsImage(source))).toEqual(expected);
	});
});
