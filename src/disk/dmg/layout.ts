/**
 * Apple's disk images (UDIF), which Apple has not documented, in the names and order of http://newosxbook.com/DMG.html.
 * Everything is big-endian.
 */
import { array, bytes, struct, text, u32, u64 } from "../../bytes/struct.js";

export const SECTOR = 512;

const Checksum = struct("UDIF checksum", "big", { type: u32, size: u32, data: bytes(128) });

/** The last 512 bytes of the file. */
export const Trailer = struct("UDIF trailer", "big", {
	signature: text(4),
	version: u32,
	headerSize: u32,
	flags: u32,
	runningDataForkOffset: u64,
	dataForkOffset: u64,
	dataForkLength: u64,
	rsrcForkOffset: u64,
	rsrcForkLength: u64,
	segmentNumber: u32,
	segmentCount: u32,
	segmentId: bytes(16),
	dataChecksum: Checksum.field,
	xmlOffset: u64,
	xmlLength: u64,
	reserved: bytes(120),
	masterChecksum: Checksum.field,
	imageVariant: u32,
	sectorCount: u64,
	reserved2: array(u32, 3),
});

/** A table of chunks, one for each partition; in base64 in the property list. */
export const BlockTable = struct("UDIF block table", "big", {
	signature: text(4),
	version: u32,
	/** What the sectors of its chunks count from. */
	sectorNumber: u64,
	sectorCount: u64,
	/** What the offsets of its chunks count from, in the data fork. */
	dataOffset: u64,
	buffersNeeded: u32,
	blockDescriptors: u32,
	reserved: array(u32, 6),
	checksum: Checksum.field,
	numberOfBlockChunks: u32,
});
export const TABLE_SIGNATURE = "mish";

/** Right behind {@link BlockTable}. */
export const BlockChunk = struct("UDIF block chunk", "big", {
	entryType: u32,
	comment: u32,
	sectorNumber: u64,
	sectorCount: u64,
	compressedOffset: u64,
	compressedLength: u64,
});

export const CHUNK = {
	zero: 0,
	raw: 1,
	ignored: 2,
	comment: 0x7fff_fffe,
	adc: 0x8000_0004,
	zlib: 0x8000_0005,
	bzip2: 0x8000_0006,
	lzfse: 0x8000_0007,
	xz: 0x8000_0008,
	terminator: 0xffff_ffff,
} as const;
