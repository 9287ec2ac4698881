/**
 * Binary layouts of VHDX, in the names and order of [MS-VHDX], section numbers of its revision 8.0:
 * https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-vhdx/. Everything is little-endian.
 */
import { crc32c } from "../../bytes/checksum/index.js";
import { array, bytes, guid, struct, text, u16, u32, u64, utf16, viewOf } from "../../bytes/struct.js";

export const KIB = 1024;
export const MIB = 1024 * 1024;

/** 2.2.1, at the beginning of the file. */
export const FileTypeIdentifier = struct("VHDX file type identifier", "little", {
	signature: text(8),
	creator: utf16(256),
});

/** 2.2: the header section; the first MiB of the file. */
export const HEADER_OFFSETS = [64 * KIB, 128 * KIB] as const;
export const REGION_TABLE_OFFSETS = [192 * KIB, 256 * KIB] as const;
export const HEADER_SECTION_SIZE = 1 * MIB;

/** 2.2.2; 4 KiB, the rest of which is reserved. The current one has the higher sequence number. */
export const Header = struct("VHDX header", "little", {
	signature: text(4),
	checksum: u32,
	sequenceNumber: u64,
	fileWriteGuid: guid,
	dataWriteGuid: guid,
	logGuid: guid,
	logVersion: u16,
	version: u16,
	logLength: u32,
	logOffset: u64,
	reserved: bytes(4016),
});
export const HEADER_SIGNATURE = "head";
/** `logGuid` of a file whose log is empty. */
export const NIL = "00000000-0000-0000-0000-000000000000";

/** 2.2.3.1; with its entries 64 KiB. */
export const RegionTableHeader = struct("VHDX region table header", "little", {
	signature: text(4),
	checksum: u32,
	entryCount: u32,
	reserved: u32,
});
export const REGION_SIGNATURE = "regi";
export const TABLE_SIZE = 64 * KIB;
export const TABLE_ENTRIES_LIMIT = 2047;

/** 2.2.3.2; bit 0 of `flags` is Required. */
export const RegionTableEntry = struct("VHDX region table entry", "little", {
	guid,
	fileOffset: u64,
	length: u32,
	flags: u32,
});
export const REGION_REQUIRED = 1;
export const REGION = {
	bat: "2dc27766-f623-4200-9d64-115e9bfd4a08",
	metadata: "8b7ca206-4790-4b9a-b8fe-575f050f886e",
} as const;

/** 2.3.1.1, at the beginning of each log entry. */
export const LogEntryHeader = struct("VHDX log entry header", "little", {
	signature: text(4),
	checksum: u32,
	entryLength: u32,
	tail: u32,
	sequenceNumber: u64,
	descriptorCount: u32,
	reserved: u32,
	logGuid: guid,
	flushedFileOffset: u64,
	lastFileOffset: u64,
});
export const LOG_SIGNATURE = "loge";
/** Log entries, and what they write, count in units of this many bytes. */
export const LOG_SECTOR = 4 * KIB;

/** 2.3.1.2 */
export const ZeroDescriptor = struct("VHDX log zero descriptor", "little", {
	signature: text(4),
	reserved: u32,
	zeroLength: u64,
	fileOffset: u64,
	sequenceNumber: u64,
});
export const ZERO_SIGNATURE = "zero";

/** 2.3.1.3; its sector is `leadingBytes`, the `data` of the data sector, `trailingBytes`. */
export const DataDescriptor = struct("VHDX log data descriptor", "little", {
	signature: text(4),
	trailingBytes: bytes(4),
	leadingBytes: bytes(8),
	fileOffset: u64,
	sequenceNumber: u64,
});
export const DATA_SIGNATURE = "desc";

/** 2.3.1.4 */
export const DataSector = struct("VHDX log data sector", "little", {
	signature: text(4),
	sequenceHigh: u32,
	data: bytes(4084),
	sequenceLow: u32,
});
export const SECTOR_SIGNATURE = "data";

