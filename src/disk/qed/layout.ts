import { flags64, struct, u32, u64 } from "../../bytes/struct.js";

// Layouts and names as in https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/qed_spec.rst; little-endian.

export const Header = struct("QED header", "little", {
	magic: u32,
	cluster_size: u32,
	/** Of L1 and L2 tables alike, in clusters. */
	table_size: u32,
	/** In clusters; the regular ones follow. */
	header_size: u32,
	features: flags64,
	compat_features: flags64,
	autoclear_features: flags64,
	l1_table_offset: u64,
	image_size: u64,
	// Of meaning only with Features.backingFile.
	backing_filename_offset: u32,
	backing_filename_size: u32,
});

export const Features = {
	backingFile: 1n << 0n,
	needCheck: 1n << 1n,
	/** The backing file is raw, whatever it looks like. */
	backingFormatNoProbe: 1n << 2n,
} as const;

export const CLUSTER_SIZE = { min: 2 ** 12, max: 2 ** 26 } as const;
export const TABLE_SIZE = { min: 1, max: 16 } as const;

export const ENTRY_SIZE = 8;

/** L2 entries that are no offsets. */
export const UNALLOCATED = 0;
export const ZERO = 1;

/** QEMU's own limit. */
export const BACKING_NAME_LIMIT = 1023;
