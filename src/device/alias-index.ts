import { matchesGlob } from "./glob.js";

/** An `alias` line: a pattern and the module that asked for it. */
export type Alias = readonly [pattern: string, module: string];

interface Entry {
	/** Place in the file. */
	readonly order: number;
	readonly pattern: string;
	readonly alias: Alias;
}

/**
 * Finds the aliases that match a name among some 25,000. Patterns are filed under their text up to the first wildcard;
 * a look-up asks once for each length that such a text has (45 in Debian's kernel), then matches the few patterns found there.
 */
export class AliasIndex {
	readonly #byPrefix = new Map<string, Entry[]>();
	readonly #lengths: readonly number[];
	/** Answers so far: the same few buses are asked for again with each device and each hypervisor. */
	readonly #answers = new Map<string, readonly Alias[]>();

	constructor(aliases: readonly Alias[]) {
		for (const [order, alias] of aliases.entries()) {
			const pattern = normalize(alias[0]);
			if (pattern === undefined) continue;
			const wildcard = pattern.search(/[*?[\\]/);
			const prefix = wildcard < 0 ? pattern : pattern.slice(0, wildcard);
			const entries = this.#byPrefix.get(prefix);
			if (entries === undefined) this.#byPrefix.set(prefix, [{ order, pattern, alias }]);
			else entries.push({ order, pattern, alias });
		}
		this.#lengths = [...new Set(Array.from(this.#byPrefix.keys(), (prefix) => prefix.length))];
	}

	/** All aliases whose pattern matches, in file order. */
	matching(name: string): readonly Alias[] {
		let answer = this.#answers.get(name);
		if (answer === undefined) {
			answer = this.#search(name);
			this.#answers.set(name, answer);
		}
		return answer;
	}

	#search(name: string): readonly Alias[] {
		const text = normalize(name);
		if (text === undefined) return [];
		const found: Entry[] = [];
		for (const length of this.#lengths) {
			if (length > text.length) continue;
			for (const entry of this.#byPrefix.get(text.slice(0, length)) ?? []) {
				if (matchesGlob(entry.pattern, text)) found.push(entry);
			}
		}
		return found.sort((one, other) => one.order - other.order).map(({ alias }) => alias);
	}

	/** Names of the modules whose aliases match, in file order, each once. */
	modules(name: string): string[] {
		return [...new Set(this.matching(name).map(([, module]) => module))];
	}
}

const built = new WeakMap<readonly Alias[], AliasIndex>();

/** The index of a list of aliases, built at the first call for that list. */
export function aliasIndex(aliases: readonly Alias[]): AliasIndex {
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
