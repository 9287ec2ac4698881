import type { Aliases } from "../../device/alias-index.js";
import type { Initramfs } from "../guest.js";
import { KmodIndex } from "../linux/kmod-index.js";
import {
	indexedAliases,
	indexedDependencies,
	isModuleFile,
	moduleName,
	parseAliases,
	parseDependencies,
} from "../linux/modules.js";
import type { Rootfs } from "./rootfs.js";

/** What the loader of modules in an initramfs goes by. */
export type LoaderFacts = Pick<Initramfs, "modules" | "dependencies" | "aliases" | "modulesDirectory">;

/** As kmod and busybox look for the modules of a kernel version. */
export function readKmod(rootfs: Rootfs, version: string, file: string): LoaderFacts {
	// Below /lib, kmod's newest releases below /usr/lib; where these differ, either may be used.
	const merged = rootfs.findLink("lib")?.type === "link" && rootfs.find("lib") === rootfs.find("usr/lib");
	const directories = (merged ? ["usr/lib"] : ["lib", "usr/lib"]).map((parent) => `${parent}/modules/${version}`);
	const modulesDirectory = directories.find((directory) => rootfs.find(directory)) ?? directories[0] ?? "";
	const modules = new Map<string, string>();
	for (const directory of directories) {
		for (const path of rootfs.filesBelow(directory)) {
			const name = moduleName(path);
			if (!isModuleFile(path) || modules.has(name)) continue;
			modules.set(name, directory === modulesDirectory ? path : `/${directory}/${path}`);
		}
	}
	const place = { directories, file };
	const dep = indexIn(rootfs, place, "modules.dep", indexedDependencies, parseDependencies);
	return {
		modules,
		dependencies: dep?.dependencies ?? new Map<string, readonly string[]>(),
		aliases: indexIn<Aliases>(rootfs, place, "modules.alias", indexedAliases, parseAliases),
		modulesDirectory,
	};
}

/** An index as kmod finds it: the first binary one, or else the first text. */
function indexIn<T>(
	rootfs: Rootfs,
	{ directories, file }: { readonly directories: readonly string[]; readonly file: string },
	name: string,
	fromBinary: (index: KmodIndex) => T,
	fromText: (text: string) => T,
): T | undefined {
	for (const directory of directories) {
		const path = `${directory}/${name}.bin`;
		const binary = rootfs.find(path);
		if (binary?.type === "file")
			return fromBinary(new KmodIndex(binary.contents ?? new Uint8Array(), `${file}:${path}`));
	}
	for (const directory of directories) {
		const text = rootfs.text(`${directory}/${name}`);
		if (text !== undefined) return fromText(text);
	}
	return undefined;
}
