import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { readVolumes } from "../../src/volume/registry.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { emptyImage, feed } from "./images.js";
import { withoutLvm } from "./lvm.js";
import { partx } from "./partx.js";

const tools = ["sfdisk", "partx", "losetup"];
/** The same need: loop devices. */
const reason = because(...tools) || withoutLvm();

describe.skipIf(missing(...tools) || reason !== "")(`disks with sectors of 4096 bytes ${reason}`, async () => {
	const folder = await temporaryFolder();

	it.each([
		[
			"dos",
			"start=256, size=512, type=83, bootable\nstart=1024, size=2048, type=5\nstart=1280, size=256, type=83\nsize=256, type=82\n",
		],
		["gpt", 'start=256, size=512, type=uefi, name="EFI"\nsize=1024\nsize=16\n'],
	])("%s, as sfdisk writes them on such a device", async (label, table) => {
		const image = await emptyImage(path.join(folder, label), 16 << 20);
		const device = (await run("losetup", "--find", "--show", "--sector-size", "4096", image)).trim();
		try {
			await feed(`label: ${label}\n${table}`, "sfdisk", "-q", "--no-reread", "--no-tell-kernel", device);
		} finally {
			execFileSync("losetup", ["-d", device]);
		}
		const expected = await partx(image, 4096);
		expect(expected.length).toBe(3);
		const volumes = await readVolumes(bytesSource(await readFile(image), "disk.img"), 4096);
		expect(volumes.map(({ number, at, size, partUuid }) => ({ number, at, size, uuid: partUuid }))).toEqual(
			expected.map(({ number, at, size, uuid }) => ({ number, at, size, uuid })),
		);
	});
});
