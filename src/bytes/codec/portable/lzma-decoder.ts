/*
 * LZMA as https://www.7-zip.org/sdk.html, lzma-specification.txt, describes it; names are those of the specification.
 */

const TOP = 2 ** 24;
const HALF = 1024;
const MODEL_BITS = 11;
const MOVE_BITS = 5;
const MODEL_TOTAL = 1 << MODEL_BITS;

const STATES = 12;
const POS_STATES = 16;
const LEN_STATES = 4;
const END_POS_MODEL = 14;
const FULL_DISTANCES = 1 << (END_POS_MODEL >> 1);
const MATCH_MIN = 2;

/** Where each kind of probability begins in the one array of all. */
const IS_MATCH = 0;
const IS_REP = IS_MATCH + STATES * POS_STATES;
const IS_REP_G0 = IS_REP + STATES;
const IS_REP_G1 = IS_REP_G0 + STATES;
const IS_REP_G2 = IS_REP_G1 + STATES;
const IS_REP0_LONG = IS_REP_G2 + STATES;
const POS_SLOT = IS_REP0_LONG + STATES * POS_STATES;
const POS_SPECIAL = POS_SLOT + LEN_STATES * 64;
const ALIGN = POS_SPECIAL + FULL_DISTANCES;
const LEN = ALIGN + 16;
/** Two choices, then trees for short lengths and middle ones by position, and one for long ones. */
const LEN_SIZE = 2 + POS_STATES * 8 + POS_STATES * 8 + 256;
const REP_LEN = LEN + LEN_SIZE;
const LITERAL = REP_LEN + LEN_SIZE;

/** No symbol takes more bytes: the specification's encoder makes 20 at most. */
const LONGEST_SYMBOL = 32;
const RANGE_CODER_START = 5;
const OUTPUT = 1 << 20;

export type LzmaState = "more-output" | "more-input" | "ended" | "damaged";

/** Decodes what it is fed, as far as that goes. */
export class LzmaDecoder {
	readonly #lc: number;
	readonly #literalMask: number;
	readonly #posMask: number;
	readonly #probs: Uint16Array;
	readonly #dictionary: number;
	readonly #size: number;

	#input: Uint8Array = new Uint8Array();
	#in = 0;
	#last = false;
	#range = 0xffff_ffff;
	#code = 0;
	#started = false;

	/** What was decoded last, at least as much as matches can reach back, once it is there. */
	#window: Uint8Array = new Uint8Array(64 << 10);
	#at = 0;
	#taken = 0;
	#total = 0;

	#state = 0;
	#rep0 = 0;
	#rep1 = 0;
	#rep2 = 0;
	#rep3 = 0;

	/** @param size of the content; infinite where it ends with a mark */
	constructor(properties: number, dictionary: number, size: number) {
		this.#lc = properties % 9;
		const lp = Math.floor(properties / 9) % 5;
		const pb = Math.floor(properties / 45);
		this.#literalMask = (1 << lp) - 1;
		this.#posMask = (1 << pb) - 1;
		this.#probs = new Uint16Array(LITERAL + (0x300 << (this.#lc + lp))).fill(HALF);
		this.#dictionary = dictionary;
		this.#size = size;
	}

	/** Bytes that it was fed and has not used. */
	get unread(): number {
		return this.#input.length - this.#in;
	}

	/** @param last there will be no more */
	feed(piece: Uint8Array, last: boolean): void {
		const left = this.#input.subarray(this.#in);
		const joined = new Uint8Array(left.length + piece.length);
		joined.set(left);
		joined.set(piece, left.length);
		this.#input = joined;
		this.#in = 0;
		this.#last = last;
	}

	/** What was decoded since it was asked last. */
	takeOutput(): Uint8Array {
		const output = this.#window.slice(this.#taken, this.#at);
		this.#taken = this.#at;
		return output;
	}

