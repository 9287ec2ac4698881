import { modulesToAdd } from "../../driver/modules-to-add.js";
import type { Generator, LinuxKernel } from "../../guest/guest.js";
import { moduleName } from "../../guest/linux/modules.js";
import type { ReplaceLines, WriteFile } from "../change.js";
import type { Planning } from "../planning.js";
import { planBoosterDropIn } from "./booster-drop-in.js";
import { changedLines } from "./stable-names.js";

const header = "# Written by Anyvisor: keeps the drivers of other hypervisors in the initramfs after kernel updates.\n";

interface DropIn {
	readonly path: string;
	readonly mode: number;
	/** @param modules names, with their paths below a modules directory */
	readonly contents: (modules: ReadonlyMap<string, string>) => string;
}

/** Where generators look for more modules, and how they are written there. */
const dropIns: Record<Exclude<Generator, "booster">, DropIn> = {
	// A hook rather than a list in modules.d: that list is loaded unconditionally at every boot.
	"initramfs-tools": {
		path: "/etc/initramfs-tools/hooks/anyvisor",
		mode: 0o755,
		contents: (modules) => `#!/bin/sh
${header}if [ "$1" = prereqs ]; then
	exit 0
fi
. /usr/share/initramfs-tools/hook-functions
manual_add_modules ${[...modules.keys()].join(" ")}
`,
	},
	dracut: {
		path: "/etc/dracut.conf.d/anyvisor.conf",
		mode: 0o644,
		// It gives up at the first driver that a kernel does not have, and with it all that follow.
		contents: (modules) => `${header}for anyvisor_driver in ${[...modules.keys()].join(" ")}; do
	if grep -q "/\${anyvisor_driver//_/[-_]}[.]ko" "/lib/modules/\${kernel:-$(uname -r)}/modules.dep"; then
		add_drivers+=" $anyvisor_driver "
	fi
done
`,
	},
	mkinitcpio: {
		path: "/etc/mkinitcpio.conf.d/anyvisor.conf",
		mode: 0o644,
		// Without the question mark a module that another kernel lacks would fail its image.
		contents: (modules) => `${header}MODULES+=(${Array.from(modules.keys(), (module) => `"${module}?"`).join(" ")})\n`,
	},
	mkinitfs: {
		path: "/etc/mkinitfs/features.d/anyvisor.modules",
		mode: 0o644,
		// Patterns of files: another kernel's may be compressed in another way.
		contents: (modules) => `${header}${Array.from(modules.values(), (file) => `${file}*\n`).join("")}`,
	},
};

/** The next kernel update builds a new initramfs: the generator's own configuration must name the drivers too. */
export async function planDropIns(planning: Planning): Promise<(WriteFile | ReplaceLines)[]> {
	const { guest, targets } = planning;
	const lacking = guest.kernels.flatMap((kernel) => topmost(kernel, modulesToAdd(guest, kernel, targets)));
	const wanted = withPaths(guest.kernels, lacking);
	const changes: (WriteFile | ReplaceLines)[] = [];
	for (const generator of guest.generators) {
		const why = `The next kernel update runs ${generator}, which would leave the added drivers out again.`;
		if (generator === "booster") changes.push(...(await planBoosterDropIn(planning, wanted, why)));
		else changes.push(...(await planListed(planning, dropIns[generator], wanted, why)));
		if (generator === "mkinitfs" && wanted.size > 0) changes.push(...(await planFeature(planning, why)));
		if (generator === "mkinitcpio" && wanted.size > 0) changes.push(...(await planPresets(planning, wanted, why)));
	}
	return changes;
}

