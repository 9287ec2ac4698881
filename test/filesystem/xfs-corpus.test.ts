import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { corpus, corpusReason, missing, temporaryFolder } from "../support/tools.js";
import { filesystemTree, folderTree } from "./ext-images.js";
import { mounted, openXfsImage, unmountable } from "./xfs-images.js";

const folder = await temporaryFolder();
const suite = path.join(corpus ?? "", "fox-it+dissect.xfs/tests/data");
const reason = corpusReason || (missing("mkfs.xfs", "gzip") ? "(skipped: no mkfs.xfs)" : unmountable(folder));

describe.skipIf(reason !== "")(`the images of dissect's tests ${reason}`, () => {
	it.each(["xfs.bin.gz", "xfs_symlink_test1.bin.gz", "xfs_symlink_test2.bin.gz"])("%s", async (packed) => {
		const unpacked = { encoding: "buffer", maxBuffer: 256 << 20 } as const;
		const { stdout } = await promisify(execFile)("gzip", ["-dc", path.join(suite, packed)], unpacked);
		const image = path.join(folder, "fs.img");
		const at = path.join(folder, "mounted");
		await writeFile(image, stdout);
		const all = await mounted(image, at, () => folderTree(at));
		// Node's readdir walks through links to folders.
		const links = Object.keys(all).filter((name) => all[name]?.startsWith("link "));
		const expected = Object.fromEntries(
			Object.entries(all).filter(([name]) => !links.some((link) => name.startsWith(`${link}/`))),
		);
		expect(Object.keys(expected).length).toBeGreaterThan(0);
		expect(await filesystemTree(await openXfsImage(bytesSource(stdout)))).toEqual(expected);
	});
});
