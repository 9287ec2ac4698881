import { bytes, type Field, flags64, struct, u8, u16, u32, u64, uuid, type Value } from "../../bytes/struct.js";

/**
 * A 64-bit number of a key. Ids and offsets at the top of the range are what the specification writes as negative, so
 * the value is signed: exact to 2^53 either side of zero, rounded in between, where no key that is looked for lies.
 */
const keyNumber: Field<number> = {
	size: 8,
	get: (view, at) => view.getInt32(at + 4, true) * 2 ** 32 + view.getUint32(at, true),
	set: (view, at, value) => view.setBigInt64(at, BigInt(value), true),
};

/** https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#key-btrfs-disk-key */
export const DiskKey = struct("Btrfs key", "little", { objectid: keyNumber, type: u8, offset: keyNumber });
export type Key = Readonly<Value<typeof DiskKey>>;

/** https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#dev-item-d8 */
const DevItem = struct("Btrfs device item", "little", {
	devid: u64,
	total_bytes: u64,
	bytes_used: u64,
	io_align: u32,
	io_width: u32,
	sector_size: u32,
	type: flags64,
	generation: u64,
	start_offset: u64,
	dev_group: u32,
	seek_speed: u8,
	bandwidth: u8,
	uuid,
	fsid: uuid,
});

/** https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#superblock */
export const Superblock = struct("Btrfs superblock", "little", {
	csum: bytes(32),
	fsid: uuid,
	bytenr: u64,
	flags: flags64,
	magic: bytes(8),
	generation: u64,
	root: u64,
	chunk_root: u64,
	log_root: u64,
	log_root_transid: flags64,
	total_bytes: u64,
	bytes_used: u64,
	root_dir_objectid: u64,
	num_devices: u64,
	sectorsize: u32,
	nodesize: u32,
	leafsize: u32,
	stripesize: u32,
	sys_chunk_array_size: u32,
	chunk_root_generation: u64,
	compat_flags: flags64,
	compat_ro_flags: flags64,
	incompat_flags: flags64,
	csum_type: u16,
	root_level: u8,
	chunk_root_level: u8,
	log_root_level: u8,
	dev_item: DevItem.field,
	label: bytes(256),
	cache_generation: flags64,
	uuid_tree_generation: flags64,
	metadata_uuid: uuid,
	reserved: bytes(224),
	sys_chunk_array: bytes(2048),
	super_roots: bytes(672),
	unused: bytes(565),
});
export type SuperblockFields = Readonly<Value<typeof Superblock>>;

/** Byte offsets of the superblock and its copies; what lies behind the end of the device is not there. */
export const SUPERBLOCKS_AT = [64 * 2 ** 10, 64 * 2 ** 20, 256 * 2 ** 30] as const;
export const SUPERBLOCK_MAGIC = "_BHRfS_M";

/** Features that a reader must know, by bit. https://btrfs.readthedocs.io/en/latest/dev/dev-btrfs-design.html */
export const incompatFeatures = [
	"MIXED_BACKREF",
	"DEFAULT_SUBVOL",
	"MIXED_GROUPS",
	"COMPRESS_LZO",
	"COMPRESS_ZSTD",
	"BIG_METADATA",
	"EXTENDED_IREF",
	"RAID56",
	"SKINNY_METADATA",
	"NO_HOLES",
	"METADATA_UUID",
	"RAID1C34",
	"ZONED",
	"EXTENT_TREE_V2",
	"RAID_STRIPE_TREE",
	undefined,
	"SIMPLE_QUOTA",
] as const;

/** https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#header-btrfs-header */
export const Header = struct("Btrfs node header", "little", {
	csum: bytes(32),
	fsid: uuid,
	bytenr: u64,
	flags: flags64,
	chunk_tree_uuid: uuid,
	generation: u64,
	owner: keyNumber,
	nritems: u32,
	level: u8,
});

/** An entry of an inner node. https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#internal-node */
export const KeyPtr = struct("Btrfs key pointer", "little", { key: DiskKey.field, blockptr: u64, generation: u64 });

/** An entry of a leaf; `offset` counts from the end of the header. */
export const Item = struct("Btrfs item", "little", { key: DiskKey.field, offset: u32, size: u32 });

/** Levels count from 0, the leaves. */
export const HIGHEST_LEVEL = 7;

