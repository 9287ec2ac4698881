import { unsupported } from "../errors.js";
import { type ByteSource, readUpTo } from "../source.js";
import { BadBlock, BitReader, linkText, RunText, readColumn } from "./bzip2-block.js";
import { about, broken, decoderOf, type Place } from "./engine.js";
import { bzip2Level } from "./mark.js";

/*
 * bzip2 has no specification of its own; the format is described in
 * https://github.com/dsnet/compress/blob/master/doc/bzip2-format.pdf
 */
/** Signature and level digit. */
const HEADER = 4;
/** A level is the size of the blocks in this many bytes. */
const LEVEL_UNIT = 100_000;
const BLOCK_MAGIC = [0x314159, 0x265359] as const;
const END_MAGIC = [0x177245, 0x385090] as const;
/** Each byte of a block takes a code of 20 bits at most. */
const LONGEST_CODE_BYTES = 2.5;
/** The tables before them, in bytes, with room to spare. */
const LONGEST_TABLES = 64 << 10;
const OUTPUT_PIECE = 256 << 10;

async function* decodeStream(source: ByteSource, at: number): AsyncGenerator<Uint8Array, number> {
	const place = { file: source.name, offset: at };
	const size = bzip2Level(await readUpTo(source, at, HEADER));
	if (size === undefined) throw broken("bzip2", place, "it does not begin with a bzip2 header");
	const column = new Uint32Array(size * LEVEL_UNIT);
	const longestBlock = column.length * LONGEST_CODE_BYTES + LONGEST_TABLES;
	let streamSum = 0;
	// Blocks begin at any bit: `bit` counts from the byte at `next`.
	let next = at + HEADER;
	let bit = 0;
	try {
		for (;;) {
			const bits = new BitReader(await readUpTo(source, next, longestBlock), bit);
			const kind = [bits.take(24), bits.take(24)];
			const stated = ((bits.take(16) << 16) | bits.take(16)) >>> 0;
			if (kind.every((part, i) => part === END_MAGIC[i])) {
				if (stated !== streamSum) throw new BadBlock("the checksum of its content is wrong");
				return next + Math.ceil(bits.position / 8);
			}
			if (!kind.every((part, i) => part === BLOCK_MAGIC[i]))
				throw new BadBlock("a block does not begin where it should");
			const sum = yield* decodeBlock(bits, column, place);
			if (sum !== stated) throw new BadBlock("the checksum of a block is wrong");
			streamSum = (((streamSum << 1) | (streamSum >>> 31)) ^ sum) >>> 0;
			next += Math.floor(bits.position / 8);
			bit = bits.position % 8;
		}
	} catch (error) {
		throw error instanceof BadBlock ? broken("bzip2", place, error.message) : error;
	}
}

/** Returns the checksum of the block's content. */
function* decodeBlock(bits: BitReader, column: Uint32Array, place: Place): Generator<Uint8Array, number> {
	if (bits.take(1) === 1) {
		throw unsupported(`${place.file}: the bzip2 data at byte ${place.offset} is of a version before 0.9.5`, place);
	}
	const origin = bits.take(24);
	const length = readColumn(bits, column);
	const text = new RunText(column.subarray(0, length), linkText(column, length, origin));
	for (;;) {
		const output = new Uint8Array(OUTPUT_PIECE);
		const filled = text.expand(output);
		if (filled > 0) yield output.subarray(0, filled);
		if (filled < output.length) return text.checksum;
	}
}

/** One bzip2 stream. */
export const bzip2 = decoderOf("bzip2", () => Promise.resolve({ about: about("JavaScript"), stream: decodeStream }));
