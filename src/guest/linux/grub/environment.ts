import { lines } from "../text.js";
import type { Part, Word } from "./script.js";

/** Longer values are cut: a script can double a variable with every line. */
const longestValue = 8192;

/** GRUB's variables; those of a menu entry's body end with it. */
export class Environment {
	readonly #values = new Map<string, string>();
	readonly #outer: Environment | undefined;

	constructor(values: Iterable<readonly [string, string]> = [], outer?: Environment) {
		for (const [name, value] of values) this.set(name, value);
		this.#outer = outer;
	}

	get(name: string): string {
		return this.#values.get(name) ?? this.#outer?.get(name) ?? "";
	}

	set(name: string, value: string): void {
		this.#values.set(name, value.slice(0, longestValue));
	}

	/** Expands words into arguments: unquoted variables are split at white space, and vanish where empty. */
	expand(words: readonly Word[]): string[] {
		return words.flatMap((word) => this.#expandWord(word));
	}

	/** Expands `$name` and `${name}` in plain text, as blscfg does with the lines of an entry. */
	expandText(text: string): string {
		return text
			.replace(/\$(?:\{(\w+)\}|(\w+))/g, (_, braced?: string, bare?: string) => this.get(braced ?? bare ?? ""))
			.slice(0, longestValue);
	}

	#expandWord(word: Word): string[] {
		const args: string[] = [];
		let current = "";
		let present = false;
		const add = (part: Part) => {
			const value = part.kind === "text" ? part.value : this.get(part.value);
			if (part.kind === "text" || part.quoted) {
				current = (current + value).slice(0, longestValue);
				present ||= part.quoted || value !== "";
				return;
			}
			const [first = "", ...more] = value.split(/\s+/);
			current = (current + first).slice(0, longestValue);
			present ||= current !== "";
			for (const field of more) {
				if (present) args.push(current);
				current = field;
				present = field !== "";
			}
		};
		for (const part of word) add(part);
		if (present) args.push(current);
		return args;
	}
}

/**
 * The environment block, `grubenv`: a comment, then `name=value` lines with backslashes before what would end them,
 * padded with `#`. https://www.gnu.org/software/grub/manual/grub/html_node/Environment-block.html
 */
export function parseGrubEnvironment(text: string): ReadonlyMap<string, string> {
	const values = new Map<string, string>();
	for (const line of lines(text)) {
		const equals = line.indexOf("=");
		if (equals > 0 && !line.startsWith("#")) {
			values.set(line.slice(0, equals), line.slice(equals + 1).replace(/\\(.)/g, "$1"));
		}
	}
	return values;
}
