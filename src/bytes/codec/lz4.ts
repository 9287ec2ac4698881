import type { IHasher } from "hash-wasm";
import { unsupported } from "../errors.js";
import { type ByteSource, readUpTo } from "../source.js";
import { struct, u8, u32, u64 } from "../struct.js";
import { about, broken, decoderOf, type Place, truncated } from "./engine.js";
import { decodeLz4Block, LZ4_WINDOW } from "./lz4-block.js";
import { marks } from "./mark.js";

/** https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md */
const FrameStart = struct("lz4 frame header", "little", { magicNumber: u32, flg: u8, bd: u8 });
const ContentSize = struct("lz4 content size", "little", { size: u64 });
const Word = struct("lz4 word", "little", { value: u32 });

const MAGIC = 4;
/** Magic number, descriptor with all of its fields, and the descriptor's checksum. */
const LONGEST_HEADER = 19;

const VERSION_MASK = 0xc0;
const VERSION_1 = 0x40;
const INDEPENDENT = 0x20;
const BLOCK_CHECKSUM = 0x10;
const CONTENT_SIZE = 0x08;
const CONTENT_CHECKSUM = 0x04;
const DICTIONARY_ID = 0x01;
/** Of a block's size: its data is stored as it is. */
const UNCOMPRESSED = 0x8000_0000;

const hashOf = (hash: IHasher, bytes: Uint8Array) => Number.parseInt(hash.init().update(bytes).digest("hex"), 16);

interface Frame {
	/** Bytes of magic number and descriptor. */
	readonly length: number;
	readonly independent: boolean;
	readonly blockChecksums: boolean;
	readonly contentChecksum: boolean;
	readonly contentSize: number | undefined;
	/** Most bytes that a block decodes to. */
	readonly largestBlock: number;
}

async function readFrame(source: ByteSource, at: number, place: Place, hash: IHasher): Promise<Frame> {
	const head = await readUpTo(source, at, LONGEST_HEADER);
	if (!marks.lz4(head)) throw broken("lz4", place, "it does not begin with an lz4 frame");
	const { flg, bd } = FrameStart.parse(head, 0, source.name, at);
	const has = (flag: number) => (flg & flag) !== 0;
	const largestBlock = 2 ** (8 + 2 * ((bd >> 4) & 7));
	if ((flg & VERSION_MASK) !== VERSION_1 || largestBlock < 64 << 10) {
		throw broken("lz4", place, "its header is not of version 1");
	}
	if (has(DICTIONARY_ID)) {
		throw unsupported(`${source.name}: the lz4 data at byte ${at} needs a dictionary`, {
			file: source.name,
			offset: at,
		});
	}
	const sizeAt = FrameStart.size;
	const contentSize = has(CONTENT_SIZE) ? ContentSize.parse(head, sizeAt, source.name, at).size : undefined;
	const end = sizeAt + (contentSize === undefined ? 0 : ContentSize.size);
	if (head[end] === undefined) throw truncated("lz4", place);
	if (head[end] !== ((hashOf(hash, head.subarray(MAGIC, end)) >> 8) & 0xff)) {
		throw broken("lz4", place, "the checksum of its header is wrong");
	}
	return {
		length: end + 1,
		independent: has(INDEPENDENT),
		blockChecksums: has(BLOCK_CHECKSUM),
		contentChecksum: has(CONTENT_CHECKSUM),
		contentSize,
		largestBlock,
	};
}

async function* decodeFrame(source: ByteSource, at: number): AsyncGenerator<Uint8Array, number> {
	const place = { file: source.name, offset: at };
	// Not loaded with this file, which every command loads.
	const { createXXHash32 } = await import("hash-wasm");
	const [hash, contentHash] = [await createXXHash32(), await createXXHash32()];
	const frame = await readFrame(source, at, place, hash);
	const part = async (from: number, length: number) => {
		const bytes = await readUpTo(source, from, length);
		if (bytes.length < length) throw truncated("lz4", place);
		return bytes;
	};
	const word = async (from: number) => Word.parse(await part(from, Word.size)).value;

	// What the blocks before the current one produced, as far as it can be referred to, and the current one.
	const window = new Uint8Array(LZ4_WINDOW + frame.largestBlock);
	let history = 0;
	let length = 0;
	let next = at + frame.length;
	for (;;) {
		const stored = await word(next);
		next += Word.size;
		if (stored === 0) break;
		const size = stored % UNCOMPRESSED;
		if (size > frame.largestBlock) throw broken("lz4", place, "a block is larger than the frame allows");
		const block = await part(next, size);
		next += size;
		if (frame.blockChecksums) {
			if ((await word(next)) !== hashOf(hash, block)) throw broken("lz4", place, "the checksum of a block is wrong");
			next += Word.size;
		}
		let end: number | undefined = history + size;
		if (stored >= UNCOMPRESSED) window.set(block, history);
		else end = decodeLz4Block(block, window.subarray(0, history + frame.largestBlock), history);
		if (end === undefined) throw broken("lz4", place, "a block is corrupt");
		const output = window.slice(history, end);
		contentHash.update(output);
		length += output.length;
		yield output;
		if (!frame.independent) {
			const from = Math.max(0, end - LZ4_WINDOW);
			window.copyWithin(0, from, end);
			history = end - from;
		}
	}
	if (frame.contentSize !== undefined && frame.contentSize !== length) {
		throw broken("lz4", place, "it holds another number of bytes than it says");
	}
	if (!frame.contentChecksum) return next;
	if ((await word(next)) !== Number.parseInt(contentHash.digest("hex"), 16)) {
		throw broken("lz4", place, "the checksum of its content is wrong");
	}
	return next + Word.size;
}

/** One LZ4 frame. */
export const lz4 = decoderOf("lz4", () => Promise.resolve({ about: about("JavaScript"), stream: decodeFrame }));
