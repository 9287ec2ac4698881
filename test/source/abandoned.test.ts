import { spawnSync } from "node:child_process";
import { mkdir, readdir, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, it } from "vitest";
import { fileSink, outputFolder } from "../../src/source/index.js";
import { partialPath } from "../../src/source/partial.js";
import { temporaryFolder } from "../support/tools.js";

it("what a killed run left of an output goes when the output is written anew; a living run's stays", async () => {
	const folder = await temporaryFolder();
	const [, here = ""] = /-([0-9a-f]{8})$/.exec(partialPath("x")) ?? [];
	const there = "00c0ffee";
	const dead = `${spawnSync(process.execPath, ["--version"]).pid}-${here}`;
	const alive = `${process.ppid}-${here}`;
	await writeFile(path.join(folder, `.disk.raw.partial-${dead}`), "half");
	await writeFile(path.join(folder, `.disk.raw.partial-${dead}.12`), "half an extent");
	// The process id was somebody else's before.
	await writeFile(path.join(folder, `.disk.raw.partial-${process.pid}-${here}`), "half");
	// Another container or system: nobody here knows whether its process lives, but how long it has not written.
	const old = new Date(Date.now() - 11 * 60_000);
	await writeFile(path.join(folder, `.disk.raw.partial-1-${there}`), "half");
	await utimes(path.join(folder, `.disk.raw.partial-1-${there}`), old, old);
	const written = path.join(folder, `.packages.partial-7-${there}`);
	await mkdir(written);
	await writeFile(path.join(written, "disk.vhd"), "half");
	await utimes(written, old, old);
	await mkdir(path.join(folder, `.packages.partial-${dead}`));
	await writeFile(path.join(folder, `.packages.partial-${dead}`, "disk.vhd"), "half");
	const kept = [
		`.disk.raw.partial-7-${there}`,
		`.disk.raw.partial-${dead}0`,
		`.disk.raw.partial-${alive}`,
		`.disk.raw.partial-${dead}.x`,
		".disk.raw.partial-x",
		`.other.raw.partial-${dead}`,
	];
	for (const name of kept) await writeFile(path.join(folder, name), "not ours to judge");

	await using file = await fileSink(path.join(folder, "disk.raw"));
	await file.commit(0);
	await using packages = await outputFolder(path.join(folder, "packages"));
	await packages.commit();
	const left = [...kept, path.basename(written), "disk.raw", "packages"];
	expect((await readdir(folder)).sort()).toEqual(left.sort());
});
