/** The lines of a text, without their ends; a final line without one counts too. */
export function* lines(text: string): Generator<string, void, void> {
	let start = 0;
	while (start < text.length) {
		const found = text.indexOf("\n", start);
		const end = found < 0 ? text.length : found;
		yield text.slice(start, text[end - 1] === "\r" && end > start ? end - 1 : end);
		start = end + 1;
	}
}

/** What white space separates. */
export const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== "");

/**
 * A file of shell assignments that its readers never run: os-release, ifcfg-*, dracut.conf. The last assignment of a
 * name wins, as in a shell.
 */
export function parseAssignments(text: string): ReadonlyMap<string, string> {
	const values = new Map<string, string>();
	for (const line of lines(text)) {
		const match = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z_0-9]*)=(.*)$/.exec(line);
		if (match?.[1] !== undefined) values.set(match[1], unquote(match[2] ?? ""));
	}
	return values;
}

/** One shell word as its value, quotes and backslashes removed; a comment or a second word after it is left out. */
export function unquote(word: string): string {
	let value = "";
	let quote = "";
	for (let i = 0; i < word.length; i++) {
		const char = word[i] ?? "";
		if (char === quote) quote = "";
		else if (quote === "" && (char === "'" || char === '"')) quote = char;
		else if (quote === "" && /\s/.test(char)) break;
		else if (char === "\\" && quote !== "'") value += word[++i] ?? "";
		else value += char;
	}
	return value;
}

export interface IniSection {
	readonly name: string;
	readonly values: ReadonlyMap<string, readonly string[]>;
}

/** Sections of `key=value` lines, as systemd and NetworkManager write them; a key may repeat. */
export function parseIni(text: string): readonly IniSection[] {
	const sections: { name: string; values: Map<string, string[]> }[] = [];
	for (const raw of lines(text)) {
		const line = raw.trim();
		if (line === "" || line.startsWith("#") || line.startsWith(";")) continue;
		if (line.startsWith("[") && line.endsWith("]")) {
			sections.push({ name: line.slice(1, -1), values: new Map() });
			continue;
		}
		const equals = line.indexOf("=");
		const values = sections.at(-1)?.values;
		if (equals < 1 || values === undefined) continue;
		const key = line.slice(0, equals).trim();
		const value = line.slice(equals + 1).trim();
		const list = values.get(key);
		if (list) list.push(value);
		else values.set(key, [value]);
	}
	return sections;
}