async function planListed(
	{ guest, tree }: Planning,
	{ path, mode, contents }: DropIn,
	wanted: ReadonlyMap<string, string>,
	why: string,
): Promise<WriteFile[]> {
	const current = (await tree.readText(path)) ?? "";
	const words = new Set(current.split(/[\s"()?*;]+/).map(moduleName));
	if ([...wanted.keys()].every((module) => words.has(module))) return [];
	const modules = [...withPaths(guest.kernels, words), ...wanted].sort(([one], [other]) => (one < other ? -1 : 1));
	return [{ rule: "drop-in", action: "write-file", path, mode, contents: contents(new Map(modules)), why }];
}

/** mkinitfs takes the files of those features that are listed. */
async function planFeature({ tree }: Planning, why: string): Promise<ReplaceLines[]> {
	const path = "/etc/mkinitfs/mkinitfs.conf";
	const lines = await changedLines(tree, path, (line) => {
		const [, start = "", quote = "", features] = /^(\s*features=)(["']?)([^"'#$]*)\2\s*$/.exec(line) ?? [];
		if (features === undefined || features.split(/\s+/).includes("anyvisor")) return line;
		return `${start}${quote || '"'}${features.trimEnd()} anyvisor${quote || '"'}`;
	});
	return lines.length === 0 ? [] : [{ rule: "drop-in", action: "replace-lines", path, lines, why }];
}

/** Far more than a guest has kernels. */
const mostPresets = 100;
/** An array, or the string that it was in older versions. */
const modulesLine = /^(\s*MODULES=(?:\((?=.*\)\s*$)|"(?=[^"]*"\s*$)))([^()#$`]*?)([)"])\s*$/;

/**
 * Where a kernel's preset names a configuration, mkinitcpio reads that one alone, and no drop-ins: the drivers are added
 * to its own list. https://man.archlinux.org/man/mkinitcpio.8#PRESETS
 */
async function planPresets(
	{ tree }: Planning,
	wanted: ReadonlyMap<string, string>,
	why: string,
): Promise<ReplaceLines[]> {
	const folder = "/etc/mkinitcpio.d";
	const presets = (await tree.listIfExists(folder)).filter(({ name }) => name.endsWith(".preset"));
	const named = new Set<string>();
	for (const { name } of presets.slice(0, mostPresets)) {
		const text = (await tree.readText(`${folder}/${name}`)) ?? "";
		for (const [, , path = ""] of text.matchAll(/^\s*\w+_config=(["']?)(\/[^\s"'$]*)\1\s*$/gm)) named.add(path);
	}
	const changes: ReplaceLines[] = [];
	for (const path of named) {
		const lines = await changedLines(tree, path, (line) => {
			const [, start = "", list, end = ""] = modulesLine.exec(line) ?? [];
			if (list === undefined) return line;
			const there = new Set(list.split(/[\s"'?]+/).map(moduleName));
			const more = [...wanted.keys()].filter((module) => !there.has(module));
			if (more.length === 0) return line;
			// Without the question mark a module that another kernel lacks would fail its image.
			const words = more.map((module) => (end === ")" ? `"${module}?"` : `${module}?`));
			return `${start}${[list.trim(), ...words].filter((word) => word !== "").join(" ")}${end}`;
		});
		if (lines.length > 0) changes.push({ rule: "drop-in", action: "replace-lines", path, lines, why });
	}
	return changes;
}

/**
 * Those that a kernel has, with their paths, without what compresses them. Whatever a guest calls its modules, its shell
 * must not take a name for anything else.
 */
function withPaths(kernels: readonly LinuxKernel[], modules: Iterable<string>): ReadonlyMap<string, string> {
	const found = new Map<string, string>();
	for (const module of modules) {
		const path = kernels.map((kernel) => kernel.modules.paths.get(module)).find((one) => one !== undefined);
		if (path === undefined || !/^\w+$/.test(module) || !/^[\w./-]+$/.test(path)) continue;
		found.set(module, path.replace(/(\.ko)\.\w+$/, "$1"));
	}
	return found;
}

/** The generators find dependencies by themselves. */
function topmost({ modules: { dependencies } }: LinuxKernel, modules: readonly string[]): string[] {
	const needed = new Set(modules.flatMap((module) => dependencies.get(module) ?? []));
	return modules.filter((module) => !needed.has(module));
}