export const KeyType = {
	INODE_ITEM: 1,
	INODE_REF: 12,
	INODE_EXTREF: 13,
	XATTR_ITEM: 24,
	/** Only in a log: its offset and the {@link DirLog} tell which indexes of a directory are all in the log. */
	DIR_LOG_INDEX: 72,
	DIR_ITEM: 84,
	DIR_INDEX: 96,
	EXTENT_DATA: 108,
	EXTENT_CSUM: 128,
	ROOT_ITEM: 132,
	ROOT_REF: 156,
	CHUNK_ITEM: 228,
} as const;

/** Ids that are fixed. https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#reserved-objectids */
export const ObjectId = {
	FS_TREE: 5,
	CSUM_TREE: 7,
	FIRST_FREE: 256,
	FIRST_CHUNK_TREE: 256,
	TREE_LOG: -6,
	EXTENT_CSUM: -10,
} as const;

/** `num_stripes` of {@link Stripe} follow. https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#chunk-item-e4 */
export const Chunk = struct("Btrfs chunk", "little", {
	length: u64,
	owner: u64,
	stripe_len: u64,
	type: flags64,
	io_align: u32,
	io_width: u32,
	sector_size: u32,
	num_stripes: u16,
	sub_stripes: u16,
});
export const Stripe = struct("Btrfs stripe", "little", { devid: u64, offset: u64, dev_uuid: uuid });

/** In the type of chunks that the contents of files may be in. */
export const DATA = 1n;

/** How a chunk lies on devices, by bit of its type. Without any it is SINGLE. */
export const Profile = {
	RAID0: 0x8n,
	RAID1: 0x10n,
	DUP: 0x20n,
	RAID10: 0x40n,
	RAID5: 0x80n,
	RAID6: 0x100n,
	RAID1C3: 0x200n,
	RAID1C4: 0x400n,
} as const;

const Time = struct("Btrfs time", "little", { sec: keyNumber, nsec: u32 });

/** https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#inode-item-01 */
export const InodeItem = struct("Btrfs inode", "little", {
	generation: flags64,
	transid: flags64,
	size: u64,
	nbytes: flags64,
	block_group: flags64,
	nlink: u32,
	uid: u32,
	gid: u32,
	mode: u32,
	rdev: flags64,
	flags: flags64,
	sequence: flags64,
	reserved: bytes(32),
	atime: Time.field,
	ctime: Time.field,
	mtime: Time.field,
	otime: Time.field,
});
export type InodeFields = Readonly<Value<typeof InodeItem>>;

/** The data of the file have no checksums. */
export const INODE_NODATASUM = 1n;

/** What all kernels wrote of it. https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#root-item-84 */
export const RootItem = struct("Btrfs root item", "little", {
	inode: InodeItem.field,
	generation: u64,
	root_dirid: u64,
	bytenr: u64,
	byte_limit: flags64,
	bytes_used: flags64,
	last_snapshot: flags64,
	flags: flags64,
	refs: u32,
	drop_progress: DiskKey.field,
	drop_level: u8,
	level: u8,
});

/** `name_len` bytes follow. https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#root-ref-9c */
export const RootRef = struct("Btrfs root reference", "little", { dirid: u64, sequence: u64, name_len: u16 });

/** The name and `data_len` bytes follow. https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#dir-item-54 */
export const DirItem = struct("Btrfs directory item", "little", {
	location: DiskKey.field,
	transid: flags64,
	data_len: u16,
	name_len: u16,
	type: u8,
});

/** A name of an inode in the directory that is the offset of the key; `name_len` bytes follow. */
export const InodeRef = struct("Btrfs inode reference", "little", { index: u64, name_len: u16 });
/** The same where there is no room among the {@link InodeRef}; the offset of the key is a hash. */
export const InodeExtref = struct("Btrfs extended inode reference", "little", {
	parent: u64,
	index: u64,
	name_len: u16,
});

/** https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#dir-log-index-48 */
export const DirLog = struct("Btrfs range of a logged directory", "little", { end: keyNumber });

/** https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#extent-data-6c; inline data follow. */
export const FileExtent = struct("Btrfs file extent", "little", {
	generation: flags64,
	ram_bytes: u64,
	compression: u8,
	encryption: u8,
	other_encoding: u16,
	type: u8,
});
/** The rest of a {@link FileExtent} that is not inline. */
export const FileExtentPlace = struct("Btrfs file extent", "little", {
	disk_bytenr: u64,
	disk_num_bytes: u64,
	offset: u64,
	num_bytes: u64,
});
export const FileExtentType = { INLINE: 0, REGULAR: 1, PREALLOCATED: 2 } as const;
