import { array, bytes, flags64, i32, struct, text, u8, u16, u32, u64 } from "../../bytes/struct.js";

// https://raid.wiki.kernel.org/index.php/RAID_superblock_formats, with the names that it gives

/** All offsets and sizes that are in sectors are in these. */
export const SECTOR = 512;
export const MAGIC = 0xa92b4efc;

/** Versions 1.0, 1.1 and 1.2, which differ in where it stands. The roles of the members, two bytes each, follow. */
export const Superblock1 = struct("md superblock", "little", {
	magic: u32,
	major_version: u32,
	feature_map: u32,
	pad0: u32,
	set_uuid: bytes(16),
	/** `host:name` or `name`. */
	set_name: text(32),
	ctime: flags64,
	level: i32,
	layout: u32,
	/** Sectors of each member that are used, in levels where all are used alike. */
	size: u64,
	/** Sectors. */
	chunksize: u32,
	raid_disks: u32,
	bitmap_offset: u32,
	new_level: i32,
	reshape_position: flags64,
	delta_disks: i32,
	new_layout: u32,
	new_chunk: u32,
	new_offset: u32,
	/** Where the data begins on this member, in sectors; and how many it has. */
	data_offset: u64,
	data_size: u64,
	/** Where this superblock stands, in sectors. */
	super_offset: u64,
	recovery_offset: flags64,
	/** Index into the roles. */
	dev_number: u32,
	cnt_corrected_read: u32,
	device_uuid: bytes(16),
	devflags: u8,
	bblog_shift: u8,
	bblog_size: u16,
	bblog_offset: u32,
	utime: flags64,
	/** Counts the changes; a member that was left out has fewer. */
	events: u64,
	resync_offset: flags64,
	sb_csum: u32,
	/** How many roles follow. */
	max_dev: u32,
	pad3: bytes(32),
});

export const Feature = {
	RECOVERY_OFFSET: 2,
	RESHAPE_ACTIVE: 4,
	REPLACEMENT: 16,
	JOURNAL: 512,
	RAID0_LAYOUT: 4096,
} as const;

/** A superblock and its roles fit these many bytes. */
export const SUPERBLOCK_BYTES = 4096;
export const MOST_ROLES = (SUPERBLOCK_BYTES - Superblock1.size) / 2;
/** Roles from here on are none: a journal, a faulty member, a spare. */
export const FIRST_NO_ROLE = 0xfffd;

const Descriptor = struct("md member descriptor", "little", {
	number: u32,
	major: u32,
	minor: u32,
	raid_disk: u32,
	state: u32,
	reserved: array(u32, 27),
});

/** Version 0.90, in the byte order of the machine, of which little-endian is read. */
export const Superblock0 = struct("md superblock of version 0.90", "little", {
	md_magic: u32,
	major_version: u32,
	minor_version: u32,
	patch_version: u32,
	gvalid_words: u32,
	set_uuid0: u32,
	ctime: u32,
	level: i32,
	/** KiB of each member that are used; 32 bits were enough. */
	size: u32,
	nr_disks: u32,
	raid_disks: u32,
	md_minor: u32,
	not_persistent: u32,
	set_uuid123: array(u32, 3),
	gstate_creserved: array(u32, 16),
	utime: u32,
	state: u32,
	active_disks: u32,
	working_disks: u32,
	failed_disks: u32,
	spare_disks: u32,
	sb_csum: u32,
	events_lo: u32,
	events_hi: u32,
	cp_events_lo: u32,
	cp_events_hi: u32,
	recovery_cp: u32,
	reshape_position: flags64,
	new_level: i32,
	delta_disks: i32,
	new_layout: u32,
	new_chunk: u32,
	gstate_sreserved: array(u32, 14),
	layout: u32,
	/** Bytes. */
	chunk_size: u32,
	root_pv: u32,
	root_block: u32,
	pstate_reserved: array(u32, 60),
	disks: array(Descriptor.field, 27),
	this_disk: Descriptor.field,
});

/** Bits of a descriptor's state. */
export const MemberState = { FAULTY: 1, ACTIVE: 2, SYNC: 4 } as const;
/** Of the state of an array of version 0.90: it was stopped, and all members fit each other. */
export const CLEAN = 1;
/** The minor version that says that the array is being reshaped. */
export const RESHAPING_MINOR = 91;
