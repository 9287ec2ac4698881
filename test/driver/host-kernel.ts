import { readdirSync } from "node:fs";
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { bytesSource } from "../../src/bytes/source.js";
import type { FileStat, Filesystem } from "../../src/filesystem/filesystem.js";
import { GuestTree } from "../../src/filesystem/tree.js";
import type { ModuleIndex } from "../../src/guest/guest.js";
import { readModuleIndex } from "../../src/guest/linux/modules.js";

/** Version of a Debian 6.1 kernel on this machine, whose sources the device models were checked with. */
export const version: string | undefined = versions().find((name) => /^6\.1\..*-amd64$/.test(name));

/** The part of a suite's title that names the reason of a skip. */
export const reason =
	version === undefined ? "(skipped: no Debian 6.1 kernel in /lib/modules; see scripts/system-packages.sh)" : "";

function versions(): string[] {
	try {
		return readdirSync("/lib/modules");
	} catch {
		return [];
	}
}

/** The kernel's module index, read as a guest's would be. */
export function hostModules(): Promise<ModuleIndex> {
	modules ??= readModuleIndex(new GuestTree([{ mount: "/", filesystem: host }]), `/lib/modules/${version}`);
	return modules;
}

let modules: Promise<ModuleIndex> | undefined;

const host: Filesystem = {
	kind: "host",
	uuid: "",
	label: "",
	async stat(path): Promise<FileStat | undefined> {
		const found = await lstat(path).catch(() => undefined);
		if (found === undefined) return undefined;
		const { size, mode, uid, gid } = found;
		const common = { size, mode: mode & 0o7777, uid, gid, mtime: found.mtimeMs / 1000 };
		if (found.isSymbolicLink()) return { ...common, type: "link", target: await readlink(path) };
		return { ...common, type: found.isDirectory() ? "directory" : "file" };
	},
	async list(path) {
		const entries = await readdir(path, { withFileTypes: true });
		return entries.map((entry) => ({ name: entry.name, type: entry.isDirectory() ? "directory" : "file" }));
	},
	async open(path) {
		return bytesSource(await readFile(path), path);
	},
};
