/** A start tag is looked for in this much of a file. */
const SNIFFED = 64 << 10;

/** The text of the root element's start tag, or undefined where `bytes` are not the beginning of an XML document. */
export function rootTag(bytes: Uint8Array): { readonly name: string; readonly tag: string } | undefined {
	const text = decodeHead(bytes);
	const prolog = /\s+|<\?[^]*?\?>|<!--[^]*?-->|<!DOCTYPE[^[>]*(?:\[[^]*?\]\s*)?>/y;
	let at = 0;
	while (prolog.test(text)) at = prolog.lastIndex;
	const tag = /<(?:[\w.-]+:)?([\w.-]+)(?:\s[^<]*?)?\/?>/y;
	tag.lastIndex = at;
	const found = tag.exec(text);
	return found?.[1] === undefined ? undefined : { name: found[1], tag: found[0] };
}

/**
 * The beginning of a document as text, by its byte order mark; without one, as "<" is encoded.
 * https://www.w3.org/TR/xml/#sec-guessing
 */
export function decodeHead(bytes: Uint8Array): string {
	const pair = ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);
	const label =
		pair === 0xfffe || pair === 0x3c00 ? "utf-16le" : pair === 0xfeff || pair === 0x003c ? "utf-16be" : "utf-8";
	return new TextDecoder(label).decode(bytes.subarray(0, SNIFFED));
}
