import { crc32cRaw } from "../../bytes/checksum/index.js";
import { type AnyvisorError, damaged, unsupported } from "../../bytes/errors.js";
import { type ByteSource, readBytes } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import {
	Compat,
	GroupDescriptor,
	Incompat,
	Inode,
	RoCompat,
	SUPERBLOCK_AT,
	SUPERBLOCK_MAGIC,
	Superblock,
	type SuperblockFields,
} from "./layout.js";

/** What the superblock says, checked: every size is in its range, and nothing is needed that cannot be read. */
export interface ExtParameters {
	readonly fields: SuperblockFields;
	/** The feature words; none in revision 0. */
	readonly features: { readonly compat: number; readonly incompat: number; readonly roCompat: number };
	/** In bytes, 1024 to 65536. */
	readonly blockSize: number;
	/** Number of blocks. */
	readonly blocks: number;
	readonly groups: number;
	readonly inodes: number;
	/** In bytes, 128 to the block size. */
	readonly inodeSize: number;
	/** Of a group descriptor, in bytes: 32 or more. */
	readonly descriptorSize: number;
}

/** "damaged", at a byte of the file system, with the way out. */
export const corrupt = (name: string, offset: number, fault: string): AnyvisorError =>
	damaged(`${name}: ${fault}`, { file: name, offset, hint: 'Run "e2fsck -f" on a copy of this file system.' });

/**
 * Reads the superblock; `undefined` where there is none. Damaged where it contradicts itself, unsupported where it says
 * that its file system cannot be understood without a feature that is missing here.
 */
export async function readSuperblock(volume: ByteSource): Promise<ExtParameters | undefined> {
	if (volume.size < SUPERBLOCK_AT + Superblock.size) return undefined;
	const bytes = await readBytes(volume, SUPERBLOCK_AT, Superblock.size);
	if (viewOf(bytes).getUint16(Superblock.offsets.s_magic, true) !== SUPERBLOCK_MAGIC) return undefined;
	const fields = Superblock.parse(bytes, 0, volume.name, SUPERBLOCK_AT);
	const dynamic = fields.s_rev_level > 0;
	const features = {
		compat: dynamic ? fields.s_feature_compat : 0,
		incompat: dynamic ? fields.s_feature_incompat : 0,
		roCompat: dynamic ? fields.s_feature_ro_compat : 0,
	};
	if (features.roCompat & RoCompat.METADATA_CSUM) checkSum(volume.name, bytes, fields);
	checkFeatures(volume.name, features.incompat);

	const fault = (what: string) => corrupt(volume.name, SUPERBLOCK_AT, `the ext superblock claims ${what}`);
	if (fields.s_log_block_size > 6) throw fault(`blocks of 2^${10 + fields.s_log_block_size} bytes`);
	const blockSize = 1024 * 2 ** fields.s_log_block_size;
	const wide = (features.incompat & Incompat["64BIT"]) !== 0;
	const blocks = fields.s_blocks_count_lo + (wide ? fields.s_blocks_count_hi * 2 ** 32 : 0);
	if (!Number.isSafeInteger(blocks * blockSize)) throw fault(`${blocks} blocks`);
	if (fields.s_first_data_block >= blocks) throw fault(`no blocks beyond its first data block`);
	const inodeSize = dynamic ? fields.s_inode_size : Inode.size;
	if (!isPowerOfTwo(inodeSize) || inodeSize < Inode.size || inodeSize > blockSize) {
		throw fault(`inodes of ${inodeSize} bytes`);
	}
	const descriptorSize = wide ? fields.s_desc_size : GroupDescriptor.size;
	if (!isPowerOfTwo(descriptorSize) || descriptorSize < GroupDescriptor.size || descriptorSize > 1024) {
		throw fault(`group descriptors of ${descriptorSize} bytes`);
	}
	if (fields.s_blocks_per_group === 0) throw fault("groups without blocks");
	// The inodes in use of a group are marked in one block.
	const inodesPerGroup = fields.s_inodes_per_group;
	if (inodesPerGroup === 0 || inodesPerGroup > blockSize * 8) throw fault(`${inodesPerGroup} inodes in a group`);
	const groups = Math.ceil((blocks - fields.s_first_data_block) / fields.s_blocks_per_group);
	const inodes = Math.min(fields.s_inodes_count, groups * inodesPerGroup);
	return { fields, features, blockSize, blocks, groups, inodes, inodeSize, descriptorSize };
}

const isPowerOfTwo = (value: number) => value > 0 && (value & (value - 1)) === 0;

function checkSum(name: string, bytes: Uint8Array, { s_checksum }: SuperblockFields) {
	if (crc32cRaw(0xffffffff, bytes.subarray(0, Superblock.offsets.s_checksum)) === s_checksum) return;
	throw corrupt(name, SUPERBLOCK_AT, "the checksum of the ext superblock is wrong");
}

/** DIRDATA belongs to Lustre; a file system with JOURNAL_DEV holds no files, only another one's journal. */
const unreadable = [Incompat.COMPRESSION, Incompat.JOURNAL_DEV, Incompat.DIRDATA];

function checkFeatures(name: string, incompat: number) {
	let unknown = incompat;
	for (const [feature, bit] of Object.entries(Incompat)) {
		unknown &= ~bit;
		if (incompat & bit && unreadable.some((one) => one === bit)) throw unreadableFeature(name, feature);
	}
	if (unknown !== 0) throw unreadableFeature(name, `0x${(unknown >>> 0).toString(16)}`);
}

const unreadableFeature = (name: string, feature: string) =>
	unsupported(`${name}: this ext file system needs the feature ${feature}, which Anyvisor cannot read`, {
		file: name,
		offset: SUPERBLOCK_AT + Superblock.offsets.s_feature_incompat,
	});

/** `ext2`, `ext3` or `ext4`, told apart as libblkid does: by what the older drivers would not understand. */
export function kindOf({ features: { compat, incompat, roCompat } }: ExtParameters): "ext2" | "ext3" | "ext4" {
	const ext2 = Incompat.FILETYPE | Incompat.META_BG;
	const ext2RoCompat = RoCompat.SPARSE_SUPER | RoCompat.LARGE_FILE | RoCompat.BTREE_DIR;
	if (roCompat & ~ext2RoCompat || incompat & ~(ext2 | Incompat.RECOVER)) return "ext4";
	if (compat & Compat.HAS_JOURNAL) return "ext3";
	return incompat & Incompat.RECOVER ? "ext4" : "ext2";
}

/** Free bytes, as the superblock counts them; never more than there are. */
export function freeBytes({ fields, features, blockSize, blocks }: ExtParameters): number {
	const high = features.incompat & Incompat["64BIT"] ? fields.s_free_blocks_count_hi * 2 ** 32 : 0;
	return Math.min(fields.s_free_blocks_count_lo + high, blocks) * blockSize;
}
