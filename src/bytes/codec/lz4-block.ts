/** https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md */

/** A match may reach this far back, in bytes. */
export const LZ4_WINDOW = 64 << 10;

const SHORTEST_MATCH = 4;
/** The last match begins at least this far before the end of a block, and the last 5 bytes are literals. */
const LAST_MATCH = 12;
const LAST_LITERALS = 5;
/** A length nibble of this value continues in further bytes. */
const CONTINUED = 15;

/** The most that `length` bytes can take as a block. */
export const lz4Bound = (length: number): number => length + Math.floor(length / 255) + 16;

/**
 * Decodes a block into `output` from `start` on; matches may reach back to `output[0]`. Returns where its output ends,
 * undefined where the block is damaged or does not fit.
 */
export function decodeLz4Block(input: Uint8Array, output: Uint8Array, start: number): number | undefined {
	let from = 0;
	let to = start;
	while (from < input.length) {
		const token = input[from++] ?? 0;

		let literals = token >> 4;
		if (literals === CONTINUED) {
			let more: number | undefined;
			do {
				more = input[from++];
				if (more === undefined) return undefined;
				literals += more;
			} while (more === 255);
		}
		if (from + literals > input.length || to + literals > output.length) return undefined;
		if (literals < 32) for (let i = 0; i < literals; i++) output[to + i] = input[from + i] ?? 0;
		else output.set(input.subarray(from, from + literals), to);
		from += literals;
		to += literals;
		// The last sequence has no match.
		if (from === input.length) return to;

		const distance = (input[from] ?? 0) | ((input[from + 1] ?? 0) << 8);
		from += 2;
		let length = token & 0x0f;
		if (length === CONTINUED) {
			let more: number | undefined;
			do {
				more = input[from++];
				if (more === undefined) return undefined;
				length += more;
			} while (more === 255);
		}
		length += SHORTEST_MATCH;
		if (distance === 0 || distance > to || from > input.length || to + length > output.length) return undefined;
		// A match that overlaps what it produces repeats it: only byte by byte does that.
		if (distance < length || length < 32)
			for (let end = to + length; to < end; to++) output[to] = output[to - distance] ?? 0;
		else {
			output.copyWithin(to, to - distance, to - distance + length);
			to += length;
		}
	}
	return undefined;
}

const HASH_BITS = 15;

/** Encodes a block the fast way: at each place, the last one with the same four bytes is the only candidate. */
export function encodeLz4Block(input: Uint8Array): Uint8Array {
	const output = new Uint8Array(lz4Bound(input.length));
	const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
	// Where four bytes with a hash were seen last, plus 1.
	const seen = new Int32Array(1 << HASH_BITS);
	let to = 0;

	const putLength = (length: number) => {
		let rest = length - CONTINUED;
		for (; rest >= 255; rest -= 255) output[to++] = 255;
		output[to++] = rest;
	};
	const putSequence = (from: number, end: number, distance: number, matchLength: number) => {
		const literals = end - from;
		const match = matchLength - SHORTEST_MATCH;
		output[to++] = (Math.min(literals, CONTINUED) << 4) | (matchLength === 0 ? 0 : Math.min(match, CONTINUED));
		if (literals >= CONTINUED) putLength(literals);
		output.set(input.subarray(from, end), to);
		to += literals;
		if (matchLength === 0) return;
		output[to++] = distance & 0xff;
		output[to++] = distance >> 8;
		if (match >= CONTINUED) putLength(match);
	};

	const lastMatch = input.length - LAST_MATCH;
	const matchEnd = input.length - LAST_LITERALS;
	let anchor = 0;
	let misses = 0;
	for (let at = 0; at <= lastMatch; ) {
		const four = view.getInt32(at, true);
		const hash = Math.imul(four, 0x9e3779b1) >>> (32 - HASH_BITS);
		const candidate = (seen[hash] ?? 0) - 1;
		seen[hash] = at + 1;
		if (candidate < 0 || at - candidate >= LZ4_WINDOW || view.getInt32(candidate, true) !== four) {
			// The longer nothing matches, the larger the steps: what does not compress is passed quickly.
			at += 1 + (misses++ >> 6);
			continue;
		}
		let length = SHORTEST_MATCH;
		while (at + length < matchEnd && input[candidate + length] === input[at + length]) length++;
		putSequence(anchor, at, at - candidate, length);
		at += length;
		anchor = at;
		misses = 0;
	}
	putSequence(anchor, input.length, 0, 0);
	return output.subarray(0, to);
}
