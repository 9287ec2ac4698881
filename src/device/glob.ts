/**
 * Does `text` match `pattern` as fnmatch(3) without flags decides it, which is what kmod asks: `*`, `?`, `[a-f0]`,
 * `[!a]`, `\` quotes the next character, and no character is special otherwise (`/` and a leading `.` are not). POSIX
 * classes such as `[:alpha:]` are not known: the kernel never writes them into an alias.
 *
 * Takes time proportional to the product of the two lengths at most: only the last `*` is ever tried again, since an
 * earlier one can gain nothing that the last one cannot.
 */
export function matchesGlob(pattern: string, text: string): boolean {
	let at = 0;
	let position = 0;
	let retry: { at: number; position: number } | undefined;
	for (;;) {
		if (pattern[at] === "*") {
			at += 1;
			retry = { at, position };
			continue;
		}
		if (at === pattern.length && position === text.length) return true;
		const next = position < text.length ? matchOne(pattern, at, text.charCodeAt(position)) : undefined;
		if (next !== undefined) {
			at = next;
			position += 1;
		} else if (retry !== undefined && retry.position < text.length) {
			retry.position += 1;
			({ at, position } = retry);
		} else {
			return false;
		}
	}
}

/** Position in the pattern after the one element at `at` that matches the character; undefined when it does not. */
function matchOne(pattern: string, at: number, character: number): number | undefined {
	switch (pattern[at]) {
		case undefined:
			return undefined;
		case "?":
			return at + 1;
		case "[": {
			const set = readSet(pattern, at, character);
			// A bracket without its end stands for itself.
			if (set !== undefined) return set.matches ? set.end : undefined;
			break;
		}
		case "\\":
			return pattern.charCodeAt(at + 1) === character ? at + 2 : undefined;
		default:
	}
	return pattern.charCodeAt(at) === character ? at + 1 : undefined;
}

function readSet(pattern: string, open: number, character: number): { matches: boolean; end: number } | undefined {
	let at = open + 1;
	const negated = pattern[at] === "!" || pattern[at] === "^";
	if (negated) at += 1;
	let matches = false;
	for (const first = at; at < pattern.length; ) {
		if (pattern[at] === "]" && at > first) return { matches: matches !== negated, end: at + 1 };
		const low = member(pattern, at);
		if (low === undefined) return undefined;
		at = low.end;
		let high = low;
		if (pattern[at] === "-" && at + 1 < pattern.length && pattern[at + 1] !== "]") {
			const upper = member(pattern, at + 1);
			if (upper === undefined) return undefined;
			high = upper;
			at = upper.end;
		}
		if (low.code <= character && character <= high.code) matches = true;
	}
	return undefined;
}

function member(pattern: string, at: number): { code: number; end: number } | undefined {
	const quoted = pattern[at] === "\\" ? 1 : 0;
	if (at + quoted >= pattern.length) return undefined;
	return { code: pattern.charCodeAt(at + quoted), end: at + quoted + 1 };
}
