import { refused } from "../../errors.js";
import { type ByteSource, readUpTo } from "../../source.js";
import { about, broken, type Engine, type Place, truncated } from "../engine.js";
import { LzmaHeader, UNKNOWN_SIZE } from "../mark.js";
import { LzmaDecoder } from "./lzma-decoder.js";

/** "xz -9" uses 64 MiB. */
const LARGEST_DICTIONARY = 128 << 20;
const PIECE = 64 << 10;

async function* decodeStream(source: ByteSource, at: number): AsyncGenerator<Uint8Array, number> {
	const place: Place = { file: source.name, offset: at };
	const head = await readUpTo(source, at, LzmaHeader.size);
	if (head.length < LzmaHeader.size) throw truncated("lzma", place);
	const { properties, dictionarySize, size } = LzmaHeader.parse(head);
	if (properties >= 9 * 5 * 5) throw broken("lzma", place, "its properties are impossible");
	const known = size === UNKNOWN_SIZE ? Number.POSITIVE_INFINITY : Number(size);
	// A window larger than the content is never used.
	const window = Math.min(dictionarySize, known);
	if (window > LARGEST_DICTIONARY) {
		throw refused(`${place.file}: the lzma data at byte ${at} needs a window of ${window} bytes`, place);
	}

	const decoder = new LzmaDecoder(properties, Math.max(window, 4096), known);
	let next = at + LzmaHeader.size;
	for (;;) {
		const piece = await readUpTo(source, next, PIECE);
		next += piece.length;
		const last = next >= source.size;
		decoder.feed(piece, last);
		for (;;) {
			const state = decoder.run();
			const output = decoder.takeOutput();
			if (output.length > 0) yield output;
			if (state === "damaged") throw broken("lzma", place, "it is corrupt");
			if (state === "ended") return next - decoder.unread;
			if (state === "more-input") break;
		}
		if (last) throw truncated("lzma", place);
	}
}

/** LZMA in JavaScript, where there is no liblzma. */
export const lzmaEngine: Engine = {
	about: about(
		"JavaScript",
		"Install liblzma (Debian and Ubuntu: apt-get install liblzma5) and keep the npm package koffi, for several times the speed.",
	),
	stream: decodeStream,
};