	/** Goes on until there is a reason to stop. Take the output before it is called again. */
	run(): LzmaState {
		if (!this.#started) {
			if (this.unread < RANGE_CODER_START) return this.#starved();
			if (this.#byte() !== 0) return "damaged";
			for (let i = 1; i < RANGE_CODER_START; i++) this.#code = ((this.#code << 8) | this.#byte()) >>> 0;
			this.#started = true;
		}
		this.#makeRoom();
		const stop = this.#at + OUTPUT;
		while (this.#at < stop) {
			if (this.unread < LONGEST_SYMBOL && !this.#last) return "more-input";
			if (this.#total === this.#size && this.#finished()) return "ended";
			const step = this.#symbol();
			if (this.#in > this.#input.length) return this.#starved();
			if (step === "end")
				return this.#finished() ? "ended" : this.#in > this.#input.length ? this.#starved() : "damaged";
			if (step === "damaged") return "damaged";
		}
		return "more-output";
	}

	/** Everything was read, and it does not suffice: the bytes that were made up do not count. */
	#starved(): LzmaState {
		this.#in = Math.min(this.#in, this.#input.length);
		return "more-input";
	}

	#finished(): boolean {
		if (this.#range < TOP) this.#normalise();
		return this.#code === 0 && this.#in <= this.#input.length;
	}

	/** The window has twice the dictionary at most, and room for what one run and one match add. */
	#makeRoom(): void {
		const needed = this.#at + OUTPUT + 512;
		if (needed <= this.#window.length) return;
		const limit = 2 * this.#dictionary + OUTPUT + 512;
		if (needed > limit) {
			const from = this.#at - this.#dictionary;
			this.#window.copyWithin(0, from, this.#at);
			this.#at -= from;
			this.#taken = this.#at;
			if (this.#at + OUTPUT + 512 <= this.#window.length) return;
		}
		const larger = new Uint8Array(Math.min(limit, 2 * (this.#at + OUTPUT + 512)));
		larger.set(this.#window.subarray(0, this.#at));
		this.#window = larger;
	}

	#byte(): number {
		return this.#input[this.#in++] ?? 0;
	}

	#normalise(): void {
		this.#range = (this.#range << 8) >>> 0;
		this.#code = ((this.#code << 8) | this.#byte()) >>> 0;
	}

	#bit(index: number): number {
		if (this.#range < TOP) this.#normalise();
		const prob = this.#probs[index] ?? 0;
		const bound = (this.#range >>> MODEL_BITS) * prob;
		if (this.#code < bound) {
			this.#range = bound;
			this.#probs[index] = prob + ((MODEL_TOTAL - prob) >> MOVE_BITS);
			return 0;
		}
		this.#range -= bound;
		this.#code -= bound;
		this.#probs[index] = prob - (prob >> MOVE_BITS);
		return 1;
	}

	#directBits(count: number): number {
		let result = 0;
		for (let i = 0; i < count; i++) {
			if (this.#range < TOP) this.#normalise();
			this.#range >>>= 1;
			const bit = this.#code >= this.#range ? 1 : 0;
			if (bit === 1) this.#code -= this.#range;
			result = result * 2 + bit;
		}
		return result;
	}

	#tree(base: number, bits: number): number {
		let m = 1;
		for (let i = 0; i < bits; i++) m = (m << 1) | this.#bit(base + m);
		return m - (1 << bits);
	}

	/** As a tree, but the lowest bit first. */
	#reverseTree(base: number, bits: number): number {
		let m = 1;
		let symbol = 0;
		for (let i = 0; i < bits; i++) {
			const bit = this.#bit(base + m);
			m = (m << 1) | bit;
			symbol |= bit << i;
		}
		return symbol;
	}

	#length(base: number, posState: number): number {
		if (this.#bit(base) === 0) return this.#tree(base + 2 + posState * 8, 3);
		if (this.#bit(base + 1) === 0) return 8 + this.#tree(base + 2 + (POS_STATES + posState) * 8, 3);
		return 16 + this.#tree(base + 2 + 2 * POS_STATES * 8, 8);
	}

	/** Of a match with that length, less one; 0xffffffff marks the end. */
	#distance(length: number): number {
		const slot = this.#tree(POS_SLOT + Math.min(length, LEN_STATES - 1) * 64, 6);
		if (slot < 4) return slot;
		const directBits = (slot >> 1) - 1;
		const high = (2 | (slot & 1)) * 2 ** directBits;
		if (slot < END_POS_MODEL) return high + this.#reverseTree(POS_SPECIAL + high - slot, directBits);
		return high + this.#directBits(directBits - 4) * 16 + this.#reverseTree(ALIGN, 4);
	}

	#put(byte: number): void {
		this.#window[this.#at++] = byte;
		this.#total++;
	}

	#back(distance: number): number {
		return this.#window[this.#at - distance - 1] ?? 0;
	}

	#literal(): void {
		const previous = this.#total > 0 ? this.#back(0) : 0;
		const context = ((this.#total & this.#literalMask) << this.#lc) + (previous >> (8 - this.#lc));
		const base = LITERAL + 0x300 * context;
		let symbol = 1;
		if (this.#state >= 7) {
			let match = this.#back(this.#rep0);
			do {
				const matchBit = (match >> 7) & 1;
				match <<= 1;
				const bit = this.#bit(base + ((1 + matchBit) << 8) + symbol);
				symbol = (symbol << 1) | bit;
				if (matchBit !== bit) break;
			} while (symbol < 0x100);
		}
		while (symbol < 0x100) symbol = (symbol << 1) | this.#bit(base + symbol);
		this.#put(symbol & 0xff);
		this.#state = this.#state < 4 ? 0 : this.#state < 10 ? this.#state - 3 : this.#state - 6;
	}

	#symbol(): "done" | "end" | "damaged" {
		const posState = this.#total & this.#posMask;
		const afterLiteral = this.#state < 7;
		if (this.#bit(IS_MATCH + this.#state * POS_STATES + posState) === 0) {
			if (this.#total >= this.#size) return "damaged";
			this.#literal();
			return "done";
		}
		let length: number;
		if (this.#bit(IS_REP + this.#state) === 1) {
			if (this.#total === 0) return "damaged";
			if (this.#bit(IS_REP_G0 + this.#state) === 0) {
				if (this.#bit(IS_REP0_LONG + this.#state * POS_STATES + posState) === 0) {
					if (this.#total >= this.#size || !this.#reaches(this.#rep0)) return "damaged";
					this.#state = afterLiteral ? 9 : 11;
					this.#put(this.#back(this.#rep0));
					return "done";
				}
			} else this.#rotate();
			length = this.#length(REP_LEN, posState);
			this.#state = afterLiteral ? 8 : 11;
		} else {
			this.#rep3 = this.#rep2;
			this.#rep2 = this.#rep1;
			this.#rep1 = this.#rep0;
			length = this.#length(LEN, posState);
			this.#state = afterLiteral ? 7 : 10;
			this.#rep0 = this.#distance(length);
			if (this.#rep0 === 0xffff_ffff) return "end";
		}
		length += MATCH_MIN;
		if (!this.#reaches(this.#rep0) || length > this.#size - this.#total) return "damaged";
		for (let i = 0; i < length; i++) this.#put(this.#back(this.#rep0));
		return "done";
	}

	/** Makes another of the last four distances the latest. */
	#rotate(): void {
		let distance: number;
		if (this.#bit(IS_REP_G1 + this.#state) === 0) distance = this.#rep1;
		else {
			if (this.#bit(IS_REP_G2 + this.#state) === 0) distance = this.#rep2;
			else {
				distance = this.#rep3;
				this.#rep3 = this.#rep2;
			}
			this.#rep2 = this.#rep1;
		}
		this.#rep1 = this.#rep0;
		this.#rep0 = distance;
	}

	#reaches(distance: number): boolean {
		return distance < this.#total && distance < this.#dictionary;
	}
}
