import { array, bytes, type Field, flags64, struct, u8, u16, u32, u64, uuid, type Value } from "../../bytes/struct.js";

/**
 * XFS Algorithms & Data Structures, for all of this file:
 * https://git.kernel.org/pub/scm/fs/xfs/xfs-documentation.git/tree/design/XFS_Filesystem_Structure
 */

/** Checksums alone are little-endian in an otherwise big-endian format. */
const crc: Field<number> = {
	size: 4,
	get: (view, at) => view.getUint32(at, true),
	set: (view, at, value) => view.setUint32(at, value, true),
};

export const SUPERBLOCK_MAGIC = 0x58465342;

export const Superblock = struct("XFS superblock", "big", {
	sb_magicnum: u32,
	/** In bytes. */
	sb_blocksize: u32,
	/** Number of blocks. */
	sb_dblocks: u64,
	sb_rblocks: u64,
	sb_rextents: u64,
	sb_uuid: uuid,
	/** The log's first block; 0 where it is on another device. */
	sb_logstart: u64,
	sb_rootino: u64,
	sb_rbmino: flags64,
	sb_rsumino: flags64,
	sb_rextsize: u32,
	sb_agblocks: u32,
	sb_agcount: u32,
	sb_rbmblocks: u32,
	sb_logblocks: u32,
	sb_versionnum: u16,
	sb_sectsize: u16,
	sb_inodesize: u16,
	sb_inopblock: u16,
	sb_fname: bytes(12),
	/** Binary logarithms of sb_blocksize, sb_sectsize, sb_inodesize, sb_inopblock and, rounded up, sb_agblocks. */
	sb_blocklog: u8,
	sb_sectlog: u8,
	sb_inodelog: u8,
	sb_inopblog: u8,
	sb_agblklog: u8,
	sb_rextslog: u8,
	sb_inprogress: u8,
	sb_imax_pct: u8,
	sb_icount: u64,
	sb_ifree: u64,
	sb_fdblocks: u64,
	sb_frextents: u64,
	sb_uquotino: flags64,
	sb_gquotino: flags64,
	sb_qflags: u16,
	sb_flags: u8,
	sb_shared_vn: u8,
	sb_inoalignmt: u32,
	sb_unit: u32,
	sb_width: u32,
	/** Directory blocks have 2 to the power of this blocks. */
	sb_dirblklog: u8,
	sb_logsectlog: u8,
	sb_logsectsize: u16,
	sb_logsunit: u32,
	sb_features2: u32,
	sb_bad_features2: u32,
	/** From here on version 5 only. */
	sb_features_compat: u32,
	sb_features_ro_compat: u32,
	sb_features_incompat: u32,
	sb_features_log_incompat: u32,
	/** CRC-32C of the sector. */
	sb_crc: crc,
	sb_spino_align: u32,
	sb_pquotino: flags64,
	sb_lsn: flags64,
	/** The one in the headers of blocks where sb_uuid was changed later. */
	sb_meta_uuid: uuid,
});
export type SuperblockFields = Value<typeof Superblock>;

export const Version = { NUMBITS: 0xf, DIRV2: 0x2000, BORG: 0x4000, MOREBITS: 0x8000 } as const;
export const Features2 = { FTYPE: 0x200 } as const;

/** Features without which a file system cannot be read right. */
export const Incompat = {
	FTYPE: 0x1,
	SPINODES: 0x2,
	META_UUID: 0x4,
	BIGTIME: 0x8,
	NEEDSREPAIR: 0x10,
	NREXT64: 0x20,
	EXCHRANGE: 0x40,
	PARENT: 0x80,
	METADIR: 0x100,
	ZONED: 0x200,
	ZONE_GAPS: 0x400,
} as const;

export const INODE_MAGIC = 0x494e;

