import { bytes, struct, u8, u16, u32, u64 } from "../../bytes/struct.js";

/**
 * Hyper-V's key-value store, which Microsoft has not documented: as its files show it. All numbers are little-endian, and
 * the checksums are of an unknown kind.
 */

export const HEADER_SIGNATURE = 0x0128_2014;
/** The header of the higher sequence number counts. */
export const HEADERS = [0, 0x1000] as const;
export const VERSION = 0x400;

export const Header = struct("VMCX header", "little", {
	signature: u32,
	checksum: u32,
	sequence: u16,
	version: u32,
	reserved: bytes(8),
	alignment: u32,
	logOffset: u64,
	logSize: u64,
	headerSize: u32,
});

export const LOG_SIGNATURE = 0x0111_0003;
export const Log = struct("VMCX replay log", "little", { signature: u32, checksum: u32, entries: u32 });

export const OBJECTS_AT = 0x2000;
export const OBJECTS_SIGNATURE = 0x0111_0001;
export const Objects = struct("VMCX object table", "little", { signature: u32, entries: u32 });
export const ObjectEntry = struct("VMCX object", "little", {
	type: u8,
	checksum: u32,
	offset: u64,
	size: u32,
	allocated: u8,
});
export const ObjectType = { objectTable: 1, keyTable: 2 } as const;

export const TABLE_SIGNATURE = 2;
/** Several tables of one index may be there: that of the highest sequence number counts. */
export const KeyTable = struct("VMCX key table", "little", {
	signature: u16,
	index: u16,
	sequence: u16,
	checksum: u32,
});
/** Followed by the key's name up to a NUL, and at `value` bytes from there its value. */
export const Key = struct("VMCX key", "little", {
	type: u8,
	flags: u8,
	/** Of all of it, in bytes. */
	size: u32,
	parentTable: u16,
	/** Offset in its table; 0 is the root's. */
	parentOffset: u32,
	checksum: u32,
	sequence: u32,
	value: u8,
});
export const KeyType = { free: 1, integer: 3, unsigned: 4, double: 5, string: 6, array: 7, bool: 8, node: 9 } as const;
/** The value is the length, and the offset in the file, of where it lies. */
export const ELSEWHERE = 1;
export const Elsewhere = struct("VMCX value elsewhere", "little", { size: u32, offset: u64 });
