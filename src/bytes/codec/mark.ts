import { flags64, struct, u8, u32, viewOf } from "../struct.js";
import type { CodecId } from "./codec.js";

/** https://www.rfc-editor.org/rfc/rfc1952#section-2.3 */
export const GZIP_ID = [0x1f, 0x8b] as const;
export const CM_DEFLATE = 8;
/** https://tukaani.org/xz/xz-file-format.txt section 2.1.1.1 */
const XZ_MAGIC = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00];
/** https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md */
const LZ4_MAGIC = 0x184d2204;
export const LZ4_LEGACY_MAGIC = 0x184c2102;
const LZOP_MAGIC = [0x89, 0x4c, 0x5a, 0x4f, 0x00, 0x0d, 0x0a, 0x1a, 0x0a];
const BZIP2_SIGNATURE = [0x42, 0x5a, 0x68];
/** https://www.rfc-editor.org/rfc/rfc8878#name-zstandard-frames */
const ZSTD_MAGIC = 0xfd2fb528;
/** lc, lp and pb as every encoder has them unless told otherwise. */
const LZMA_USUAL_PROPERTIES = 0x5d;

/** https://github.com/tukaani-project/xz/blob/master/doc/lzma-file-format.txt */
export const LzmaHeader = struct("lzma header", "little", { properties: u8, dictionarySize: u32, size: flags64 });

/** The content then ends with a mark. */
export const UNKNOWN_SIZE = 0xffff_ffff_ffff_ffffn;

const begins = (head: Uint8Array, bytes: readonly number[]) => bytes.every((byte, i) => head[i] === byte);
const wordOf = (head: Uint8Array) => (head.length < 4 ? 0 : viewOf(head).getUint32(0, true));

/** The digit that says how large blocks are, 1 to 9. */
export const bzip2Level = (head: Uint8Array) => {
	const digit = (head[BZIP2_SIGNATURE.length] ?? 0) - 0x30;
	return begins(head, BZIP2_SIGNATURE) && digit >= 1 && digit <= 9 ? digit : undefined;
};

export const isZstdFrame = (head: Uint8Array) => wordOf(head) === ZSTD_MAGIC;

/** https://www.rfc-editor.org/rfc/rfc8878#name-skippable-frames */
export const isZstdSkippable = (head: Uint8Array) =>
	head.length >= 8 && wordOf(head) >= 0x184d2a50 && wordOf(head) <= 0x184d2a5f;

/** Whole powers of two and those with half as much again: what encoders use, and what liblzma asks for too. */
const isDictionarySize = (size: number) => {
	const power = 2 ** Math.floor(Math.log2(size));
	return size >= 4096 && (size === power || size === power * 1.5 || size === 0xffff_ffff);
};

/** Its magic is no more than a usual parameter: what follows has to make sense. */
function isLzma(head: Uint8Array): boolean {
	if (head.length < LzmaHeader.size || head[0] !== LZMA_USUAL_PROPERTIES) return false;
	const { dictionarySize, size } = LzmaHeader.parse(head);
	return isDictionarySize(dictionarySize) && (size === UNKNOWN_SIZE || size < 2n ** 38n);
}

/** What recognises each format by its first 16 bytes; some have no mark. */
export const marks: Readonly<Record<CodecId, (head: Uint8Array) => boolean>> = {
	deflate: () => false,
	zlib: () => false,
	gzip: (head) => begins(head, [...GZIP_ID, CM_DEFLATE]),
	zstd: (head) => isZstdFrame(head) || isZstdSkippable(head),
	xz: (head) => begins(head, XZ_MAGIC),
	lz4: (head) => head.length >= 6 && wordOf(head) === LZ4_MAGIC,
	"lz4-legacy": (head) => wordOf(head) === LZ4_LEGACY_MAGIC,
	bzip2: (head) => bzip2Level(head) !== undefined,
	lzop: (head) => begins(head, LZOP_MAGIC),
	lzma: isLzma,
};

/** The format whose mark `head` (the first 16 bytes or more) begins with. */
export const markedCodec = (head: Uint8Array): CodecId | undefined =>
	(Object.keys(marks) as CodecId[]).find((id) => marks[id](head));
