import { array, bytes, i32, struct, text, u8, u16, u32, uuid, type Value } from "../../bytes/struct.js";

/** https://docs.kernel.org/filesystems/ext4/super.html */
export const Superblock = struct("ext superblock", "little", {
	s_inodes_count: u32,
	s_blocks_count_lo: u32,
	s_r_blocks_count_lo: u32,
	s_free_blocks_count_lo: u32,
	s_free_inodes_count: u32,
	s_first_data_block: u32,
	/** Blocks have 2 to the power of (10 + this) bytes. */
	s_log_block_size: u32,
	s_log_cluster_size: u32,
	s_blocks_per_group: u32,
	s_clusters_per_group: u32,
	s_inodes_per_group: u32,
	s_mtime: u32,
	s_wtime: u32,
	s_mnt_count: u16,
	s_max_mnt_count: u16,
	s_magic: u16,
	s_state: u16,
	s_errors: u16,
	s_minor_rev_level: u16,
	s_lastcheck: u32,
	s_checkinterval: u32,
	s_creator_os: u32,
	s_rev_level: u32,
	s_def_resuid: u16,
	s_def_resgid: u16,
	s_first_ino: u32,
	s_inode_size: u16,
	s_block_group_nr: u16,
	s_feature_compat: u32,
	s_feature_incompat: u32,
	s_feature_ro_compat: u32,
	s_uuid: uuid,
	s_volume_name: bytes(16),
	s_last_mounted: text(64),
	s_algorithm_usage_bitmap: u32,
	s_prealloc_blocks: u8,
	s_prealloc_dir_blocks: u8,
	s_reserved_gdt_blocks: u16,
	s_journal_uuid: uuid,
	s_journal_inum: u32,
	s_journal_dev: u32,
	s_last_orphan: u32,
	s_hash_seed: array(u32, 4),
	s_def_hash_version: u8,
	s_jnl_backup_type: u8,
	s_desc_size: u16,
	s_default_mount_opts: u32,
	s_first_meta_bg: u32,
	s_mkfs_time: u32,
	s_jnl_blocks: array(u32, 17),
	s_blocks_count_hi: u32,
	s_r_blocks_count_hi: u32,
	s_free_blocks_count_hi: u32,
	s_min_extra_isize: u16,
	s_want_extra_isize: u16,
	s_flags: u32,
	s_raid_stride: u16,
	s_mmp_interval: u16,
	s_mmp_block: bytes(8),
	s_raid_stripe_width: u32,
	s_log_groups_per_flex: u8,
	s_checksum_type: u8,
	s_reserved_pad: u16,
	s_kbytes_written: bytes(8),
	s_snapshot: bytes(20),
	s_error_count: u32,
	s_first_error: bytes(52),
	s_last_error: bytes(52),
	s_mount_opts: text(64),
	s_usr_quota_inum: u32,
	s_grp_quota_inum: u32,
	s_overhead_blocks: u32,
	s_backup_bgs: array(u32, 2),
	s_encrypt_algos: bytes(4),
	s_encrypt_pw_salt: bytes(16),
	s_lpf_ino: u32,
	s_prj_quota_inum: u32,
	s_checksum_seed: u32,
	s_time_hi: bytes(6),
	s_pad: bytes(2),
	s_encoding: u16,
	s_encoding_flags: u16,
	s_orphan_file_inum: u32,
	s_reserved: array(u32, 94),
	/** CRC-32C, without its final inversion, of all that stands before. */
	s_checksum: u32,
});

/** Byte offset of the superblock, whatever the block size. */
export const SUPERBLOCK_AT = 1024;
export const SUPERBLOCK_MAGIC = 0xef53;

/** https://docs.kernel.org/filesystems/ext4/super.html#super-compat */
export const Compat = { HAS_JOURNAL: 0x4, SPARSE_SUPER2: 0x200 } as const;

/** https://docs.kernel.org/filesystems/ext4/super.html#super-incompat; CASEFOLD stands in fs/ext4/ext4.h only. */
export const Incompat = {
	COMPRESSION: 0x1,
	FILETYPE: 0x2,
	RECOVER: 0x4,
	JOURNAL_DEV: 0x8,
	META_BG: 0x10,
	EXTENTS: 0x40,
	"64BIT": 0x80,
	MMP: 0x100,
	FLEX_BG: 0x200,
	EA_INODE: 0x400,
	DIRDATA: 0x1000,
	CSUM_SEED: 0x2000,
	LARGEDIR: 0x4000,
	INLINE_DATA: 0x8000,
	ENCRYPT: 0x10000,
	CASEFOLD: 0x20000,
} as const;

/** https://docs.kernel.org/filesystems/ext4/super.html#super-rocompat */
export const RoCompat = {
	SPARSE_SUPER: 0x1,
	LARGE_FILE: 0x2,
	BTREE_DIR: 0x4,
	BIGALLOC: 0x200,
	METADATA_CSUM: 0x400,
	ORPHAN_PRESENT: 0x10000,
} as const;

