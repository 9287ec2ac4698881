import { aliasIndex } from "../device/alias-index.js";
import type { Initramfs, ModuleIndex } from "../guest/guest.js";
import { boosterAliases, boosterConfiguration } from "../guest/initramfs/booster.js";
import type { CpioEntry } from "./cpio.js";
import { aliasesOf, text } from "./loader-indexes.js";

/** What booster's init looks modules up in: its file of aliases, and its configuration with what each of them needs. */
export async function boosterIndexes(
	index: ModuleIndex,
	inside: ReadonlyMap<string, string>,
	base: Initramfs,
): Promise<readonly CpioEntry[]> {
	const { parseDocument } = await import("yaml");
	const configuration = parseDocument(base.configuration ?? "", { logLevel: "error" });
	/** Soft dependencies may be aliases, which its configuration does not know. */
	const behind = (name: string) => (inside.has(name) ? [name] : aliasIndex(index.aliases).modules(name));
	for (const name of inside.keys()) {
		if (base.modules.has(name)) continue;
		const { pre = [], post = [] } = index.softdeps.get(name) ?? {};
		const lists = {
			moduledependencies: [...(index.dependencies.get(name) ?? []), ...pre.flatMap(behind)],
			modulepostdependencies: post.flatMap(behind),
		};
		for (const [key, list] of Object.entries(lists)) {
			const needed = [...new Set(list)].filter((module) => module !== name && inside.has(module));
			if (needed.length > 0) configuration.setIn([key, name], needed);
		}
	}
	// It sorts its aliases, and takes all that match.
	const aliases = aliasesOf(index, inside, base).map((alias) => alias.join(" "));
	return [
		{ name: boosterAliases, contents: text(aliases.sort()) },
		{ name: boosterConfiguration, contents: new TextEncoder().encode(String(configuration)) },
	];
}
