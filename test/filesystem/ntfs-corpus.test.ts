import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { bytesSource, slice } from "../../src/bytes/source.js";
import { corpus, corpusReason, missing, run, temporaryFolder } from "../support/tools.js";
import { filesystemTree, folderTree } from "./ext-images.js";
import { mounted, openNtfs, unmountable } from "./ntfs-images.js";

const folder = await temporaryFolder();
const reason = corpusReason || (missing("qemu-img", "gzip") ? "(skipped: no qemu-img)" : unmountable(folder));

/** Each with where its NTFS begins, and how many files that has. */
describe.skipIf(reason !== "")(`NTFS as Windows and others wrote it ${reason}`, () => {
	it.each([
		["log2timeline+dfvfs/test_data/windows_volume.qcow2.gz", 0, 4],
		["fox-it+dissect.hypervisor/tests/_data/disk/vhd/dynamic.vhd.gz", 65_536, 0],
		["fox-it+dissect.hypervisor/tests/_data/disk/vhdx/dynamic.vhdx.gz", 65_536, 0],
	])("%s", async (packed, begin, files) => {
		const unpacked = { encoding: "buffer", maxBuffer: 256 << 20 } as const;
		const { stdout } = await promisify(execFile)("gzip", ["-dc", path.join(corpus ?? "", packed)], unpacked);
		const [disk, image, at] = ["disk", "fs.img", "mounted"].map((name) => path.join(folder, name));
		if (disk === undefined || image === undefined || at === undefined) throw new Error("no names");
		await writeFile(disk, stdout);
		await run("qemu-img", "convert", "-O", "raw", disk, image);
		const raw = new Uint8Array(await readFile(image));
		const bytes = raw.subarray(begin);
		await writeFile(image, bytes);
		const expected = await mounted(image, at, () => folderTree(at), "ro");
		const filesystem = await openNtfs(slice(bytesSource(raw), begin, bytes.length));
		expect(await filesystemTree(filesystem)).toEqual(expected);
		expect(Object.keys(expected)).toHaveLength(files);
		const blkid = await run("blkid", "-p", "-o", "export", image);
		expect(filesystem.uuid).toBe(/^UUID=(.*)$/m.exec(blkid)?.[1]);
		expect(filesystem.label).toBe(/^LABEL=(.*)$/m.exec(blkid)?.[1]?.replaceAll("\\ ", " ") ?? "");
		expect(filesystem.notes).toEqual([]);
	});
});
