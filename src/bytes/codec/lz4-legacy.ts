import { type ByteSource, readUpTo } from "../source.js";
import { struct, u32 } from "../struct.js";
import { about, broken, codecOf, type EncodingEngine, truncated } from "./engine.js";
import { decodeLz4Block, encodeLz4Block, lz4Bound } from "./lz4-block.js";
import { LZ4_LEGACY_MAGIC, marks } from "./mark.js";

/** https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md#legacy-frame */
const Word = struct("lz4 word", "little", { value: u32 });

/** All blocks but the last decode to exactly this. */
const BLOCK = 8 << 20;
/** Each byte of a block adds at most this much to what it decodes to. */
const LARGEST_RATIO = 255;

const engine: EncodingEngine = {
	about: about("JavaScript"),
	async *stream(source, at) {
		const place = { file: source.name, offset: at };
		if (!marks["lz4-legacy"](await readUpTo(source, at, Word.size))) {
			throw broken("lz4-legacy", place, "it does not begin with a legacy lz4 frame");
		}
		let next = at + Word.size;
		for (;;) {
			const size = await blockSize(source, next);
			if (size === undefined) return next;
			const block = await readUpTo(source, next + Word.size, size);
			if (block.length < size) throw truncated("lz4-legacy", place);
			next += Word.size + size;
			const output = new Uint8Array(Math.min(BLOCK, size * LARGEST_RATIO));
			const length = decodeLz4Block(block, output, 0);
			if (length === undefined) throw broken("lz4-legacy", place, "a block is corrupt");
			yield output.subarray(0, length);
			// Only the last one is short. What follows may look like a size: the next archive, or the kernel's length word.
			if (length < BLOCK) return next;
		}
	},
	encode(input) {
		const parts = [Word.build({ value: LZ4_LEGACY_MAGIC })];
		for (let at = 0; at < input.length; at += BLOCK) {
			const block = encodeLz4Block(input.subarray(at, at + BLOCK));
			parts.push(Word.build({ value: block.length }), block);
		}
		const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
		let to = 0;
		for (const part of parts) {
			all.set(part, to);
			to += part.length;
		}
		return Promise.resolve(all);
	},
};

/** The size of the block at `at`; undefined where the frame ends, for it has no mark of its end. */
async function blockSize(source: ByteSource, at: number): Promise<number | undefined> {
	const head = await readUpTo(source, at, Word.size);
	if (head.length < Word.size) return undefined;
	const { value } = Word.parse(head);
	return value === 0 || value > lz4Bound(BLOCK) ? undefined : value;
}

/**
 * LZ4's first format, the one the Linux kernel has for itself and its initramfs. It ends at the end of the source, after
 * a block that is not full, or before what cannot be the size of a block.
 */
export const lz4Legacy = codecOf("lz4-legacy", () => Promise.resolve(engine));
