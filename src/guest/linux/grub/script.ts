/** A word of a GRUB script before expansion. `quoted` parts are not split, and are there even when empty. */
export type Word = readonly Part[];
export interface Part {
	readonly kind: "text" | "variable";
	readonly value: string;
	readonly quoted: boolean;
}

export type Statement =
	| { readonly kind: "command"; readonly words: readonly Word[]; readonly block?: readonly Statement[] }
	| {
			readonly kind: "if";
			readonly branches: readonly { readonly condition: readonly Statement[]; readonly body: readonly Statement[] }[];
	  };

type Token = { readonly kind: "word"; readonly word: Word } | { readonly kind: ";" | "{" | "}" };

/** Deeper blocks are left out: GRUB's own menus nest two or three deep. */
const maximumDepth = 32;

/**
 * Parses a GRUB 2 script, https://www.gnu.org/software/grub/manual/grub/html_node/Shell_002dlike-scripting.html. Never
 * fails and takes time linear in the text: what is not understood is left out. Functions and loops are, as no
 * distribution's menu depends on them.
 */
export function parseGrubScript(text: string): readonly Statement[] {
	const tokens = [...tokenise(text)];
	let next = 0;

	/** The keyword at the cursor: only an unquoted word is one. */
	const keyword = () => {
		const token = tokens[next];
		const part = token?.kind === "word" && token.word.length === 1 ? token.word[0] : undefined;
		return part?.kind === "text" && !part.quoted ? part.value : undefined;
	};
	const skipWord = (expected: string) => {
		while (tokens[next]?.kind === ";") next++;
		if (keyword() === expected) next++;
	};

	/** Statements up to a keyword of `ends`, which is not consumed, or up to the end of the block. */
	function statements(ends: readonly string[], depth: number): Statement[] {
		const list: Statement[] = [];
		while (next < tokens.length) {
			const token = tokens[next];
			if (token?.kind === ";") {
				next++;
				continue;
			}
			if (token?.kind === "}") return list;
			const word = keyword();
			if (word !== undefined && ends.includes(word)) return list;
			const statement = parseStatement(word, depth);
			if (statement && depth <= maximumDepth) list.push(statement);
		}
		return list;
	}

	function parseStatement(word: string | undefined, depth: number): Statement | undefined {
		if (word === "if") return parseIf(depth);
		if (word === "while" || word === "until" || word === "for") {
			skipTo("done", depth);
			return undefined;
		}
		const words: Word[] = [];
		for (let token = tokens[next]; token?.kind === "word"; token = tokens[++next]) words.push(token.word);
		if (tokens[next]?.kind !== "{") return { kind: "command", words };
		const block = parseBlock(depth);
		return word === "function" ? undefined : { kind: "command", words, block };
	}

	function parseBlock(depth: number): Statement[] {
		next++;
		const block = nested([], depth);
		if (tokens[next]?.kind === "}") next++;
		return block;
	}

	function parseIf(depth: number): Statement {
		const branches: { condition: Statement[]; body: Statement[] }[] = [];
		for (let word = keyword(); word === "if" || word === "elif"; word = keyword()) {
			next++;
			const condition = nested(["then", "fi"], depth);
			skipWord("then");
			branches.push({ condition, body: nested(["elif", "else", "fi"], depth) });
		}
		if (keyword() === "else") {
			next++;
			branches.push({ condition: [], body: nested(["fi"], depth) });
		}
		skipWord("fi");
		return { kind: "if", branches };
	}

	function skipTo(end: string, depth: number) {
		next++;
		nested([end], depth);
		skipWord(end);
	}

	/** Too deep, the rest of the script is given up: what closes what can no longer be told. */
	function nested(ends: readonly string[], depth: number): Statement[] {
		if (depth < maximumDepth) return statements(ends, depth + 1);
		next = tokens.length;
		return [];
	}

	const script: Statement[] = [];
	while (next < tokens.length) {
		script.push(...statements([], 0));
		// A closing brace without an opening one.
		next++;
	}
	return script;
}