/** The first 32 bytes of https://docs.kernel.org/filesystems/ext4/group_descr.html */
export const GroupDescriptor = struct("ext group descriptor", "little", {
	bg_block_bitmap_lo: u32,
	bg_inode_bitmap_lo: u32,
	bg_inode_table_lo: u32,
	bg_free_blocks_count_lo: u16,
	bg_free_inodes_count_lo: u16,
	bg_used_dirs_count_lo: u16,
	bg_flags: u16,
	bg_exclude_bitmap_lo: u32,
	bg_block_bitmap_csum_lo: u16,
	bg_inode_bitmap_csum_lo: u16,
	bg_itable_unused_lo: u16,
	bg_checksum: u16,
});

/** What follows {@link GroupDescriptor} where `s_desc_size` is 64 or more. */
export const GroupDescriptorHigh = struct("ext group descriptor, upper half", "little", {
	bg_block_bitmap_hi: u32,
	bg_inode_bitmap_hi: u32,
	bg_inode_table_hi: u32,
	bg_free_blocks_count_hi: u16,
	bg_free_inodes_count_hi: u16,
	bg_used_dirs_count_hi: u16,
	bg_itable_unused_hi: u16,
	bg_exclude_bitmap_hi: u32,
	bg_block_bitmap_csum_hi: u16,
	bg_inode_bitmap_csum_hi: u16,
	bg_reserved: u32,
});

/** The first 128 bytes of https://docs.kernel.org/filesystems/ext4/inodes.html, with Linux' own `osd1` and `osd2`. */
export const Inode = struct("ext inode", "little", {
	i_mode: u16,
	i_uid: u16,
	i_size_lo: u32,
	i_atime: i32,
	i_ctime: i32,
	i_mtime: i32,
	i_dtime: u32,
	i_gid: u16,
	i_links_count: u16,
	i_blocks_lo: u32,
	i_flags: u32,
	l_i_version: u32,
	/** A block map, the root of an extent tree, the target of a short link, or the file's own first bytes. */
	i_block: bytes(60),
	i_generation: u32,
	i_file_acl_lo: u32,
	i_size_high: u32,
	i_obso_faddr: u32,
	l_i_blocks_high: u16,
	l_i_file_acl_high: u16,
	l_i_uid_high: u16,
	l_i_gid_high: u16,
	l_i_checksum_lo: u16,
	l_i_reserved: u16,
});

/** What follows {@link Inode} in larger inodes; `i_extra_isize` says how many of these bytes, itself included, are in use. */
export const InodeExtra = struct("ext inode, extra fields", "little", {
	i_extra_isize: u16,
	i_checksum_hi: u16,
	i_ctime_extra: u32,
	i_mtime_extra: u32,
});

export const InodeFlag = {
	ENCRYPT: 0x800,
	/** `i_blocks` counts blocks, not units of 512 bytes. */
	HUGE_FILE: 0x40000,
	EXTENTS: 0x80000,
	INLINE_DATA: 0x10000000,
} as const;

/** https://docs.kernel.org/filesystems/ext4/special_inodes.html */
export const ROOT_INODE = 2;

/** https://docs.kernel.org/filesystems/ext4/ifork.html#extent-tree */
export const ExtentHeader = struct("ext extent header", "little", {
	eh_magic: u16,
	eh_entries: u16,
	eh_max: u16,
	/** 0 in leaves. */
	eh_depth: u16,
	eh_generation: u32,
});

export const ExtentIndex = struct("ext extent index", "little", {
	/** The first logical block that the subtree covers. */
	ei_block: u32,
	ei_leaf_lo: u32,
	ei_leaf_hi: u16,
	ei_unused: u16,
});

export const Extent = struct("ext extent", "little", {
	ee_block: u32,
	/** In blocks; above {@link EXTENT_INITIALISED} the blocks are allocated but read as zero. */
	ee_len: u16,
	ee_start_hi: u16,
	ee_start_lo: u32,
});

export const EXTENT_MAGIC = 0xf30a;
export const EXTENT_INITIALISED = 0x8000;
export const EXTENT_DEEPEST = 5;

/** What precedes a name in a directory: https://docs.kernel.org/filesystems/ext4/directory.html#linear-classic-directories */
export const DirectoryEntryHeader = struct("ext directory entry", "little", {
	/** 0 in an entry that was deleted, or that only hides a checksum or an index. */
	inode: u32,
	rec_len: u16,
	name_len: u8,
	/** Without the FILETYPE feature the upper byte of `name_len`, always 0. */
	file_type: u8,
});

/** https://docs.kernel.org/filesystems/ext4/attributes.html */
export const AttributeEntry = struct("ext attribute entry", "little", {
	e_name_len: u8,
	e_name_index: u8,
	/** Inside an inode: counted from the first entry. */
	e_value_offs: u16,
	e_value_inum: u32,
	e_value_size: u32,
	e_hash: u32,
});

export const ATTRIBUTES_MAGIC = 0xea020000;

/** Begins a block of attributes; in an inode only the magic number stands before them. */
export const AttributeBlock = struct("ext attribute block", "little", {
	h_magic: u32,
	/** Number of inodes that share the block. */
	h_refcount: u32,
	h_blocks: u32,
	h_hash: u32,
	h_checksum: u32,
	h_reserved: array(u32, 3),
});

export type SuperblockFields = Value<typeof Superblock>;
export type InodeFields = Value<typeof Inode>;
