import { bytes, flags64, struct, text, u8, u16, u32, u64 } from "../../bytes/struct.js";

// NTFS as https://flatcap.github.io/linux-ntfs/ntfs/ describes it, with the names of
// https://learn.microsoft.com/windows/win32/devnotes/master-file-table where it has them.

/** The first sector. */
export const BootSector = struct("NTFS boot sector", "little", {
	jump: bytes(3),
	oemId: text(8),
	bytesPerSector: u16,
	sectorsPerCluster: u8,
	reservedSectors: u16,
	unused1: bytes(5),
	media: u8,
	unused2: bytes(18),
	numberSectors: u64,
	mftStartLcn: u64,
	mft2StartLcn: u64,
	/** Clusters, or where negative the power of two of the bytes. */
	clustersPerFileRecord: u8,
	unused3: bytes(3),
	clustersPerIndexRecord: u8,
	unused4: bytes(3),
	serialNumber: flags64,
});
export const OEM_ID = "NTFS    ";

/** Of records whose every 512 bytes end with the update sequence number, for seeing whether all were written. */
export const MultiSectorHeader = struct("NTFS multi-sector header", "little", {
	signature: text(4),
	updateSequenceArrayOffset: u16,
	updateSequenceArraySize: u16,
});
/** Bytes that one number of the update sequence array guards, whatever the sector size. */
export const SEQUENCE_STRIDE = 512;

const multiSectorHeader = MultiSectorHeader.field;

/** An entry of the MFT. */
export const FileRecord = struct("NTFS file record", "little", {
	multiSectorHeader,
	logFileSequenceNumber: flags64,
	sequenceNumber: u16,
	linkCount: u16,
	firstAttributeOffset: u16,
	flags: u16,
	bytesInUse: u32,
	bytesAllocated: u32,
	/** Of an extension record: the record that it extends. */
	baseFileRecord: flags64,
	nextAttributeInstance: u16,
});
export const RecordFlag = { IN_USE: 0x0001, DIRECTORY: 0x0002 } as const;

/** Records whose numbers are fixed; those below 16 are the file system's own, and hidden. */
export const FileNumber = { MFT: 0, LOG_FILE: 2, VOLUME: 3, ROOT: 5, BITMAP: 6, UP_CASE: 10, FIRST_HIDDEN_END: 16 };

export const AttributeType = {
	STANDARD_INFORMATION: 0x10,
	ATTRIBUTE_LIST: 0x20,
	FILE_NAME: 0x30,
	VOLUME_NAME: 0x60,
	VOLUME_INFORMATION: 0x70,
	DATA: 0x80,
	INDEX_ROOT: 0x90,
	INDEX_ALLOCATION: 0xa0,
	REPARSE_POINT: 0xc0,
	END: 0xffffffff,
} as const;
/** Name of the attributes of a directory's index. */
export const INDEX_OF_NAMES = "$I30";

const attribute = {
	typeCode: u32,
	recordLength: u32,
	formCode: u8,
	nameLength: u8,
	nameOffset: u16,
	flags: u16,
	instance: u16,
};
export const AttributeHeader = struct("NTFS attribute", "little", attribute);
export const AttributeFlag = { COMPRESSION_MASK: 0x00ff, ENCRYPTED: 0x4000 } as const;
export const COMPRESSION_LZNT1 = 1;

export const ResidentAttribute = struct("NTFS resident attribute", "little", {
	...attribute,
	valueLength: u32,
	valueOffset: u16,
	residentFlags: u16,
});

export const NonResidentAttribute = struct("NTFS non-resident attribute", "little", {
	...attribute,
	lowestVcn: u64,
	/** -1 where the attribute has no clusters. */
	highestVcn: flags64,
	mappingPairsOffset: u16,
	/** So many clusters, as a power of two, are compressed together. */
	compressionUnit: u8,
	reserved: bytes(5),
});
/** After it where lowestVcn is 0. */
export const AttributeSizes = struct("NTFS attribute sizes", "little", {
	allocatedLength: flags64,
	fileSize: u64,
	/** What is behind it was never written and reads as zero. */
	validDataLength: u64,
});

export const AttributeListEntry = struct("NTFS attribute list entry", "little", {
	attributeTypeCode: u32,
	recordLength: u16,
	attributeNameLength: u8,
	attributeNameOffset: u8,
	lowestVcn: u64,
	segmentReference: flags64,
	instance: u16,
});
/** In bytes: the longest attribute list. */
export const LONGEST_ATTRIBUTE_LIST = 256 << 10;

