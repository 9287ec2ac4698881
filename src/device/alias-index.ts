import { matchesGlob } from "./glob.js";

/** An `alias` line: a pattern and the module that asked for it. */
export type Alias = readonly [pattern: string, module: string];

/** Aliases in their order. What finds them by itself, as kmod's binary index does, is not read as a whole. */
export interface Aliases extends Iterable<Alias> {
	/** Those whose pattern matches a name that has `_` for `-`. */
	readonly matching?: (name: string) => readonly Alias[];
}

interface Entry {
	/** Place in the file. */
	readonly order: number;
	readonly pattern: string;
	readonly alias: Alias;
}

/** Finds the aliases that match a name among some 25,000. */
export class AliasIndex {
	readonly #find: (name: string) => readonly Alias[];
	/** Answers so far: the same few buses are asked for again with each device and each hypervisor. */
	readonly #answers = new Map<string, readonly Alias[]>();

	constructor(aliases: Aliases) {
		this.#find = aliases.matching?.bind(aliases) ?? finderOf(aliases);
	}

	/** All aliases whose pattern matches, in file order. */
	matching(name: string): readonly Alias[] {
		let answer = this.#answers.get(name);
		if (answer === undefined) {
			const text = normalize(name);
			answer = text === undefined ? [] : this.#find(text);
			this.#answers.set(name, answer);
		}
		return answer;
	}

	/** Names of the modules whose aliases match, in file order, each once. */
	modules(name: string): string[] {
		return [...new Set(this.matching(name).map(([, module]) => module))];
	}
}

/**
 * Patterns are filed under their text up to the first wildcard; a look-up asks once for each length that such a text has
 * (45 in Debian's kernel), then matches the few patterns found there.
 */
function finderOf(aliases: Iterable<Alias>): (name: string) => readonly Alias[] {
	const byPrefix = new Map<string, Entry[]>();
	let order = 0;
	for (const alias of aliases) {
		const pattern = normalize(alias[0]);
		if (pattern === undefined) continue;
		const wildcard = pattern.search(/[*?[\\]/);
		const prefix = wildcard < 0 ? pattern : pattern.slice(0, wildcard);
		const entry = { order: order++, pattern, alias };
		const entries = byPrefix.get(prefix);
		if (entries === undefined) byPrefix.set(prefix, [entry]);
		else entries.push(entry);
	}
	const lengths = [...new Set(Array.from(byPrefix.keys(), (prefix) => prefix.length))];
	return (name) => {
		const found: Entry[] = [];
		for (const length of lengths) {
			if (length > name.length) continue;
			for (const entry of byPrefix.get(name.slice(0, length)) ?? []) {
				if (matchesGlob(entry.pattern, name)) found.push(entry);
			}
		}
		return found.sort((one, other) => one.order - other.order).map(({ alias }) => alias);
	};
}

/** Several lists as one, one after the other. */
export const joinAliases = (...lists: readonly Aliases[]): Aliases => ({
	*[Symbol.iterator]() {
		for (const list of lists) yield* list;
	},
	matching: (name) => lists.flatMap((list) => aliasIndex(list).matching(name)),
});

const built = new WeakMap<Aliases, AliasIndex>();

/** The index of a list of aliases, built at the first call for that list. */
export function aliasIndex(aliases: Aliases): AliasIndex {
	let index = built.get(aliases);
	if (index === undefined) {
		index = new AliasIndex(aliases);
		built.set(aliases, index);
	}
	return index;
}

/**
 * kmod takes `-` for `_` everywhere but in a set, and refuses a name with an unpaired bracket (`alias_normalize` in
 * its shared/util.c): undefined.
 */
function normalize(name: string): string | undefined {
	if (!/[[\]-]/.test(name)) return name;
	let text = "";
	for (let at = 0; at < name.length; ) {
		const open = name.indexOf("[", at);
		const plain = name.slice(at, open < 0 ? undefined : open);
		if (plain.includes("]")) return undefined;
		text += plain.replaceAll("-", "_");
		if (open < 0) break;
		const close = name.indexOf("]", open);
		if (close < 0) return undefined;
		text += name.slice(open, close + 1);
		at = close + 1;
	}
	return text;
}
