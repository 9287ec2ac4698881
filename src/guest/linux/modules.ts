import { notFound } from "../../bytes/errors.js";
import { type Alias, type Aliases, joinAliases } from "../../device/alias-index.js";
import type { GuestTree } from "../../filesystem/tree.js";
import type { ModuleIndex } from "../guest.js";
import { KmodIndex } from "./kmod-index.js";
import { lines, words } from "./text.js";

/** Most bytes an index file may have; Debian's largest has 1.3 MB. */
const largestIndex = 64 * 2 ** 20;

type Dependencies = Pick<ModuleIndex, "paths" | "dependencies">;

/** A module's name as the kernel has it: `kernel/drivers/net/virtio-net.ko.xz` is `virtio_net`. */
export function moduleName(path: string): string {
	const start = path.lastIndexOf("/") + 1;
	const end = path.indexOf(".ko", start);
	return path.slice(start, end < 0 ? undefined : end).replaceAll("-", "_");
}

/** True for `x.ko` and its compressed forms. */
export const isModuleFile = (name: string) => /\.ko(\.(gz|xz|zst))?$/.test(name);

/**
 * Reads what depmod wrote into `directory`: its binary files, which are what kmod looks into, or the text ones where they
 * alone are there.
 */
export async function readModuleIndex(tree: GuestTree, directory: string): Promise<ModuleIndex> {
	const text = (name: string) => tree.readText(`${directory}/${name}`, largestIndex);
	const binary = async (name: string) => {
		const path = `${directory}/${name}`;
		const stat = await tree.stat(path);
		return stat?.type === "file" && stat.size > 0
			? new KmodIndex(await tree.readFile(path, largestIndex), path)
			: undefined;
	};

	const dep = await binary("modules.dep.bin");
	const depText = dep ? undefined : await text("modules.dep");
	const alias = await binary("modules.alias.bin");
	const modinfo = await text("modules.builtin.modinfo");
	const builtinAlias = modinfo === undefined ? await binary("modules.builtin.alias.bin") : undefined;
	const builtinText = await text("modules.builtin");
	const builtin = new Set(
		builtinText === undefined
			? (await binary("modules.builtin.bin"))?.entries().map(({ key }) => moduleName(key))
			: Array.from(lines(builtinText), moduleName),
	);
	if (dep === undefined && !depText && builtin.size === 0) {
		throw notFound(`${directory} has no modules.dep`, { file: `${directory}/modules.dep` });
	}
	return {
		aliases: joinAliases(
			alias ? indexedAliases(alias) : parseAliases((await text("modules.alias")) ?? ""),
			builtinAlias ? indexedAliases(builtinAlias) : builtinAliases(modinfo ?? ""),
		),
		builtin,
		...(dep ? indexedDependencies(dep) : parseDependencies(depText ?? "")),
		softdeps: parseSoftdeps((await text("modules.softdep")) ?? ""),
	};
}

/** An index whose keys are patterns. */
export function indexedAliases(index: KmodIndex): Aliases {
	const pairs = (entries: ReturnType<KmodIndex["entries"]>) =>
		entries.map(({ key, value }): Alias => [key, moduleName(value)]);
	return {
		[Symbol.iterator]: () => pairs(index.entries()).values(),
		matching: (name) => pairs(index.matching(name)),
	};
}

/** modules.dep.bin has the lines of modules.dep as values. */
export function indexedDependencies(index: KmodIndex): Dependencies {
	const known = new Map<string, string | undefined>();
	const line = (name: string) => {
		if (!known.has(name)) known.set(name, index.get(name)[0]?.value);
		return known.get(name);
	};
	return {
		paths: {
			get: (name) => line(name)?.split(":", 1)[0],
			has: (name) => line(name) !== undefined,
			keys: () => index.entries().map(({ key }) => key),
		},
		dependencies: {
			get: (name) => {
				const found = line(name);
				return found === undefined ? undefined : words(found.slice(found.indexOf(":") + 1)).map(moduleName);
			},
		},
	};
}

/** modules.alias: lines of `alias PATTERN MODULE`. */
export function parseAliases(text: string): Alias[] {
	const aliases: Alias[] = [];
	for (const line of lines(text)) {
		if (!line.startsWith("alias ")) continue;
		const space = line.lastIndexOf(" ");
		if (space > 6) aliases.push([line.slice(6, space), moduleName(line.slice(space + 1))]);
	}
	return aliases;
}

/** modules.dep: lines of `PATH: PATH PATH …`. */
export function parseDependencies(text: string): Dependencies {
	const paths = new Map<string, string>();
	const dependencies = new Map<string, readonly string[]>();
	for (const line of lines(text)) {
		const colon = line.indexOf(":");
		if (colon < 1) continue;
		const path = line.slice(0, colon);
		const name = moduleName(path);
		paths.set(name, path);
		dependencies.set(name, words(line.slice(colon + 1)).map(moduleName));
	}
	return { paths, dependencies };
}

/** modules.builtin.modinfo: `module.key=value`, each ended by NUL. */
function builtinAliases(text: string): Alias[] {
	const aliases: Alias[] = [];
	for (const line of text.split("\0")) {
		const dot = line.indexOf(".");
		if (dot > 0 && line.startsWith("alias=", dot + 1)) {
			aliases.push([line.slice(dot + 7), moduleName(line.slice(0, dot))]);
		}
	}
	return aliases;
}

/** modules.softdep: `softdep MODULE pre: A B post: C`. https://man7.org/linux/man-pages/man5/modprobe.d.5.html */
function parseSoftdeps(text: string): ModuleIndex["softdeps"] {
	const softdeps = new Map<string, { pre: string[]; post: string[] }>();
	for (const line of lines(text)) {
		const [command, name, ...rest] = words(line);
		if (command !== "softdep" || name === undefined) continue;
		const module = moduleName(name);
		const softdep = softdeps.get(module) ?? { pre: [], post: [] };
		let list: string[] | undefined;
		for (const word of rest) {
			if (word === "pre:") list = softdep.pre;
			else if (word === "post:") list = softdep.post;
			else list?.push(moduleName(word));
		}
		softdeps.set(module, softdep);
	}
	return softdeps;
}
