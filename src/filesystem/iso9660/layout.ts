import { bytes, struct, text, u8, u16, u32 } from "../../bytes/struct.js";

// ECMA-119: https://ecma-international.org/publications-and-standards/standards/ecma-119/
// Numbers are there in both byte orders; the little-endian one is read.

/** Descriptors have sectors of this size, whatever the logical blocks; the first is number 16. */
export const SECTOR = 2048;
export const FIRST_DESCRIPTOR = 16;
export const STANDARD_IDENTIFIER = "CD001";
export const DescriptorType = { PRIMARY: 1, SUPPLEMENTARY: 2, TERMINATOR: 255 } as const;

export const VolumeDescriptor = struct("ISO 9660 volume descriptor", "little", {
	volumeDescriptorType: u8,
	standardIdentifier: text(5),
	volumeDescriptorVersion: u8,
	volumeFlags: u8,
	systemIdentifier: bytes(32),
	volumeIdentifier: bytes(32),
	reserved1: bytes(8),
	volumeSpaceSize: u32,
	volumeSpaceSizeBig: bytes(4),
	/** Of a supplementary descriptor: the character set of its names. */
	escapeSequences: text(32),
	volumeSetSize: bytes(4),
	volumeSequenceNumber: bytes(4),
	logicalBlockSize: u16,
	logicalBlockSizeBig: bytes(2),
	pathTables: bytes(24),
	rootDirectoryRecord: bytes(34),
	identifiers: bytes(623),
	volumeCreation: text(16),
	volumeCreationOffset: u8,
	volumeModification: text(16),
	volumeModificationOffset: u8,
});
/** Escape sequences of Joliet, whose names are in UCS-2: https://pismotec.com/cfs/jolspec.html */
export const JOLIET: readonly string[] = ["%/@", "%/C", "%/E"];

/** Without the identifier, which follows. */
export const DirectoryRecord = struct("ISO 9660 directory record", "little", {
	length: u8,
	extendedAttributeLength: u8,
	extent: u32,
	extentBig: bytes(4),
	dataLength: u32,
	dataLengthBig: bytes(4),
	recordingDate: bytes(7),
	fileFlags: u8,
	fileUnitSize: u8,
	interleaveGap: u8,
	volumeSequenceNumber: bytes(4),
	identifierLength: u8,
});
export const FileFlag = { DIRECTORY: 0x02, ASSOCIATED: 0x04, MULTI_EXTENT: 0x80 } as const;

// System Use Sharing Protocol and Rock Ridge, IEEE P1281 and P1282: https://rrip.sourceforge.net

/** Begins each entry; its length counts this header. */
export const SystemUseHeader = struct("SUSP entry", "little", { signature: text(2), length: u8, version: u8 });
/** CE: the entries go on elsewhere. */
export const Continuation = struct("SUSP continuation", "little", {
	block: u32,
	blockBig: u32,
	offset: u32,
	offsetBig: u32,
	length: u32,
});
/** PX */
export const PosixAttributes = struct("Rock Ridge PX", "little", {
	mode: u32,
	modeBig: u32,
	links: u32,
	linksBig: u32,
	uid: u32,
	uidBig: u32,
	gid: u32,
});
export const NameFlag = { CONTINUE: 0x01, CURRENT: 0x02, PARENT: 0x04, ROOT: 0x08 } as const;
/** TF: which times follow, each of 7 bytes, or of 17. */
export const TimeFlag = { CREATION: 0x01, MODIFY: 0x02, LONG_FORM: 0x80 } as const;
