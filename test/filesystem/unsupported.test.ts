import { truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { openFilesystem, recogniseUnsupported } from "../../src/filesystem/index.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { fileStore } from "./store.js";

const folder = await temporaryFolder();

describe.each([["Linux swap", 1, "mkswap", []]])("%s", (name, mebibytes, tool, options) => {
	it.skipIf(missing(tool, "blkid"))(`is named as ${tool} makes it ${because(tool, "blkid")}`, async () => {
		const image = path.join(folder, tool);
		await writeFile(image, "");
		await truncate(image, mebibytes * 2 ** 20);
		await run(tool, ...options, image);
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
	["SquashFS", 0, "hsqs"],
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
