/** Why a block cannot be decoded; completes "… is damaged:". */
export class BadBlock extends Error {}

/** Reads bits, the highest of each byte first. */
export class BitReader {
	readonly #bytes: Uint8Array;
	/** Bits taken so far. */
	position: number;

	constructor(bytes: Uint8Array, position: number) {
		this.#bytes = bytes;
		this.position = position;
	}

	/** Takes `count` bits, 1 to 24. */
	take(count: number): number {
		const value = this.peek(count);
		this.skip(count);
		return value;
	}

	/** The next `count` bits, 1 to 24; zeros beyond the end. */
	peek(count: number): number {
		const at = this.position >>> 3;
		const bytes = this.#bytes;
		const word =
			((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
		return (word << (this.position & 7)) >>> (32 - count);
	}

	skip(count: number): void {
		this.position += count;
		if (this.position > this.#bytes.length * 8) throw new BadBlock("it ends too early");
	}
}

const LONGEST_CODE = 20;

/** A canonical Huffman code. */
class HuffmanCode {
	/** For each length, the highest code of that length, or one below the first where there is none. */
	readonly #last = new Int32Array(LONGEST_CODE + 1);
	/** For each length, what to subtract from a code to find its symbol. */
	readonly #offset = new Int32Array(LONGEST_CODE + 1);
	readonly #symbols: number[] = [];

	constructor(lengths: readonly number[]) {
		let first = 0;
		for (let length = 1; length <= LONGEST_CODE; length++) {
			this.#offset[length] = first - this.#symbols.length;
			for (const [symbol, own] of lengths.entries()) {
				if (own !== length) continue;
				this.#symbols.push(symbol);
				first++;
			}
			this.#last[length] = first - 1;
			first *= 2;
		}
	}

	take(bits: BitReader): number {
		const word = bits.peek(LONGEST_CODE);
		for (let length = 1; length <= LONGEST_CODE; length++) {
			const code = word >>> (LONGEST_CODE - length);
			if (code > (this.#last[length] ?? -1)) continue;
			const symbol = this.#symbols[code - (this.#offset[length] ?? 0)];
			if (symbol === undefined) break;
			bits.skip(length);
			return symbol;
		}
		throw new BadBlock("it has an unknown code");
	}
}

/** The symbols that are a digit of a run's length rather than a byte. */
const RUN_A = 0;
const RUN_B = 1;
/** How many symbols are read with one code before the next selector is looked at. */
const GROUP = 50;

/**
 * Reads the content of a block, from its table of used bytes on: the last column of the Burrows-Wheeler matrix, one
 * byte in the low 8 bits of each element of `column`. Returns its length.
 */
export function readColumn(bits: BitReader, column: Uint32Array): number {
	const recent = readUsedBytes(bits);
	const endOfBlock = recent.length + 1;
	const { selectors, codes } = readCodes(bits, endOfBlock + 1);

	let length = 0;
	let run = 0;
	let runDigit = 1;
	for (let taken = 0; ; taken++) {
		const code = codes[selectors[Math.floor(taken / GROUP)] ?? -1];
		if (code === undefined) throw new BadBlock("it goes on after its last selector");
		const symbol = code.take(bits);
		if (symbol === RUN_A || symbol === RUN_B) {
			run += runDigit * (symbol + 1);
			runDigit *= 2;
			if (length + run > column.length) throw tooLong();
			continue;
		}
		if (run > 0) {
			column.fill(recent[0] ?? 0, length, length + run);
			length += run;
			run = 0;
			runDigit = 1;
		}
		if (symbol === endOfBlock) return length;
		if (length === column.length) throw tooLong();
		column[length++] = toFront(recent, symbol - 1);
	}
}

const tooLong = () => new BadBlock("a block is longer than its header allows");

/** The bytes that occur, ascending: the list that "move to front" begins with. */
function readUsedBytes(bits: BitReader): Uint8Array {
	const used: number[] = [];
	const ranges = bits.take(16);
	for (let range = 0; range < 16; range++) {
		if ((ranges & (0x8000 >> range)) === 0) continue;
		const members = bits.take(16);
		for (let i = 0; i < 16; i++) if ((members & (0x8000 >> i)) !== 0) used.push(range * 16 + i);
	}
	if (used.length === 0) throw new BadBlock("a block uses no bytes");
	return Uint8Array.from(used);
}

function readCodes(bits: BitReader, symbols: number): { selectors: Uint8Array; codes: HuffmanCode[] } {
	const count = bits.take(3);
	if (count < 2 || count > 6) throw new BadBlock("a block has an impossible number of codes");
	const selectors = new Uint8Array(bits.take(15));
	const recent = Uint8Array.from({ length: count }, (_, i) => i);
	for (let i = 0; i < selectors.length; i++) {
		let index = 0;
		while (bits.take(1) === 1) index++;
		if (index >= count) throw new BadBlock("a block selects a code that it does not have");
		selectors[i] = toFront(recent, index);
	}
	const codes = Array.from({ length: count }, () => new HuffmanCode(readLengths(bits, symbols)));
	return { selectors, codes };
}

/** The length of each symbol's code, as differences to the one before. */
function readLengths(bits: BitReader, symbols: number): number[] {
	let length = bits.take(5);
	return Array.from({ length: symbols }, () => {
		while (bits.take(1) === 1) length += bits.take(1) === 0 ? 1 : -1;
		if (length < 1 || length > LONGEST_CODE) throw new BadBlock("a code has an impossible length");
		return length;
	});
}

/** Takes the element at `index` and moves it to the front. */
function toFront(list: Uint8Array, index: number): number {
	const value = list[index] ?? 0;
	for (let i = index; i > 0; i--) list[i] = list[i - 1] ?? 0;
	list[0] = value;
	return value;
}

/**
 * Undoes the Burrows-Wheeler transform in place: afterwards each element holds, above its byte, the index of the element
 * that follows it in the text. Returns the index of the first.
 */
export function linkText(column: Uint32Array, length: number, origin: number): number {
	if (origin >= length) throw new BadBlock("a block begins outside of itself");
	const next = new Uint32Array(256);
	for (let i = 0; i < length; i++) {
		const byte = (column[i] ?? 0) & 0xff;
		next[byte] = (next[byte] ?? 0) + 1;
	}
	let sum = 0;
	for (let byte = 0; byte < 256; byte++) {
		const count = next[byte] ?? 0;
		next[byte] = sum;
		sum += count;
	}
	for (let i = 0; i < length; i++) {
		const byte = (column[i] ?? 0) & 0xff;
		const to = next[byte] ?? 0;
		next[byte] = to + 1;
		column[to] = (column[to] ?? 0) | (i << 8);
	}
	return (column[origin] ?? 0) >>> 8;
}

/** This many equal bytes are followed by the number of further ones. */
const RUN = 4;

/** The text of a block, with its runs on their way to being written out. */
export class RunText {
	readonly #column: Uint32Array;
	#index: number;
	#left: number;
	#previous = -1;
	#equal = 0;
	/** How often the previous byte is still to be written. */
	#pending = 0;
	#sum = -1;

	/** @param column as {@link linkText} leaves it, and the index of the first element that it returned */
	constructor(column: Uint32Array, index: number) {
		this.#column = column;
		this.#index = index;
		this.#left = column.length;
	}

	/** The CRC-32 of what has been written, which bzip2 computes with the highest bit first. */
	get checksum(): number {
		return ~this.#sum >>> 0;
	}

	/** Fills `output` and returns how much of it: less than all of it once the text has ended. */
	expand(output: Uint8Array): number {
		const column = this.#column;
		let filled = 0;
		// In local variables, since this loop is most of the time that decoding takes.
		let index = this.#index;
		let left = this.#left;
		let previous = this.#previous;
		let equal = this.#equal;
		let pending = this.#pending;
		let sum = this.#sum;
		while (filled < output.length) {
			if (pending > 0) {
				pending--;
			} else if (left === 0) {
				break;
			} else {
				const element = column[index] ?? 0;
				const value = element & 0xff;
				index = element >>> 8;
				left--;
				if (equal === RUN) {
					pending = value;
					equal = 0;
					continue;
				}
				equal = value === previous && equal > 0 ? equal + 1 : 1;
				previous = value;
			}
			output[filled++] = previous;
			sum = (sum << 8) ^ (CRC_TABLE[(sum >>> 24) ^ previous] ?? 0);
		}
		this.#index = index;
		this.#left = left;
		this.#previous = previous;
		this.#equal = equal;
		this.#pending = pending;
		this.#sum = sum;
		return filled;
	}
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
	let register = byte << 24;
	for (let bit = 0; bit < 8; bit++) register = register < 0 ? (register << 1) ^ 0x04c11db7 : register << 1;
	return register;
});
