import type { Alias } from "../device/alias-index.js";
import type { Initramfs, ModuleIndex } from "../guest/guest.js";
import type { IndexEntry } from "../guest/linux/kmod-index.js";
import type { CpioEntry } from "./cpio.js";
import { isKey, kmodIndex } from "./kmod-index.js";

/**
 * What depmod writes for the modules of an initramfs: in kmod's binary form, and in the text that busybox reads.
 * Those of the base archive would not lead to what is added, and the guest's own do not lead to what the generator put
 * under other names, decompressed or in another folder.
 *
 * @param inside all modules, with their paths in the initramfs
 * @param base what counts for modules that the guest no longer has
 */
export function loaderIndexes(
	index: ModuleIndex,
	inside: ReadonlyMap<string, string>,
	base: Initramfs,
): readonly CpioEntry[] {
	// As depmod numbers them: what comes first is tried first.
	const order = new Map([...index.paths.keys(), ...inside.keys()].map((name) => [name, 0]));
	for (const [position, name] of [...order.keys()].entries()) order.set(name, position);
	const priority = (module: string) => order.get(module) ?? 0;
	const names = [...inside.keys()].toSorted((a, b) => priority(a) - priority(b));

	const dependencies = names.map((name): IndexEntry => {
		const needed = (index.dependencies.get(name) ?? base.dependencies.get(name) ?? []).flatMap(
			(module) => inside.get(module) ?? [],
		);
		return { key: name, value: [`${inside.get(name)}:`, ...needed].join(" "), priority: priority(name) };
	});
	const aliases = aliasesOf(index, inside, base).toSorted(([, a], [, b]) => priority(a) - priority(b));
	const softdeps = names.flatMap((name) => {
		const { pre = [], post = [] } = index.softdeps.get(name) ?? {};
		const parts = [...(pre.length > 0 ? ["pre:", ...pre] : []), ...(post.length > 0 ? ["post:", ...post] : [])];
		return parts.length > 0 ? [["softdep", name, ...parts].join(" ")] : [];
	});
	const patterns = aliases.map(([pattern, module]) => ({
		key: withUnderscores(pattern),
		value: module,
		priority: priority(module),
	}));
	const files = {
		"modules.dep": text(dependencies.map(({ value }) => value)),
		"modules.dep.bin": kmodIndex(dependencies.filter(({ key }) => isKey(key))),
		"modules.alias": text(aliases.map(([pattern, module]) => `alias ${pattern} ${module}`)),
		"modules.alias.bin": kmodIndex(patterns.filter(({ key }) => isKey(key))),
		"modules.softdep": text(softdeps),
	};
	return Object.entries(files).map(([name, contents]) => ({ name: `${base.modulesDirectory}/${name}`, contents }));
}

/** Each alias of the modules once, as the guest's own index has it where it does. */
export function aliasesOf(index: ModuleIndex, inside: ReadonlyMap<string, string>, base: Initramfs) {
	const found = new Map<string, Alias>();
	for (const alias of [...index.aliases, ...(base.aliases ?? [])]) {
		const [pattern, module] = alias;
		const key = `${withUnderscores(pattern)} ${module}`;
		if (inside.has(module) && !found.has(key)) found.set(key, alias);
	}
	return [...found.values()];
}

export const text = (lines: readonly string[]) => new TextEncoder().encode(lines.map((line) => `${line}\n`).join(""));

/** How kmod compares: `-` is `_` but between brackets, where it spans a range. */
const withUnderscores = (pattern: string) => pattern.replace(/\[[^\]]*\]|-/g, (part) => (part === "-" ? "_" : part));
