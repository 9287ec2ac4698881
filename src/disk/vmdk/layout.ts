/**
 * Binary layouts of VMDK, in the names and order of VMware's technical note "Virtual Disk Format 5.0":
 * https://www.vmware.com/app/vmdk/?src=vmdk (copy: https://www.scribd.com/document/464037297/vmdk-50-technote-pdf).
 * All offsets and sizes in them count sectors of 512 bytes unless said otherwise.
 */
import { array, bytes, flags64, struct, text, u8, u16, u32, u64, type Value } from "../../bytes/struct.js";

export const SECTOR = 512;

/** Hosted Sparse Extents: the header, one sector; its copy near the end of a streamOptimized extent is the footer. */
export const SparseExtentHeader = struct("VMDK sparse extent header", "little", {
	magicNumber: u32,
	version: u32,
	flags: u32,
	capacity: u64,
	grainSize: u64,
	descriptorOffset: u64,
	descriptorSize: u64,
	numGTEsPerGT: u32,
	rgdOffset: flags64,
	gdOffset: flags64,
	overHead: u64,
	uncleanShutdown: u8,
	singleEndLineChar: u8,
	nonEndLineChar: u8,
	doubleEndLineChar1: u8,
	doubleEndLineChar2: u8,
	compressAlgorithm: u16,
	pad: bytes(433),
});

export type HostedHeader = Value<typeof SparseExtentHeader>;

/** Bits of {@link SparseExtentHeader}'s `flags`. */
export const FLAG = {
	newLineTest: 1 << 0,
	redundantGrainTable: 1 << 1,
	zeroedGrain: 1 << 2,
	compressed: 1 << 16,
	markers: 1 << 17,
} as const;

/** `gdOffset` of a stream that did not know yet where its grain directory would go: the footer says. */
export const GD_AT_END = 0xffff_ffff_ffff_ffffn;
export const COMPRESSION_DEFLATE = 1;

/** What the four end-of-line characters of the header have to be: text-mode transfers spoil them. */
export const NEW_LINE_TEST = {
	singleEndLineChar: 0x0a,
	nonEndLineChar: 0x20,
	doubleEndLineChar1: 0x0d,
	doubleEndLineChar2: 0x0a,
} as const;

/** `numGTEsPerGT` of every hosted sparse extent. */
export const ENTRIES_PER_TABLE = 512;
/** Most entries of a grain directory. */
export const DIRECTORY_LIMIT = 2 ** 22;
/** VMware's largest disk has 62 TiB. */
export const CAPACITY_LIMIT = 2 ** 46;
/** A grain table entry of 1 where {@link FLAG.zeroedGrain} is set; 0 is a grain that was never written. */
export const GTE_ZEROED = 1;

/** Stream-Optimized Compressed: in front of each grain; `val` is its LBA, `size` the bytes of zlib data that follow. */
export const GrainMarker = struct("VMDK grain marker", "little", { val: u64, size: u32 });

/** Stream-Optimized Compressed: in front of metadata; `val` is the sectors that follow it, `size` is 0. */
export const MetadataMarker = struct("VMDK metadata marker", "little", {
	val: u64,
	size: u32,
	type: u32,
	pad: bytes(496),
});

export const MARKER = { endOfStream: 0, grainTable: 1, grainDirectory: 2, footer: 3 } as const;

/** ESXi Host Sparse Extents: the header, four sectors. A root has its geometry where a child has `parentFileName`. */
export const CowdHeader = struct("COWD header", "little", {
	magicNumber: u32,
	version: u32,
	flags: u32,
	numSectors: u32,
	grainSize: u32,
	gdOffset: u32,
	numGDEntries: u32,
	freeSector: u32,
	parentFileName: text(1024),
	parentGeneration: u32,
	generation: u32,
	name: text(60),
	description: text(512),
	savedGeneration: u32,
	reserved: bytes(8),
	uncleanShutdown: u32,
	padding: bytes(396),
});

/** Entries in a grain table of COWD, which has no field for it. */
export const COWD_ENTRIES_PER_TABLE = 4096;

/** A region of a space-efficient sparse extent. */
const region = struct("seSparse region", "little", { offset: u64, size: u64 }).field;

/**
 * Space-efficient sparse extents are not in the technical note; what is known of them:
 * https://github.com/qemu/qemu/blob/master/block/vmdk.c (VMDKSESparseConstHeader). The header, one sector.
 */
export const SeSparseHeader = struct("seSparse header", "little", {
	magic: flags64,
	version: flags64,
	capacity: u64,
	grainSize: u64,
	grainTableSize: u64,
	flags: flags64,
	reserved: array(flags64, 4),
	volatileHeader: region,
	journalHeader: region,
	journal: region,
	grainDirectory: region,
	grainTables: region,
	freeBitmap: region,
	backmap: region,
	grains: region,
	pad: bytes(304),
});

/** The part of an seSparse header that changes while the disk is in use; one sector. */
export const SeSparseVolatileHeader = struct("seSparse volatile header", "little", {
	magic: flags64,
	freeGTNumber: flags64,
	nextTxnSeqNumber: flags64,
	replayJournal: flags64,
	pad: bytes(480),
});

export const SESPARSE_VERSION = 0x2_0000_0001n;
export const SESPARSE_VOLATILE_MAGIC = 0xcafecafen;
/** Sectors of a grain and of a grain table: the only sizes there are. */
export const SESPARSE_GRAIN_SECTORS = 8;
export const SESPARSE_TABLE_SECTORS = 64;

/** The upper half of a directory entry that has a grain table; the lower half is the table's index. */
export const SESPARSE_TABLE_ALLOCATED = 0x1000_0000;
/** The uppermost four bits of a grain table entry; `unmapped` is what the guest discarded. */
export const SESPARSE_GRAIN = { absent: 0, unmapped: 1, zero: 2, allocated: 3 } as const;
