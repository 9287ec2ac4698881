import { spawnSync } from "node:child_process";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, it } from "vitest";
import { fileSink, outputFolder } from "../../src/source/index.js";
import { temporaryFolder } from "../support/tools.js";

it("what a killed run left of an output goes when the output is written anew; a living run's stays", async () => {
	const folder = await temporaryFolder();
	const dead = spawnSync(process.execPath, ["--version"]).pid;
	const alive = process.ppid;
	await writeFile(path.join(folder, `.disk.raw.partial-${dead}`), "half");
	await writeFile(path.join(folder, `.disk.raw.partial-${dead}.12`), "half an extent");
	// In a container, the run before had the same process id.
	await writeFile(path.join(folder, `.disk.raw.partial-${process.pid}`), "half");
	await mkdir(path.join(folder, `.packages.partial-${dead}`));
	await writeFile(path.join(folder, `.packages.partial-${dead}`, "disk.vhd"), "half");
	const kept = [
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
	expect((await readdir(folder)).sort()).toEqual([...kept, "disk.raw", "packages"].sort());
});