const inodeFields = {
	di_magic: u16,
	di_mode: u16,
	di_version: u8,
	di_format: u8,
	di_onlink: u16,
	di_uid: u32,
	di_gid: u32,
	di_nlink: u32,
	di_projid_lo: u16,
	di_projid_hi: u16,
	/** The number of extents with NREXT64; padding and the flush counter without. */
	di_big_nextents: flags64,
	di_atime: flags64,
	/** With BIGTIME nanoseconds; without, seconds in the upper half and nanoseconds in the lower. */
	di_mtime: flags64,
	di_ctime: flags64,
	di_size: u64,
	di_nblocks: flags64,
	di_extsize: u32,
	/** The number of extents without NREXT64; with it, that of the attributes. */
	di_nextents: u32,
	di_anextents: u16,
	/** Where the attributes begin, in 8 bytes from where the data fork does; 0 without attributes. */
	di_forkoff: u8,
	di_aformat: u8,
	di_dmevmask: u32,
	di_dmstate: u16,
	di_flags: u16,
	di_gen: u32,
};

/** Of inodes of any version, up to what only the list of unlinked inodes uses. */
export const Inode = struct("XFS inode", "big", inodeFields);
/** The same as the log has it. */
export const LoggedInode = struct("XFS inode in the log", "little", inodeFields);

const inodeFields3 = {
	di_changecount: flags64,
	di_lsn: flags64,
	di_flags2: flags64,
	di_cowextsize: u32,
	di_pad2: bytes(12),
	di_crtime: flags64,
	di_ino: flags64,
};

/** What version 3 adds. */
export const Inode3 = struct("XFS inode, version 3", "big", {
	di_next_unlinked: u32,
	/** CRC-32C of the inode. */
	di_crc: crc,
	...inodeFields3,
	di_uuid: uuid,
});
export const LoggedInode3 = struct("XFS inode in the log, version 3", "little", {
	di_next_unlinked: u32,
	di_crc: crc,
	...inodeFields3,
	di_uuid: uuid,
});

/** Where the data fork begins in inodes of versions 1 and 2, and of version 3. */
export const FORK_AT = Inode.size + u32.size;
export const FORK3_AT = Inode.size + Inode3.size;

/** How a fork is kept. */
export const Format = { DEV: 0, LOCAL: 1, EXTENTS: 2, BTREE: 3 } as const;
export const InodeFlag = { REALTIME: 0x1 } as const;
export const InodeFlag2 = { BIGTIME: 0x8n, NREXT64: 0x10n } as const;
/** With BIGTIME, zero is so many seconds before 1970. */
export const BIGTIME_EPOCH = 2 ** 31;

/** A packed extent: 1 bit "unwritten", 54 bits of logical block, 52 of block, 21 of length. */
export const ExtentRecord = struct("XFS extent", "big", { l0: flags64, l1: flags64 });

/** The root of a file's extent tree, in its inode: keys, then pointers, each as many as have room. */
export const BmapRoot = struct("XFS extent tree root", "big", { bb_level: u16, bb_numrecs: u16 });

const longBlock = {
	bb_magic: u32,
	bb_level: u16,
	bb_numrecs: u16,
	bb_leftsib: flags64,
	bb_rightsib: flags64,
};
export const BMAP_MAGIC = 0x424d4150;
export const BMAP_CRC_MAGIC = 0x424d4133;
export const BmapBlock = struct("XFS extent tree block", "big", longBlock);
export const BmapBlockCrc = struct("XFS extent tree block with checksum", "big", {
	...longBlock,
	bb_blkno: flags64,
	bb_lsn: flags64,
	bb_uuid: uuid,
	bb_owner: flags64,
	bb_crc: crc,
	bb_pad: u32,
});

/** More levels than the largest file needs with the smallest blocks. */
export const BMAP_DEEPEST = 9;

export const ShortDirectory = struct("XFS short directory", "big", { count: u8, i8count: u8 });
export const ShortEntry = struct("XFS short directory entry", "big", { namelen: u8, offset: u16 });

export const DirectoryMagic = {
	/** A directory's only block, in version 4 and 5. */
	BLOCK: 0x58443242,
	BLOCK_CRC: 0x58444233,
	/** One of its data blocks. */
	DATA: 0x58443244,
	DATA_CRC: 0x58444433,
} as const;

const bestFree = array(u32, 3);
export const DataHeader = struct("XFS directory block", "big", { magic: u32, bestfree: bestFree });
export const DataHeaderCrc = struct("XFS directory block with checksum", "big", {
	magic: u32,
	crc,
	blkno: flags64,
	lsn: flags64,
	uuid,
	owner: flags64,
	best_free: bestFree,
	pad: u32,
});
/** At the end of a directory's only block; its index, 8 bytes an entry, stands before. */
export const BlockTail = struct("XFS directory block tail", "big", { count: u32, stale: u32 });
export const DataUnused = struct("XFS unused directory entry", "big", { freetag: u16, length: u16 });
export const FREE_TAG = 0xffff;
export const DataEntry = struct("XFS directory entry", "big", { inumber: flags64, namelen: u8 });
/** At the end of each entry. */
export const DATA_TAG = 2;

