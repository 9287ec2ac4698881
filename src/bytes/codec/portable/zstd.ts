import { compress, init } from "@bokuweb/zstd-wasm";
import { Decompress } from "fzstd";
import { createXXHash64 } from "hash-wasm";
import { concat } from "../../concat.js";
import { unsupported } from "../../errors.js";
import { type ByteSource, readUpTo } from "../../source.js";
import { about, broken, type EncodingEngine, once, type Place, truncated } from "../engine.js";

/** The longest of https://www.rfc-editor.org/rfc/rfc8878#name-frame-header, magic number included. */
const LONGEST_HEADER = 18;
const BLOCK_HEADER = 3;
const RLE_BLOCK = 1;
const RESERVED_BLOCK = 3;
/** No block is larger, compressed or not. */
const LARGEST_BLOCK = 128 << 10;
const CHECKSUM = 4;
/** libzstd's own limit, so that a frame decodes everywhere or nowhere. */
const LARGEST_WINDOW = 128 << 20;

const initialised = once(init);

/** Decodes in JavaScript and encodes in WebAssembly, where there is no libzstd. */
export const zstdEngine: EncodingEngine = {
	about: about(
		"fzstd (JavaScript), zstd-wasm (WebAssembly)",
		"Install libzstd (Debian and Ubuntu: apt-get install libzstd1) and keep the npm package koffi, for five times the speed.",
	),
	async *stream(source, at) {
		const place = { file: source.name, offset: at };
		const header = await readHeader(source, at, place);
		const sum = await createXXHash64();
		const output: Uint8Array[] = [];
		const frame = new Decompress((piece) => output.push(piece));
		feed(frame, header.bytes, false, place);
		let next = at + header.bytes.length;
		for (let last = false; !last; ) {
			const block = await readBlock(source, next, place);
			next += block.bytes.length;
			last = block.last;
			// For fzstd the checksum is part of the last block, but unchecked.
			const checksum = await readPart(source, next, last && header.checksummed ? CHECKSUM : 0, place);
			next += checksum.length;
			feed(frame, concat([block.bytes, checksum]), last, place);
			for (const piece of output.splice(0)) {
				sum.update(piece);
				yield piece;
			}
			if (checksum.length > 0 && !isSum(checksum, sum.digest())) {
				throw broken("zstd", place, "the checksum of its content is wrong");
			}
		}
		return next;
	},
	async encode(input, level = 3) {
		await initialised();
		return compress(input, level);
	},
};

/** The checksum is the low 32 bits of the hash, lowest byte first; `digest` is the hash as a number in hexadecimal. */
const isSum = (checksum: Uint8Array, digest: string) =>
	digest.endsWith(
		[...checksum]
			.reverse()
			.map((byte) => byte.toString(16).padStart(2, "0"))
			.join(""),
	);

function feed(frame: Decompress, bytes: Uint8Array, last: boolean, place: Place): void {
	try {
		frame.push(bytes, last);
	} catch (error) {
		throw broken("zstd", place, error instanceof Error ? error.message : "it is corrupt", error);
	}
}

/** https://www.rfc-editor.org/rfc/rfc8878#name-frame_header_descriptor */
async function readHeader(source: ByteSource, at: number, place: Place) {
	const head = await readUpTo(source, at, LONGEST_HEADER);
	const byteAt = (index: number) => {
		const byte = head[index];
		if (byte === undefined) throw truncated("zstd", place);
		return byte;
	};
	const descriptor = byteAt(4);
	const singleSegment = (descriptor & 0x20) !== 0;
	const dictionaryIdSize = [0, 1, 2, 4][descriptor & 3] ?? 0;
	const contentSizeSize = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
	if (dictionaryIdSize > 0) throw tooMuch(place, "a dictionary");

	const length = (singleSegment ? 5 : 6) + contentSizeSize;
	let windowSize = 0;
	if (singleSegment) {
		for (let i = length - 1; i >= 5; i--) windowSize = windowSize * 256 + byteAt(i);
	} else {
		const windowBase = 2 ** (10 + (byteAt(5) >> 3));
		windowSize = windowBase + (windowBase / 8) * (byteAt(5) & 7);
	}
	if (windowSize > LARGEST_WINDOW) throw tooMuch(place, `a window of ${windowSize} bytes`);
	byteAt(length - 1);
	return { bytes: head.subarray(0, length), checksummed: (descriptor & 0x04) !== 0 };
}

const tooMuch = ({ file, offset }: Place, what: string) =>
	unsupported(`${file}: the zstd data at byte ${offset} needs ${what}, which is not supported`, { file, offset });

/** https://www.rfc-editor.org/rfc/rfc8878#name-blocks */
async function readBlock(source: ByteSource, at: number, place: Place) {
	const [low = 0, middle = 0, high = 0] = await readPart(source, at, BLOCK_HEADER, place);
	const type = (low >> 1) & 3;
	const size = (low | (middle << 8) | (high << 16)) >> 3;
	if (type === RESERVED_BLOCK || size > LARGEST_BLOCK) throw broken("zstd", place, "a block's header is impossible");
	const bytes = await readPart(source, at, BLOCK_HEADER + (type === RLE_BLOCK ? 1 : size), place);
	return { bytes, last: (low & 1) !== 0 };
}

async function readPart(source: ByteSource, at: number, length: number, place: Place): Promise<Uint8Array> {
	const bytes = await readUpTo(source, at, length);
	if (bytes.length < length) throw truncated("zstd", place);
	return bytes;
}
