import { array, bytes, flags64, struct, u8, u16, u32, uuid } from "../../bytes/struct.js";

/**
 * The log:
 * https://git.kernel.org/pub/scm/fs/xfs/xfs-documentation.git/tree/design/XFS_Filesystem_Structure/journaling_log.asciidoc
 */

/** In bytes; positions in the log count these. */
export const BASIC_BLOCK = 512;

export const RECORD_MAGIC = 0xfeedbabe;

/** How many of the first words of a record's basic blocks its header keeps, and each header that follows. */
export const CYCLE_DATA = 64;
/** In bytes: what one header is enough for. */
export const HEADER_COVERS = CYCLE_DATA * BASIC_BLOCK;
/** In bytes: the largest record, and how much of the log may be on its way to the disk at once. */
export const LARGEST_RECORD = 256 << 10;
export const IN_FLIGHT = 8 * LARGEST_RECORD;

/** Begins a record. Every basic block behind it begins with the cycle number, in place of what the header keeps. */
export const RecordHeader = struct("XFS log record", "big", {
	h_magicno: u32,
	/** How often the log has been filled from its beginning. */
	h_cycle: u32,
	h_version: u32,
	/** Bytes of the record without its headers. */
	h_len: u32,
	/** Cycle in the upper half and basic block in the lower: of this record, and of the first that is still needed. */
	h_lsn: flags64,
	h_tail_lsn: flags64,
	/** CRC-32C, little-endian; 0 in version 4 where there is none. */
	h_crc: bytes(4),
	h_prev_block: u32,
	h_num_logops: u32,
	h_cycle_data: array(u32, CYCLE_DATA),
	h_fmt: u32,
	h_fs_uuid: uuid,
	/** The size that records have at most, which says how many headers there are. */
	h_size: u32,
});
/** What a checksum covers of the header: it ends with padding that 32-bit systems do not have. */
export const HEADER_SUMMED = [RecordHeader.size + u32.size, RecordHeader.size];
export const ExtendedHeader = struct("XFS log record, more cycles", "big", {
	xh_cycle: u32,
	xh_cycle_data: array(u32, CYCLE_DATA),
});
export const FORMAT_LINUX_LITTLE = 1;

/** What a record is made of: a piece of a transaction each. */
export const Operation = struct("XFS log operation", "big", {
	oh_tid: u32,
	oh_len: u32,
	oh_clientid: u8,
	oh_flags: u8,
	oh_res2: u16,
});
export const OperationFlag = { START: 1, COMMIT: 2, CONTINUE: 4, WAS_CONTINUED: 8, END: 16, UNMOUNT: 32 } as const;

/** What comes first in a transaction. */
export const TRANSACTION_HEADER = 16;

/** Begins the first region of each item; from here on everything has the byte order of the machine. */
export const Item = struct("XFS log item", "little", {
	type: u16,
	/** Number of regions. */
	size: u16,
});

export const ItemType = { INODE: 0x123b, BUFFER: 0x123c, BUI: 0x1244, BUD: 0x1245, XMI: 0x1248, XMD: 0x1249 } as const;

/**
 * What names and contents do not depend on: free space and unlinked inodes (EFI, EFD, IUNLINK), quotas (DQUOT,
 * QUOTAOFF), inodes that are made before they are used (ICREATE), owners and counts of blocks (RUI, RUD, CUI, CUD), and
 * attributes (ATTRI, ATTRD).
 */
export const idleItems: ReadonlySet<number> = new Set([
	0x1236, 0x1237, 0x1238, 0x123d, 0x123e, 0x123f, 0x1240, 0x1241, 0x1242, 0x1243, 0x1246, 0x1247,
]);

/** A block of metadata, of which parts follow. */
export const BufferItem = struct("XFS buffer in the log", "little", {
	blf_type: u16,
	blf_size: u16,
	blf_flags: u16,
	/** In basic blocks. */
	blf_len: u16,
	/** Where it is on the volume, in basic blocks. */
	blf_blkno: flags64,
	/** Number of words of the map, which follows: a bit for each piece of 128 bytes. */
	blf_map_size: u32,
});
export const BUFFER_PIECE = 128;
export const BufferFlag = {
	/** Only the list of unlinked inodes is meant. */
	INODES: 0x1,
	/** The block was freed: what the log holds of it, up to here, must not be written. */
	CANCEL: 0x2,
} as const;

export const InodeItem = struct("XFS inode item", "little", {
	ilf_type: u16,
	ilf_size: u16,
	ilf_fields: u32,
	ilf_asize: u16,
	ilf_dsize: u16,
	ilf_pad: u32,
	ilf_ino: flags64,
	ilf_u: bytes(16),
	/** The buffer that the inode is in. */
	ilf_blkno: flags64,
	ilf_len: u32,
	ilf_boffset: u32,
});
/** What follows the inode itself. */
export const InodeField = { DATA: 0x2, EXTENTS: 0x4, ROOT: 0x8 } as const;

/** An intent to change a file's map (BUI, XMI), or the news that it was done (BUD, XMD). */
export const Intent = struct("XFS intent", "little", { type: u16, size: u16, count: u32, id: flags64 });
