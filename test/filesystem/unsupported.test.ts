import { mkdir, rm, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { openFilesystem, recogniseUnsupported } from "../../src/filesystem/index.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { fileStore } from "./store.js";

const folder = await temporaryFolder();

process.env["PATH"] += ":/usr/sbin:/sbin";

/** File systems that are made on an image that is there. */
describe.each([
	["Linux swap", "mkswap", []],
	["F2FS", "mkfs.f2fs", ["-q"]],
	["JFS", "mkfs.jfs", ["-q"]],
	["ReiserFS", "mkreiserfs", ["-q", "-f"]],
	["NILFS2", "mkfs.nilfs2", ["-q"]],
	["UDF", "mkudffs", []],
	["Minix", "mkfs.minix", ["-1"]],
	["Minix", "mkfs.minix", ["-2", "-n", "14"]],
	["Minix", "mkfs.minix", ["-3"]],
])("%s", (name, tool, options) => {
	it.skipIf(missing(tool, "blkid"))(
		`is named as ${tool} ${options.join(" ")} makes it ${because(tool, "blkid")}`,
		async () => {
			const image = path.join(folder, "fs.img");
			await writeFile(image, "");
			await truncate(image, 0);
			await truncate(image, (name === "Linux swap" || name === "Minix" ? 1 : 160) * 2 ** 20);
			await run(tool, ...options, image);
			const store = await fileStore(image);
			const uuid = (await run("blkid", "-p", "-s", "UUID", "-o", "value", image)).trim();
			expect(await recogniseUnsupported(store)).toEqual({ name, uuid: name === "UDF" ? "" : uuid });
			expect(await openFilesystem(store)).toBeUndefined();
		},
	);
});

/** File systems that are made of a folder. */
describe.each([
	["SquashFS", "mksquashfs", ["folder", "fs.made"]],
	["EROFS", "mkfs.erofs", ["fs.made", "folder"]],
	["cramfs", "mkfs.cramfs", ["folder", "fs.made"]],
])("%s", (name, tool, names) => {
	it.skipIf(missing(tool, "blkid"))(`is named as ${tool} makes it ${because(tool, "blkid")}`, async () => {
		const [source, image] = [path.join(folder, "folder"), path.join(folder, "fs.made")];
		await mkdir(source, { recursive: true });
		await writeFile(path.join(source, "file"), "contents");
		await rm(image, { force: true });
		await run(tool, ...names.map((one) => path.join(folder, one)));
		const store = await fileStore(image);
		const uuid = (await run("blkid", "-p", "-s", "UUID", "-o", "value", image)).trim();
		expect(await recogniseUnsupported(store)).toEqual({ name, uuid });
		expect(await openFilesystem(store)).toBeUndefined();
	});
});

it.each([
	["LUKS1 encryption", 0, "LUKS\xba\xbe\0\x01"],
	["LUKS2 encryption", 0, "LUKS\xba\xbe\0\x02"],
	["BitLocker encryption", 3, "-FVE-FS-"],
	["an LVM2 physical volume", 512 + 24, "LVM2 001"],
	["a Linux RAID member", 4096, "\xfc\x4e\x2b\xa9"],
	["a Linux RAID member", 0, "\xfc\x4e\x2b\xa9"],
	// Version 1.0 on a volume of 200000 bytes, and version 0.90.
	["a Linux RAID member", 188_416, "\xfc\x4e\x2b\xa9"],
	["a Linux RAID member", 131_072, "\xfc\x4e\x2b\xa9"],
	["a ZFS pool member", 16_404, "\0\0\0\x07version\0"],
	["bcachefs", 4120, "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"],
	["APFS", 32, "NXSB"],
	["HFS Plus", 1024, "H+\0\x04"],
	["UFS2", 66_908, "\x19\x01\x54\x19"],
	["Linux swap", 65_526, "SWAPSPACE2"],
])("names %s by what stands at byte %i", async (name, at, magic) => {
	const bytes = new Uint8Array(200_000);
	bytes.set(
		Array.from(magic, (char) => char.charCodeAt(0)),
		at,
	);
	expect(await recogniseUnsupported(bytesSource(bytes))).toEqual({ name, uuid: "" });
});

it("names nothing that it does not know", async () => {
	expect(await recogniseUnsupported(bytesSource(new Uint8Array(200_000)))).toBeUndefined();
	expect(await recogniseUnsupported(bytesSource(new Uint8Array(3)))).toBeUndefined();
});
