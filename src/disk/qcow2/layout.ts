import { bytes, flags64, struct, u8, u16, u32, u64 } from "../../bytes/struct.js";

// Layouts and names as in https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/qcow2.rst; all big-endian.

/** Version 2 ends here. */
export const Header = struct("qcow2 header", "big", {
	magic: u32,
	version: u32,
	backing_file_offset: u64,
	backing_file_size: u32,
	cluster_bits: u32,
	size: u64,
	crypt_method: u32,
	l1_size: u32,
	l1_table_offset: u64,
	refcount_table_offset: u64,
	refcount_table_clusters: u32,
	nb_snapshots: u32,
	snapshots_offset: u64,
});

/** What version 3 adds, right behind {@link Header}. */
export const HeaderV3 = struct("qcow2 version 3 header", "big", {
	incompatible_features: flags64,
	compatible_features: flags64,
	autoclear_features: flags64,
	refcount_order: u32,
	header_length: u32,
	// Present where header_length is above 104.
	compression_type: u8,
	padding: bytes(7),
});

/** `header_length` without the fields that are optional in version 3. */
export const V3_LENGTH = 104;

export const Incompatible = {
	dirty: 1n << 0n,
	corrupt: 1n << 1n,
	externalData: 1n << 2n,
	compressionType: 1n << 3n,
	extendedL2: 1n << 4n,
} as const;

export const Compatible = { lazyRefcounts: 1n << 0n } as const;

export const Autoclear = { bitmaps: 1n << 0n, rawExternalData: 1n << 1n } as const;

export const COMPRESSION_TYPES = ["deflate", "zstd"] as const;

export const CRYPT_METHODS = ["none", "AES", "LUKS"] as const;

export const Extension = struct("qcow2 header extension", "big", { type: u32, length: u32 });

export const ExtensionType = {
	end: 0,
	backingFormat: 0xe2792aca,
	bitmaps: 0x23852875,
	encryptionHeader: 0x0537be77,
	externalDataFile: 0x44415441,
} as const;

export const BitmapsExtension = struct("qcow2 bitmaps extension", "big", {
	nb_bitmaps: u32,
	reserved: u32,
	bitmap_directory_size: u64,
	bitmap_directory_offset: u64,
});

export const EncryptionHeaderExtension = struct("qcow2 encryption header pointer", "big", { offset: u64, length: u64 });

/** The fixed part of an entry; extra data, id and name follow, and padding to a multiple of {@link ENTRY_ALIGNMENT}. */
export const SnapshotEntry = struct("qcow2 snapshot table entry", "big", {
	l1_table_offset: u64,
	l1_size: u32,
	id_size: u16,
	name_size: u16,
	date_sec: u32,
	date_nsec: u32,
	vm_clock_nsec: flags64,
	vm_state_size: u32,
	extra_data_size: u32,
});

/** The beginning of a snapshot's extra data; how much of it there is, `extra_data_size` says. */
export const SnapshotExtra = struct("qcow2 snapshot extra data", "big", {
	vm_state_size: u64,
	disk_size: u64,
});

/** The fixed part of an entry; extra data and name follow, and padding to a multiple of {@link ENTRY_ALIGNMENT}. */
export const BitmapEntry = struct("qcow2 bitmap directory entry", "big", {
	bitmap_table_offset: u64,
	bitmap_table_size: u32,
	flags: u32,
	type: u8,
	granularity_bits: u8,
	name_size: u16,
	extra_data_size: u32,
});

/** Of entries in the snapshot table and in the bitmap directory. */
export const ENTRY_ALIGNMENT = 8;

/** Smallest and, in every implementation, largest `cluster_bits`: 512 bytes and 2 MiB. */
export const CLUSTER_BITS = { min: 9, max: 21 } as const;

/** Smallest `cluster_bits` with extended L2 entries. */
export const EXTENDED_CLUSTER_BITS = 14;

/** QEMU's own limits for tables, in bytes. */
export const L1_LIMIT = 32 * 1024 * 1024;
export const REFCOUNT_TABLE_LIMIT = 8 * 1024 * 1024;
export const SNAPSHOT_TABLE_LIMIT = 64 * 1024 * 1024;
export const SNAPSHOT_LIMIT = 65_536;
export const BITMAP_LIMIT = 65_535;

/** `refcount_order` of refcounts of 64 bits, the largest; version 2 always has refcounts of 16. */
export const REFCOUNT_ORDER = { max: 6, version2: 4 } as const;

export const BACKING_NAME_LIMIT = 1023;

// L1 and L2 entries are 64 bits: flags, and an offset in bits 9 to 55. They are handled as their two 32-bit halves.
export const ENTRY_SIZE = 8;
/** An L2 entry with subclusters: 32 bits more say which of them read as zero, and the last 32 which are allocated. */
export const EXTENDED_ENTRY_SIZE = 16;
export const SUBCLUSTERS = 32;
/** L1, L2: the refcount of what is pointed at is exactly one. */
export const COPIED_HIGH = 0x8000_0000;
/** L2: a compressed cluster descriptor. */
export const COMPRESSED_HIGH = 0x4000_0000;
/** L2: reads as zero (version 3). */
export const ZERO_LOW = 1;
/** All tables: what must be zero, in either half; of the lowest nine bits, an L2 entry has one of its own. */
export const RESERVED_LOW = 0x1ff;
export const L1_RESERVED_HIGH = 0x7f00_0000;
export const L2_RESERVED_HIGH = 0x3f00_0000;
export const BITMAP_RESERVED_HIGH = 0xff00_0000;

const TWO_32 = 0x1_0000_0000;

export const offsetOf = (high: number, low: number) => (high & 0x00ff_ffff) * TWO_32 + ((low & 0xffff_fe00) >>> 0);

/**
 * A compressed cluster descriptor: bits 0 to x-1 hold the byte offset, bits x to 61 how many 512-byte sectors it
 * touches beyond the first, where x = 62 - (cluster_bits - 8).
 */
export function compressedRun(high: number, low: number, clusterBits: number): { offset: number; length: number } {
	const shift = 62 - (clusterBits - 8) - 32;
	const sectors = ((high & 0x3fff_ffff) >>> shift) + 1;
	const offset = (high & (2 ** shift - 1)) * TWO_32 + low;
	return { offset, length: sectors * 512 - (offset % 512) };
}

/** The two halves of the descriptor of `length` compressed bytes at `offset`. */
export function compressedDescriptor(
	offset: number,
	length: number,
	clusterBits: number,
): { high: number; low: number } {
	const shift = 62 - (clusterBits - 8) - 32;
	const additional = Math.floor((offset + length - 1) / 512) - Math.floor(offset / 512);
	return {
		high: (COMPRESSED_HIGH | (additional << shift) | Math.floor(offset / TWO_32)) >>> 0,
		low: offset % TWO_32,
	};
}

/** The high and low halves of an entry that points at `offset` and owns it alone. */
export const ownedEntry = (offset: number) => ({
	high: (COPIED_HIGH | Math.floor(offset / TWO_32)) >>> 0,
	low: offset % TWO_32,
});
