import { chmod, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, it, vi } from "vitest";
import { editByGuestfish } from "../../src/source/guestfish.js";
import { memoryStore } from "../filesystem/store.js";
import { temporaryFolder } from "../support/tools.js";

it("calls disks as a kernel does, of which the 27th is sdaa", async () => {
	const folder = await temporaryFolder();
	const script = path.join(folder, "script");
	const program = path.join(folder, "guestfish");
	await writeFile(program, `#!/bin/sh\ntest "$1" = --version || cat > "${script}"\n`);
	await chmod(program, 0o755);
	vi.stubEnv("PATH", `${folder}:${process.env["PATH"]}`);
	vi.stubEnv("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg");
	const jobs = Array.from({ length: 30 }, (_, i) => ({
		store: memoryStore(new Uint8Array(512)),
		scratch: "/.scratch",
		operations: [{ kind: "remove" as const, path: `/file-${i}`, folder: false }],
	}));
	// Two subvolumes of one disk.
	await editByGuestfish([...jobs, ...jobs.slice(28, 29)]);
	vi.unstubAllEnvs();
	const lines = (await readFile(script, "utf8")).split("\n");
	const drives = lines.filter((line) => line.startsWith("add-drive")).map((line) => /disk-(\d+)/.exec(line)?.[1]);
	expect(drives).toEqual(jobs.map((_, i) => `${i}`));
	const mounts = lines.filter((line) => line.startsWith("mount-options")).map((line) => line.split(" ")[2]);
	expect(mounts[0]).toBe("/dev/sda");
	expect(mounts.slice(24)).toEqual(
		["sdy", "sdz", "sdaa", "sdab", "sdac", "sdad", "sdac"].map((name) => `/dev/${name}`),
	);
	expect(lines[lines.indexOf('mount-options "" /dev/sdaa /') + 1]).toBe('rm "/file-26"');
});
