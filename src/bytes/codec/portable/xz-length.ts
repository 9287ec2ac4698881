import { cached } from "../../cache.js";
import { type ByteSource, readUpTo } from "../../source.js";
import { broken, type Place, truncated } from "../engine.js";

/** Parts of https://tukaani.org/xz/xz-file-format.txt; lengths in bytes. */
const STREAM_HEADER = 12;
const STREAM_FOOTER = 12;
const CHECK_TYPE = 7;
const CRC32 = 4;
/** Section 2.1.1.2: the length of each type of check. */
const CHECK_LENGTHS = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64] as const;

/**
 * How many bytes the .xz stream at `at` takes: from the sizes that its blocks, the chunks of LZMA2 in them and its index
 * state, without decoding anything.
 */
export async function xzLength(source: ByteSource, at: number): Promise<number> {
	const walk = new Walk(source, at);
	const flags = await walk.take(STREAM_HEADER);
	const check = CHECK_LENGTHS[(flags[CHECK_TYPE] ?? 0) & 0x0f] ?? 0;
	for (;;) {
		const start = walk.position;
		const headerSize = await walk.byte();
		// A size of 0 is the index indicator: there are no more blocks.
		if (headerSize === 0) return walkIndex(walk, start);
		walk.skip((headerSize + 1) * 4 - 1);
		await walkChunks(walk);
		walk.pad(start);
		walk.skip(check);
	}
}

/** The chunks of LZMA2, which has no specification: https://github.com/tukaani-project/xz/blob/master/src/liblzma/lzma/lzma2_decoder.c */
async function walkChunks(walk: Walk): Promise<void> {
	for (;;) {
		const control = await walk.byte();
		if (control === 0x00) return;
		if (control >= 0x80) {
			// The low 16 bits of the uncompressed size, the compressed size, and from 0xc0 on new properties.
			const [, , high = 0, low = 0] = await walk.take(4);
			walk.skip((control >= 0xc0 ? 1 : 0) + high * 256 + low + 1);
		} else if (control <= 0x02) {
			const [high = 0, low = 0] = await walk.take(2);
			walk.skip(high * 256 + low + 1);
		} else {
			throw broken("xz", walk.place, "a chunk of LZMA2 is of an unknown kind");
		}
	}
}

/** Section 4: the number of records, and two numbers for each. */
async function walkIndex(walk: Walk, start: number): Promise<number> {
	const records = await walk.variable();
	for (let i = 0; i < records; i++) {
		await walk.variable();
		await walk.variable();
	}
	walk.pad(start);
	walk.skip(CRC32);
	await walk.take(STREAM_FOOTER);
	return walk.position - walk.start;
}

class Walk {
	readonly start: number;
	readonly place: Place;
	position: number;
	readonly #source: ByteSource;

	constructor(source: ByteSource, at: number) {
		this.#source = cached(source, { blocks: 2 });
		this.place = { file: source.name, offset: at };
		this.start = at;
		this.position = at;
	}

	async take(length: number): Promise<Uint8Array> {
		const bytes = await readUpTo(this.#source, this.position, length);
		if (bytes.length < length) throw truncated("xz", this.place);
		this.position += length;
		return bytes;
	}

	async byte(): Promise<number> {
		return (await this.take(1))[0] ?? 0;
	}

	/** A number of 7 bits a byte, lowest first: section 1.2. */
	async variable(): Promise<number> {
		let value = 0;
		for (let scale = 1; scale < 2 ** 63; scale *= 128) {
			const byte = await this.byte();
			value += (byte & 0x7f) * scale;
			if (byte < 0x80) return value;
		}
		throw broken("xz", this.place, "a number is too long");
	}

	skip(length: number): void {
		this.position += length;
	}

	/** Fills up to a multiple of four bytes since `start`. */
	pad(start: number): void {
		this.position += (4 - ((this.position - start) % 4)) % 4;
	}
}
