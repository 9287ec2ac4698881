import { array, bytes, flags64, struct, text, u8, u16, u32, u64, utf16, uuid } from "../../bytes/struct.js";

// Layouts and names as in Microsoft's "Virtual Hard Disk Image Format Specification", version 1.0 of 2006, published
// under the Open Specification Promise: https://www.microsoft.com/en-us/download/details.aspx?id=23850. All big-endian.

export const SECTOR = 512;

export const Footer = struct("VHD footer", "big", {
	cookie: text(8),
	features: u32,
	fileFormatVersion: u32,
	dataOffset: flags64,
	timeStamp: u32,
	creatorApplication: text(4),
	creatorVersion: u32,
	creatorHostOs: text(4),
	originalSize: u64,
	currentSize: u64,
	cylinders: u16,
	heads: u8,
	sectorsPerTrack: u8,
	diskType: u32,
	checksum: u32,
	uniqueId: uuid,
	savedState: u8,
	reserved: bytes(427),
});

/** Hyper-V counts `platformDataSpace` in bytes, where the specification says sectors. */
const ParentLocator = struct("VHD parent locator", "big", {
	platformCode: text(4),
	platformDataSpace: u32,
	platformDataLength: u32,
	reserved: u32,
	platformDataOffset: u64,
});

export const DynamicHeader = struct("VHD dynamic disk header", "big", {
	cookie: text(8),
	dataOffset: flags64,
	tableOffset: u64,
	headerVersion: u32,
	maxTableEntries: u32,
	blockSize: u32,
	checksum: u32,
	parentUniqueId: uuid,
	parentTimeStamp: u32,
	reserved: u32,
	parentUnicodeName: utf16(256),
	parentLocators: array(ParentLocator.field, 8),
	reserved2: bytes(256),
});

export const DYNAMIC_COOKIE = "cxsparse";
/** Platform codes of parent locators; there are others, of which no path can be read (`Mac `: an alias) or is usual. */
export const Platform = {
	/** Windows, a relative path in UTF-16, little-endian. */
	relative: "W2ru",
	/** Windows, an absolute path in UTF-16, little-endian. */
	absolute: "W2ku",
	/** macOS, a file URL in UTF-8. */
	url: "MacX",
} as const;
/** In both headers: no further structure. */
export const NO_OFFSET = 0xffff_ffff_ffff_ffffn;
/** Features: the bit that is always set. */
export const FEATURES_RESERVED = 2;
export const VERSION = 0x0001_0000;

export const DiskType = { fixed: 2, dynamic: 3, differencing: 4 } as const;

/** Time stamps count seconds since 2000-01-01 UTC; this is when, in seconds since 1970. */
export const EPOCH = 946_684_800;

/** BAT: the block is not stored. */
export const UNALLOCATED = 0xffff_ffff;

/** Largest dynamic disk that Hyper-V, Azure and XenServer take: 2040 GiB. */
export const MAX_SIZE = 2040 * 1024 ** 3;

/** Cylinders, heads and sectors of a disk too large for its geometry to tell the size. */
export const MAX_GEOMETRY = { cylinders: 65535, heads: 16, sectorsPerTrack: 255 } as const;

/** The one's complement of the sum of all bytes, those of the checksum itself left out. */
export function checksum(structure: Uint8Array, checksumAt: number): number {
	let sum = 0;
	structure.forEach((byte, i) => {
		if (i < checksumAt || i >= checksumAt + 4) sum += byte;
	});
	return ~sum >>> 0;
}

/** Bytes of a block's sector bitmap, which stands before the block: a bit for each of its sectors, in whole sectors. */
export const bitmapSize = (blockSize: number) => Math.ceil(blockSize / SECTOR / 8 / SECTOR) * SECTOR;
