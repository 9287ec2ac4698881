import { bytes, struct, text, u8, u16, u32, u64, utf16 } from "../../bytes/struct.js";

// exFAT file system specification: https://learn.microsoft.com/windows/win32/fileio/exfat-specification

export const BootSector = struct("exFAT boot sector", "little", {
	jumpBoot: bytes(3),
	fileSystemName: text(8),
	mustBeZero: bytes(53),
	partitionOffset: u64,
	volumeLength: u64,
	fatOffset: u32,
	fatLength: u32,
	clusterHeapOffset: u32,
	clusterCount: u32,
	firstClusterOfRootDirectory: u32,
	volumeSerialNumber: u32,
	fileSystemRevision: u16,
	volumeFlags: u16,
	bytesPerSectorShift: u8,
	sectorsPerClusterShift: u8,
	numberOfFats: u8,
	driveSelect: u8,
	percentInUse: u8,
});
export const FILE_SYSTEM_NAME = "EXFAT   ";
export const VolumeFlag = { ACTIVE_FAT: 0x0001, VOLUME_DIRTY: 0x0002 } as const;
/** Sectors that the checksum in the next one covers. */
export const CHECKED_SECTORS = 11;
/** The bytes that it does not: VolumeFlags and PercentInUse, which change while the volume is mounted. */
export const UNCHECKED_BYTES: readonly number[] = [106, 107, 112];

export const ENTRY_SIZE = 32;
export const EntryType = {
	END: 0x00,
	ALLOCATION_BITMAP: 0x81,
	UPCASE_TABLE: 0x82,
	VOLUME_LABEL: 0x83,
	FILE: 0x85,
	STREAM_EXTENSION: 0xc0,
	FILE_NAME: 0xc1,
} as const;

export const BitmapEntry = struct("exFAT allocation bitmap entry", "little", {
	entryType: u8,
	/** Bit 0: of the second FAT. */
	bitmapFlags: u8,
	reserved: bytes(18),
	firstCluster: u32,
	dataLength: u64,
});

export const UpcaseEntry = struct("exFAT up-case table entry", "little", {
	entryType: u8,
	reserved1: bytes(3),
	tableChecksum: u32,
	reserved2: bytes(12),
	firstCluster: u32,
	dataLength: u64,
});
/** In bytes: a unit for each of UTF-16. */
export const LARGEST_UPCASE_TABLE = 1 << 17;

export const LabelEntry = struct("exFAT volume label entry", "little", {
	entryType: u8,
	characterCount: u8,
	volumeLabel: utf16(11),
});

/** Begins a set: a stream extension and file names follow. */
export const FileEntry = struct("exFAT file entry", "little", {
	entryType: u8,
	secondaryCount: u8,
	setChecksum: u16,
	fileAttributes: u16,
	reserved1: u16,
	createTimestamp: u32,
	/** FAT's time in the lower half, its date in the upper. */
	lastModifiedTimestamp: u32,
	lastAccessedTimestamp: u32,
	create10msIncrement: u8,
	lastModified10msIncrement: u8,
	createUtcOffset: u8,
	/** Quarters of an hour in seven bits with a sign; they count where the eighth bit is set. */
	lastModifiedUtcOffset: u8,
	lastAccessedUtcOffset: u8,
	reserved2: bytes(7),
});
export const FileAttribute = { READ_ONLY: 0x01, DIRECTORY: 0x10 } as const;

export const StreamEntry = struct("exFAT stream extension entry", "little", {
	entryType: u8,
	generalSecondaryFlags: u8,
	reserved1: u8,
	nameLength: u8,
	nameHash: u16,
	reserved2: u16,
	/** What is behind it was never written and reads as zero. */
	validDataLength: u64,
	reserved3: u32,
	firstCluster: u32,
	dataLength: u64,
});
/** The clusters follow one another, and the FAT says nothing of them. */
export const NO_FAT_CHAIN = 0x02;

/** UTF-16 units of a name in one entry, after its type and flags. */
export const NAME_UNITS = 15;
