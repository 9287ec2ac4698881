import path from "node:path";
import { describe, expect, it } from "vitest";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { filesystemTree, folderTree, openFile } from "./ext-images.js";
import { fill, mkfsXfs, mounted, openXfsImage, tools, unmountable } from "./xfs-images.js";

const folder = await temporaryFolder();
const image = path.join(folder, "fs.img");
const at = path.join(folder, "mounted");
const absent = missing(...tools);
const reason = absent ? because(...tools) : unmountable(image, at);

describe.skipIf(reason !== "")(`XFS as the kernel writes it ${reason}`, () => {
	it.each([
		["-L a_label", {}],
		["-b size=1024 -i size=512", { many: 1500 }],
		["-b size=4096 -i size=2048 -n size=16384", {}],
		["-b size=4096 -n size=8192 -i size=1024 -s size=4096", { many: 1500 }],
		["-m bigtime=0,reflink=0,rmapbt=0 -i nrext64=0", { many: 500 }],
		["-m bigtime=1,reflink=1,rmapbt=1 -i nrext64=1,sparse=1", { many: 500 }],
		["-d agcount=8", { many: 500 }],
	])("mkfs.xfs %s", async (options, what) => {
		await mkfsXfs(image, options, 768);
		const expected = await mounted(image, at, async () => {
			await fill(at, what);
			await run("sync", "-f", at);
			return folderTree(at);
		});
		const { source } = await openFile(image);
		await using _ = source;
		const filesystem = await openXfsImage(source);
		expect(await filesystemTree(filesystem)).toEqual(expected);
		expect(filesystem.kind).toBe("xfs");
		const blkid = await run("blkid", "-p", "-o", "export", image);
		expect(filesystem.uuid).toBe(/^UUID=(.*)$/m.exec(blkid)?.[1]);
		expect(filesystem.label).toBe(/^LABEL=(.*)$/m.exec(blkid)?.[1] ?? "");
	});
});
