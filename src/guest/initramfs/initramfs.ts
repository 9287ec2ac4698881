import type { ByteSource } from "../../bytes/source.js";
import type { Generator, Initramfs } from "../guest.js";
import { readKmodIndex } from "../linux/kmod-index.js";
import {
	aliasPairs,
	dependencyLines,
	isModuleFile,
	moduleName,
	parseAliases,
	parseDependencies,
} from "../linux/modules.js";
import { lines, words } from "../linux/text.js";
import { Rootfs } from "./rootfs.js";
import { type Segment, unpackInitramfs } from "./unpack.js";

/**
 * Reads the initramfs that the boot loader makes of `files`, in its order; what counts is what remains after all of
 * them. `version` is the kernel's.
 */
export async function readInitramfs(
	files: readonly { readonly path: string; readonly source: ByteSource }[],
	version: string,
): Promise<Initramfs | undefined> {
	const rootfs = new Rootfs();
	let segments: readonly Segment[] = [];
	for (const { source } of files) segments = await unpackInitramfs(source, rootfs, isWanted);
	const last = files.at(-1);
	if (!last) return undefined;

	// kmod looks below /lib, its newest releases below /usr/lib; where these differ, either may be used.
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
	const place = { directories, file: last.source.name };
	return {
		path: last.path,
		size: last.source.size,
		before: files.slice(0, -1).map(({ path }) => path),
		generator: generatorOf(rootfs),
		segments,
		modules,
		dependencies: parseDependencies(indexIn(rootfs, place, "modules.dep", dependencyLines, (text) => text) ?? "")
			.dependencies,
		aliases: indexIn(rootfs, place, "modules.alias", aliasPairs, parseAliases),
		forced: new Set(forcedModules(rootfs)),
		modulesDirectory,
	};
}

const wantedPaths = new Set(["conf/modules", "config", "buildconfig"]);

function isWanted(name: string): boolean {
	const path = name.replace(/^(\.?\/)+/, "");
	return wantedPaths.has(path) || /\/modules\.(alias|dep)(\.bin)?$/.test(path) || path.includes("/modules-load.d/");
}

/** An index of the modules in it, as kmod finds it: the first binary one, or else the first text. */
function indexIn<T>(
	rootfs: Rootfs,
	{ directories, file }: { readonly directories: readonly string[]; readonly file: string },
	name: string,
	fromBinary: (entries: ReturnType<typeof readKmodIndex>) => T,
	fromText: (text: string) => T,
): T | undefined {
	for (const directory of directories) {
		const path = `${directory}/${name}.bin`;
		const binary = rootfs.find(path);
		if (binary?.type === "file")
			return fromBinary(readKmodIndex(binary.contents ?? new Uint8Array(), `${file}:${path}`));
	}
	for (const directory of directories) {
		const text = rootfs.text(`${directory}/${name}`);
		if (text !== undefined) return fromText(text);
	}
	return undefined;
}

function generatorOf(rootfs: Rootfs): Generator | "unknown" {
	const has = (path: string) => rootfs.find(path) !== undefined;
	if (has("scripts/functions") && has("conf/arch.conf")) return "initramfs-tools";
	if (has("usr/lib/dracut") || has("lib/dracut") || has("dracut-state.sh")) return "dracut";
	if (has("init_functions") && (has("buildconfig") || has("config") || has("hooks"))) return "mkinitcpio";
	return "unknown";
}

/** What the init program loads by name, whatever hardware there is. */
function* forcedModules(rootfs: Rootfs): IterableIterator<string> {
	yield* moduleList(rootfs.text("conf/modules") ?? "");

	// https://man7.org/linux/man-pages/man5/modules-load.d.5.html: a name in /etc hides the same one below /usr/lib.
	const lists = new Map<string, string>();
	for (const directory of ["usr/lib/modules-load.d", "lib/modules-load.d", "etc/modules-load.d"]) {
		for (const name of rootfs.list(directory)) {
			if (name.endsWith(".conf")) lists.set(name, rootfs.text(`${directory}/${name}`) ?? "");
		}
	}
	for (const list of lists.values()) yield* moduleList(list);

	// mkinitcpio's own init sources /config; /buildconfig is the configuration it came from.
	const config = rootfs.find("init_functions") && (rootfs.text("config") ?? rootfs.text("buildconfig"));
	for (const name of shellList(config ?? "", "MODULES")) yield moduleName(name.replace(/\?$/, ""));
}

/** A module a line, options after it, comments after `#` or `;`. */
function* moduleList(text: string): IterableIterator<string> {
	for (const line of lines(text)) {
		const name = words(line)[0];
		if (name !== undefined && !/^[#;]/.test(name)) yield moduleName(name);
	}
}

/** `NAME="a b"` or `NAME=(a b)`, also over several lines. */
function shellList(text: string, name: string): readonly string[] {
	const start = `\n${text}`.indexOf(`\n${name}=`);
	if (start < 0) return [];
	const value = text.slice(start + name.length + 1);
	const closing = value[0] === "(" ? ")" : value[0];
	return words(value.slice(1, Math.max(1, value.indexOf(closing ?? "", 1)))).filter((word) => !word.startsWith("#"));
}