/** 2.5.1: an entry of the block allocation table: the state in bits 0 to 2, the file offset in MiB from bit 20 on. */
export const BAT_ENTRY = 8;
export const STATE = {
	notPresent: 0,
	undefined: 1,
	zero: 2,
	unmapped: 3,
	fullyPresent: 6,
	partiallyPresent: 7,
} as const;
export const BLOCK_SIZES = { min: MIB, max: 256 * MIB } as const;
/** 2.4: a sector bitmap block, of a bit for each sector of a chunk. */
export const BITMAP_BLOCK = 1 * MIB;

/** 2.4: payload blocks between two entries for sector bitmaps. */
export const chunkRatio = (logicalSectorSize: number, blockSize: number) => (2 ** 23 * logicalSectorSize) / blockSize;

/** 2.6.1.1; with its entries 64 KiB, at the beginning of the metadata region. */
export const MetadataTableHeader = struct("VHDX metadata table header", "little", {
	signature: text(8),
	reserved: u16,
	entryCount: u16,
	reserved2: array(u32, 5),
});
export const METADATA_SIGNATURE = "metadata";

/** 2.6.1.2; `offset` counts from the beginning of the region. */
export const MetadataTableEntry = struct("VHDX metadata table entry", "little", {
	itemId: guid,
	offset: u32,
	length: u32,
	flags: u32,
	reserved2: u32,
});
export const METADATA_FLAG = { isUser: 1, isVirtualDisk: 2, isRequired: 4 } as const;

/** 2.6.2 */
export const ITEM = {
	fileParameters: "caa16737-fa36-4d43-b3b6-33f0aa44e76b",
	virtualDiskSize: "2fa54224-cd1b-4876-b211-5dbed83bf4b8",
	virtualDiskId: "beca12ab-b2e6-4523-93ef-c309e000c746",
	logicalSectorSize: "8141bf1d-a96f-4709-ba47-f233a8faab5f",
	physicalSectorSize: "cda348c7-445d-4471-9cc9-e9885251c556",
	parentLocator: "a8d35f2d-b30b-454d-abf7-d3d84834ab0c",
} as const;

/** 2.6.2.1 */
export const FileParameters = struct("VHDX file parameters", "little", { blockSize: u32, flags: u32 });
export const FILE_FLAG = { leaveBlockAllocated: 1, hasParent: 2 } as const;

/** 2.6.2.2 */
export const VirtualDiskSize = struct("VHDX virtual disk size", "little", { virtualDiskSize: u64 });
export const DISK_SIZE_LIMIT = 64 * 2 ** 40;

/** 2.6.2.3 */
export const VirtualDiskId = struct("VHDX virtual disk ID", "little", { virtualDiskId: guid });

/** 2.6.2.4 and 2.6.2.5 */
export const SectorSize = struct("VHDX sector size", "little", { sectorSize: u32 });

/** 2.6.2.6.1; entries follow, with offsets that count from the beginning of this header. */
export const ParentLocatorHeader = struct("VHDX parent locator header", "little", {
	locatorType: guid,
	reserved: u16,
	keyValueCount: u16,
});
/** 2.6.2.6.3 */
export const VHDX_LOCATOR = "b04aefb7-d19e-4a81-b789-25b8e9445913";

/** 2.6.2.6.2; keys and values are UTF-16, lengths in bytes. */
export const ParentLocatorEntry = struct("VHDX parent locator entry", "little", {
	keyOffset: u32,
	valueOffset: u32,
	keyLength: u16,
	valueLength: u16,
});

const CHECKSUM_AT = 4;

/** CRC-32C of a header, region table or log entry, with its own checksum field as zero. */
export const checksum = (block: Uint8Array): number =>
	crc32c(block.subarray(CHECKSUM_AT + 4), crc32c(new Uint8Array(4), crc32c(block.subarray(0, CHECKSUM_AT))));

/** Sets the checksum of a header, region table or log entry. */
export function sealed(block: Uint8Array): Uint8Array {
	viewOf(block).setUint32(CHECKSUM_AT, checksum(block), true);
	return block;
}
