import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";

/** Version of a kernel in this machine's /lib/modules that has all of depmod's indexes. */
export const hostKernel: string | undefined = list("/lib/modules").find((version) =>
	["modules.dep", "modules.dep.bin", "modules.alias.bin", "modules.builtin.modinfo"].every((name) =>
		list(`/lib/modules/${version}`).includes(name),
	),
);

/** The part of a suite's title that names the reason of a skip. */
export const hostKernelReason =
	hostKernel === undefined ? "(skipped: no kernel in /lib/modules; see scripts/system-packages.sh)" : "";

function list(folder: string): readonly string[] {
	try {
		return readdirSync(folder);
	} catch {
		return [];
	}
}

export const hostModulesFile = async (name: string) =>
	new Uint8Array(await readFile(`/lib/modules/${hostKernel}/${name}`));