export const StandardInformation = struct("NTFS $STANDARD_INFORMATION", "little", {
	creationTime: flags64,
	lastModificationTime: flags64,
	lastChangeTime: flags64,
	lastAccessTime: flags64,
	fileAttributes: u32,
});
export const FileAttribute = { READONLY: 0x1, SYSTEM: 0x4, REPARSE_POINT: 0x400, DIRECTORY: 0x10000000 } as const;

/** Without the name, which follows in UTF-16. */
export const FileName = struct("NTFS $FILE_NAME", "little", {
	parentDirectory: flags64,
	creationTime: flags64,
	lastModificationTime: flags64,
	lastChangeTime: flags64,
	lastAccessTime: flags64,
	allocatedLength: flags64,
	fileSize: flags64,
	fileAttributes: u32,
	reparsePointTag: u32,
	fileNameLength: u8,
	flags: u8,
});
/** A name that only MS-DOS saw, of a file that has another one as well. */
export const NAMESPACE_DOS = 2;

const indexHeader = struct("NTFS index header", "little", {
	/** From the beginning of this header. */
	firstIndexEntry: u32,
	firstFreeByte: u32,
	bytesAvailable: u32,
	flags: u32,
}).field;

export const IndexRoot = struct("NTFS $INDEX_ROOT", "little", {
	indexedAttributeType: u32,
	collationRule: u32,
	bytesPerIndexBuffer: u32,
	clustersPerIndexBuffer: u8,
	reserved: bytes(3),
	indexHeader,
});

export const IndexBlock = struct("NTFS index block", "little", {
	multiSectorHeader,
	logFileSequenceNumber: flags64,
	thisBlock: u64,
	indexHeader,
});

export const IndexEntry = struct("NTFS index entry", "little", {
	fileReference: flags64,
	length: u16,
	attributeLength: u16,
	flags: u16,
	reserved: u16,
});
/** SUBNODE: the last 8 bytes number the block with what comes before this entry. */
export const EntryFlag = { SUBNODE: 1, END: 2 } as const;

export const VolumeInformation = struct("NTFS $VOLUME_INFORMATION", "little", {
	reserved: flags64,
	majorVersion: u8,
	minorVersion: u8,
	volumeFlags: u16,
});
export const VOLUME_DIRTY = 0x0001;

/** One of the first two pages of $LogFile: https://flatcap.github.io/linux-ntfs/ntfs/files/logfile.html */
export const RestartPage = struct("NTFS restart page", "little", {
	multiSectorHeader,
	chkdskLsn: flags64,
	systemPageSize: u32,
	logPageSize: u32,
	restartOffset: u16,
	minorVersion: u16,
	majorVersion: u16,
});
export const RestartArea = struct("NTFS restart area", "little", {
	currentLsn: flags64,
	logClients: u16,
	clientFreeList: u16,
	clientInUseList: u16,
	flags: u16,
});
export const NO_CLIENT = 0xffff;
export const VOLUME_IS_CLEAN = 0x0002;

/** https://learn.microsoft.com/openspecs/windows_protocols/ms-fscc/c3a420cb-8a72-4adf-87e8-eee95379d78f */
export const ReparsePoint = struct("NTFS reparse point", "little", {
	reparseTag: u32,
	reparseDataLength: u16,
	reserved: u16,
});
/** https://learn.microsoft.com/openspecs/windows_protocols/ms-fscc/c8e77b37-3909-4fe6-a4ea-2b9d423b1ee4 */
export const ReparseTag = {
	MOUNT_POINT: 0xa0000003,
	SYMLINK: 0xa000000c,
	LX_SYMLINK: 0xa000001d,
	AF_UNIX: 0x80000023,
	LX_FIFO: 0x80000024,
	LX_CHR: 0x80000025,
	LX_BLK: 0x80000026,
	DEDUP: 0x80000013,
	WOF: 0x80000017,
} as const;
const substituteAndPrint = {
	substituteNameOffset: u16,
	substituteNameLength: u16,
	printNameOffset: u16,
	printNameLength: u16,
};
export const MountPointReparse = struct("NTFS mount point", "little", substituteAndPrint);
export const SymbolicLinkReparse = struct("NTFS symbolic link", "little", { ...substituteAndPrint, flags: u32 });
/** In bytes: the most that a reparse point holds. */
export const LONGEST_REPARSE = 16 << 10;
