import { adler32, crc32 } from "../checksum/index.js";
import { unsupported } from "../errors.js";
import { type ByteSource, readUpTo } from "../source.js";
import { bytes, struct, u8, u16, u32 } from "../struct.js";
import { about, broken, decoderOf, type Place, truncated } from "./engine.js";
import { decodeLzo1x } from "./lzo1x.js";
import { marks } from "./mark.js";

/*
 * lzop has no specification; this is what the kernel reads of it:
 * https://github.com/torvalds/linux/blob/master/lib/decompress_unlzo.c
 */
const LzopHeader = struct("lzop header", "big", {
	magic: bytes(9),
	version: u16,
	libVersion: u16,
	/** From version 0x0940 on a level follows. */
	versionNeeded: u16,
	method: u8,
});
const LzopFlags = struct("lzop flags", "big", { flags: u32 });
const LzopBlock = struct("lzop block", "big", { dstLen: u32, srcLen: u32, checksum: u32 });

const HAS_LEVEL_AND_HIGH_TIME = 0x0940;
const F_ADLER32_D = 0x0001;
const F_ADLER32_C = 0x0002;
const F_CRC32_D = 0x0100;
const F_CRC32_C = 0x0200;
const F_H_FILTER = 0x0800;
const CHECKSUMS = F_ADLER32_D | F_ADLER32_C | F_CRC32_D | F_CRC32_C;
const LARGEST_BLOCK = 256 << 10;
/** Its longest part is a file name of 255 bytes. */
const LONGEST_HEADER = 512;

interface Header {
	readonly length: number;
	readonly sum: (bytes: Uint8Array) => number;
}

function readHeader(head: Uint8Array, place: Place): Header {
	if (!marks.lzop(head)) throw broken("lzop", place, "it does not begin with an lzop header");
	const { version } = LzopHeader.parse(head, 0, place.file, place.offset);
	const extended = version >= HAS_LEVEL_AND_HIGH_TIME;
	let at = LzopHeader.size + (extended ? 1 : 0);
	const { flags } = LzopFlags.parse(head, at, place.file, place.offset);
	const checksums = flags & CHECKSUMS;
	// The kernel passes over one checksum a block, whatever the flags say.
	if (checksums !== F_ADLER32_D && checksums !== F_CRC32_D) {
		throw unsupported(`${place.file}: the lzop data at byte ${place.offset} has checksums that are not supported`, {
			file: place.file,
			offset: place.offset,
		});
	}
	// Flags, filter, mode and times; then the name with its length, and the header's own checksum.
	at += 4 + ((flags & F_H_FILTER) !== 0 ? 4 : 0) + 8 + (extended ? 4 : 0);
	const length = at + 1 + (head[at] ?? 0) + 4;
	if (length > head.length) throw truncated("lzop", place);
	return { length, sum: checksums === F_CRC32_D ? (block) => crc32(block) : (block) => adler32(block) };
}

async function* decodeStream(source: ByteSource, at: number): AsyncGenerator<Uint8Array, number> {
	const place = { file: source.name, offset: at };
	const { length, sum } = readHeader(await readUpTo(source, at, LONGEST_HEADER), place);
	for (let next = at + length; ; ) {
		const head = await readUpTo(source, next, LzopBlock.size);
		// A length of zero ends the stream.
		if (head.length >= 4 && head.subarray(0, 4).every((byte) => byte === 0)) return next + 4;
		if (head.length < LzopBlock.size) throw truncated("lzop", place);
		const { dstLen, srcLen, checksum } = LzopBlock.parse(head);
		if (dstLen > LARGEST_BLOCK || srcLen > dstLen) throw broken("lzop", place, "a block's lengths are impossible");
		const stored = await readUpTo(source, next + LzopBlock.size, srcLen);
		if (stored.length < srcLen) throw truncated("lzop", place);
		next += LzopBlock.size + srcLen;
		// What would not become smaller is stored as it is.
		const content = srcLen === dstLen ? stored : new Uint8Array(dstLen);
		if (content !== stored && decodeLzo1x(stored, content) !== dstLen)
			throw broken("lzop", place, "a block is corrupt");
		if (sum(content) !== checksum) throw broken("lzop", place, "the checksum of a block is wrong");
		yield content;
	}
}

/** One lzop file, the kernel's way to use LZO. */
export const lzop = decoderOf("lzop", () => Promise.resolve({ about: about("JavaScript"), stream: decodeStream }));
