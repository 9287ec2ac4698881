import { damaged } from "../../bytes/errors.js";

// The configuration language of LVM2, described in lvm.conf(5): "section { … }", "key = value", "# comment".

type Value = number | string | readonly (number | string)[];

/** A section of the text. */
export interface Section {
	readonly values: ReadonlyMap<string, Value>;
	readonly sections: ReadonlyMap<string, Section>;
}

/** A group, its volumes, one of them, its segment: real metadata is 4 deep. */
const DEEPEST = 16;

/** @param file for messages: where the text is from */
export const parseMetadata = (text: string, file: string): Section => new Parser(text, file).section(0);

/** Characters of names and numbers. */
const word = /[A-Za-z0-9_.+\-@/:]+/y;
const blanks = /\s+/y;
const comment = /#[^\n]*/y;

class Parser {
	readonly #text: string;
	readonly #file: string;
	#at = 0;

	constructor(text: string, file: string) {
		this.#text = text;
		this.#file = file;
	}

	/** Up to its brace, or to the end of the text. */
	section(depth: number): Section {
		const values = new Map<string, Value>();
		const sections = new Map<string, Section>();
		if (depth > DEEPEST) throw this.#fault("sections nest too deep");
		while (this.#next() !== (depth === 0 ? "" : "}")) {
			const name = this.#next() === '"' ? this.#string() : this.#word();
			const sign = this.#next();
			this.#at++;
			if (sign === "=") values.set(name, this.#value());
			else if (sign === "{") sections.set(name, this.section(depth + 1));
			else throw this.#fault(`"${name.slice(0, 40)}" is followed by neither "=" nor "{"`);
		}
		this.#at++;
		return { values, sections };
	}

	/** The character that comes next, when blanks and comments are left out; "" at the end. */
	#next(): string {
		do this.#match(blanks);
		while (this.#match(comment) !== "");
		return this.#text.charAt(this.#at);
	}

	#value(): Value {
		if (this.#next() !== "[") return this.#scalar();
		const list: (number | string)[] = [];
		this.#at++;
		while (this.#next() !== "]") {
			list.push(this.#scalar());
			if (this.#next() === ",") this.#at++;
			else if (this.#next() !== "]") throw this.#fault("a list does not end");
		}
		this.#at++;
		return list;
	}

	#scalar(): number | string {
		if (this.#next() === '"') return this.#string();
		const found = this.#word();
		return /^[+-]?\d+$/.test(found) ? Number(found) : found;
	}

	#string(): string {
		let value = "";
		for (let from = ++this.#at; ; this.#at++) {
			const char = this.#text.charAt(this.#at);
			if (char === "") throw this.#fault("a string does not end");
			if (char !== '"' && char !== "\\") continue;
			value += this.#text.slice(from, this.#at++);
			if (char === '"') return value;
			from = this.#at;
		}
	}

	#word(): string {
		const found = this.#match(word);
		if (found === "") throw this.#fault("a name or a value is missing");
		return found;
	}

	#match(pattern: RegExp): string {
		pattern.lastIndex = this.#at;
		const [found = ""] = pattern.exec(this.#text) ?? [];
		this.#at += found.length;
		return found;
	}

	#fault(fault: string) {
		const line = this.#text.slice(0, this.#at).split("\n").length;
		return damaged(`${this.#file}: the LVM2 metadata cannot be understood: ${fault} (line ${line})`, {
			file: this.#file,
			hint: '"vgcfgbackup" where the guest runs, or "pvck --dump metadata" on a copy, shows the text.',
		});
	}
}
