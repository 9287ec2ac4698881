import { type ByteSource, readBytes, readUpTo } from "../source.js";
import type { CodecId } from "./codec.js";
import { broken, type EncodingEngine, type Place } from "./engine.js";

/** What a format puts around raw DEFLATE data: a header, and a trailer with a checksum of the content. */
export interface Wrapper {
	readonly id: CodecId;
	/** Bytes; a header that needs more is damaged. */
	readonly longestHeader: number;
	/** Checks the header that `head` begins with and returns its length in bytes. */
	headerLength(head: Uint8Array, place: Place): number;
	/** The running checksum of the content. */
	sum(bytes: Uint8Array, previous: number): number;
	readonly emptySum: number;
	/** The trailer of content with that checksum and length in bytes. */
	trailer(sum: number, length: number): Uint8Array;
	/** The header to write. */
	header(): Uint8Array;
}

/** The engine of a wrapped format, by an engine for the DEFLATE data inside. */
export function wrapped(wrapper: Wrapper, deflate: EncodingEngine): EncodingEngine {
	return {
		about: deflate.about,
		async *stream(source, at, options) {
			const place = { file: source.name, offset: at };
			const head = await readUpTo(source, at, wrapper.longestHeader);
			const inside = deflate.stream(source, at + wrapper.headerLength(head, place), options);
			const content = running(wrapper, inside);
			const { end, sum, length } = yield* content;
			return checkTrailer(wrapper, source, place, end, wrapper.trailer(sum, length));
		},
		async encode(input, level) {
			const header = wrapper.header();
			const body = await deflate.encode(input, level);
			const trailer = wrapper.trailer(wrapper.sum(input, wrapper.emptySum), input.length);
			const all = new Uint8Array(header.length + body.length + trailer.length);
			all.set(header);
			all.set(body, header.length);
			all.set(trailer, header.length + body.length);
			return all;
		},
	};
}

/** Passes the content on, and sums it up. */
async function* running(wrapper: Wrapper, content: AsyncGenerator<Uint8Array, number>) {
	let sum = wrapper.emptySum;
	let length = 0;
	try {
		for (;;) {
			const step = await content.next();
			if (step.done === true) return { end: step.value, sum, length };
			sum = wrapper.sum(step.value, sum);
			length += step.value.length;
			yield step.value;
		}
	} finally {
		await content.return(0);
	}
}

/** Returns the offset after the trailer. */
async function checkTrailer(wrapper: Wrapper, source: ByteSource, place: Place, at: number, expected: Uint8Array) {
	const actual = await readBytes(source, at, expected.length);
	if (actual.some((byte, i) => byte !== expected[i])) {
		throw broken(wrapper.id, place, "the checksum or length of its content is wrong");
	}
	return at + expected.length;
}