/** Where the index of a directory begins, in bytes: far behind its data. */
export const LEAF_AT = 2 ** 35;
export const IndexMagic = {
	LEAF1: 0xd2f1,
	LEAF1_CRC: 0x3df1,
	LEAFN: 0xd2ff,
	LEAFN_CRC: 0x3dff,
	NODE: 0xfebe,
	NODE_CRC: 0x3ebe,
} as const;
const blockInfo = { forw: u32, back: u32, magic: u16, pad: u16 };
/** Begins leaves and nodes alike. */
export const IndexHeader = struct("XFS directory index block", "big", { ...blockInfo, count: u16, level: u16 });
export const IndexHeaderCrc = struct("XFS directory index block with checksum", "big", {
	...blockInfo,
	crc,
	blkno: flags64,
	lsn: flags64,
	uuid,
	owner: flags64,
	count: u16,
	/** The height of a node; in leaves the number of entries that were deleted. */
	level: u16,
	pad32: u32,
});
/** Of a leaf: `address` counts 8 bytes of the directory's data. Of a node: it is a block of the directory. */
export const IndexEntry = struct("XFS directory index entry", "big", { hashval: u32, address: u32 });

/** Attributes that fit the inode, one behind the other. */
export const ShortAttributes = struct("XFS short attributes", "big", { totsize: u16, count: u8, padding: u8 });
export const ShortAttribute = struct("XFS short attribute", "big", { namelen: u8, valuelen: u8, flags: u8 });

export const AttributeMagic = { LEAF: 0xfbee, LEAF_CRC: 0x3bee, REMOTE: 0x5841524d } as const;
const attributeLeaf = {
	count: u16,
	usedbytes: u16,
	firstused: u16,
	holes: u8,
	pad1: u8,
	/** Pairs of base and size. */
	freemap: array(u16, 6),
};
export const AttributeLeaf = struct("XFS attribute leaf", "big", { ...blockInfo, ...attributeLeaf });
export const AttributeLeafCrc = struct("XFS attribute leaf with checksum", "big", {
	...blockInfo,
	crc,
	blkno: flags64,
	lsn: flags64,
	uuid,
	owner: flags64,
	...attributeLeaf,
	pad2: u32,
});
export const AttributeEntry = struct("XFS attribute entry", "big", { hashval: u32, nameidx: u16, flags: u8, pad2: u8 });
/** Where the value stands in the leaf: name and value follow. */
export const LocalAttribute = struct("XFS local attribute", "big", { valuelen: u16, namelen: u8 });
/** Where the value has blocks of its own; the name follows. */
export const RemoteAttribute = struct("XFS remote attribute", "big", { valueblk: u32, valuelen: u32, namelen: u8 });
export const AttributeFlag = { LOCAL: 0x1, ROOT: 0x2, SECURE: 0x4, PARENT: 0x8, INCOMPLETE: 0x80 } as const;
/** Before each block of a remote value, in version 5. */
export const RemoteValue = struct("XFS remote attribute value", "big", {
	rm_magic: u32,
	rm_offset: u32,
	rm_bytes: u32,
	rm_crc: crc,
	rm_uuid: uuid,
	rm_owner: flags64,
	rm_blkno: flags64,
	rm_lsn: flags64,
});
/** In bytes: the longest value that the kernel takes. */
export const LONGEST_VALUE = 65536;

export const SYMLINK_MAGIC = 0x58534c4d;
/** Before each part of a link's target, in version 5. */
export const SymlinkHeader = struct("XFS symbolic link", "big", {
	sl_magic: u32,
	sl_offset: u32,
	sl_bytes: u32,
	sl_crc: crc,
	sl_uuid: uuid,
	sl_owner: flags64,
	sl_blkno: flags64,
	sl_lsn: flags64,
});
/** In bytes: the longest target of a link. */
export const LONGEST_LINK = 1024;
