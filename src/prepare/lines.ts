const newline = 0x0a;
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The lines of a text, the last one too where it is empty, so that {@link joinLines} gives back every byte. In a line that
 * is not UTF-8, each byte from 0x80 on stands as the lone surrogate U+DC80 to U+DCFF, which no valid text can hold.
 */
export function splitLines(bytes: Uint8Array): string[] {
	const lines: string[] = [];
	for (let start = 0; start <= bytes.length; ) {
		const found = bytes.indexOf(newline, start);
		const end = found < 0 ? bytes.length : found;
		lines.push(decode(bytes.subarray(start, end)));
		start = end + 1;
	}
	return lines;
}

/** The bytes that {@link splitLines} took apart. */
export function joinLines(lines: readonly string[]): Uint8Array {
	const encoder = new TextEncoder();
	const parts = lines
		.join("\n")
		.split(/([\udc80-\udcff])/u)
		.map((part, i) => (i % 2 === 0 ? encoder.encode(part) : Uint8Array.of(part.charCodeAt(0) % 0x100)));
	const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
	let at = 0;
	for (const part of parts) {
		bytes.set(part, at);
		at += part.length;
	}
	return bytes;
}

function decode(line: Uint8Array): string {
	try {
		return strict.decode(line);
	} catch {
		return Array.from(line, (byte) => String.fromCharCode(byte < 0x80 ? byte : 0xdc00 + byte)).join("");
	}
}