const blanks = " \t\r";
const breaks = "\n;|&";
const variableName = /[A-Za-z_][A-Za-z_0-9]*|[0-9]+|[?*#@]/y;

function* tokenise(text: string): Generator<Token, void, void> {
	let at = 0;
	while (at < text.length) {
		const char = text[at] ?? "";
		if (blanks.includes(char)) at++;
		else if (char === "#") at = endOf(text, "\n", at);
		else if (breaks.includes(char)) {
			at++;
			yield { kind: ";" };
		} else if (char === "{" || char === "}") {
			at++;
			yield { kind: char };
		} else if (char === "\\" && text[at + 1] === "\n") at += 2;
		else {
			const scanner = { text, at };
			const word = readWord(scanner);
			at = scanner.at;
			yield { kind: "word", word };
		}
	}
}

interface Scanner {
	readonly text: string;
	at: number;
}

/** Reads one word: quoted and unquoted parts without white space between them. */
function readWord(scanner: Scanner): Word {
	const parts: Part[] = [];
	const { text } = scanner;
	while (scanner.at < text.length) {
		const char = text[scanner.at] ?? "";
		if (blanks.includes(char) || breaks.includes(char) || char === "{" || char === "}") break;
		if (char === "'") {
			const end = endOf(text, "'", scanner.at + 1);
			parts.push({ kind: "text", value: text.slice(scanner.at + 1, end), quoted: true });
			scanner.at = end + 1;
		} else if (char === '"') {
			scanner.at++;
			readDoubleQuoted(scanner, parts);
		} else if (char === "$") readVariable(scanner, parts, false);
		else if (char === "\\") {
			// Before a line's end it joins the lines.
			const escaped = text[scanner.at + 1] ?? "";
			if (escaped !== "\n") parts.push({ kind: "text", value: escaped, quoted: true });
			scanner.at += 2;
		} else {
			const start = scanner.at;
			while (scanner.at < text.length && !`${blanks}${breaks}{}'"$\\`.includes(text[scanner.at] ?? "")) scanner.at++;
			parts.push({ kind: "text", value: text.slice(start, scanner.at), quoted: false });
		}
	}
	return parts;
}

function readDoubleQuoted(scanner: Scanner, parts: Part[]) {
	const { text } = scanner;
	let value = "";
	let start = scanner.at;
	const flush = () => {
		value += text.slice(start, scanner.at);
	};
	for (; scanner.at < text.length && text[scanner.at] !== '"'; ) {
		const char = text[scanner.at];
		if (char === "\\" && '$"\\\n'.includes(text[scanner.at + 1] ?? " ")) {
			flush();
			if (text[scanner.at + 1] !== "\n") value += text[scanner.at + 1];
			scanner.at += 2;
			start = scanner.at;
		} else if (char === "$") {
			flush();
			parts.push({ kind: "text", value, quoted: true });
			value = "";
			readVariable(scanner, parts, true);
			start = scanner.at;
		} else scanner.at++;
	}
	flush();
	scanner.at++;
	parts.push({ kind: "text", value, quoted: true });
}

/** `$name` or `${name}`; a `$` before anything else is itself, but vanishes before the quote of `$"translated"`. */
function readVariable(scanner: Scanner, parts: Part[], quoted: boolean) {
	const { text } = scanner;
	const braced = text[scanner.at + 1] === "{";
	variableName.lastIndex = scanner.at + (braced ? 2 : 1);
	const name = variableName.exec(text)?.[0];
	if (name !== undefined && (!braced || text[variableName.lastIndex] === "}")) {
		parts.push({ kind: "variable", value: name, quoted });
		scanner.at = variableName.lastIndex + (braced ? 1 : 0);
		return;
	}
	scanner.at++;
	if (quoted || text[scanner.at] !== '"') parts.push({ kind: "text", value: "$", quoted });
}

function endOf(text: string, char: string, from: number): number {
	const found = text.indexOf(char, from);
	return found < 0 ? text.length : found;
}
