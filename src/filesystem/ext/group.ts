import type { Value } from "../../bytes/struct.js";
import { type ExtVolume, readBlock } from "./blocks.js";
import { Compat, GroupDescriptor, GroupDescriptorHigh, Incompat, RoCompat, SUPERBLOCK_AT } from "./layout.js";
import type { ExtParameters } from "./superblock.js";

export interface Group {
	/** Byte offset of its descriptor. */
	readonly at: number;
	readonly low: Value<typeof GroupDescriptor>;
	/** Undefined in descriptors that have no room for it. */
	readonly high: Value<typeof GroupDescriptorHigh> | undefined;
}

export async function readGroup(volume: ExtVolume, group: number): Promise<Group> {
	const { blockSize, descriptorSize } = volume.parameters;
	const perBlock = blockSize / descriptorSize;
	const block = descriptorBlock(volume.parameters, Math.floor(group / perBlock));
	const bytes = await readBlock(volume, block, SUPERBLOCK_AT);
	const offset = (group % perBlock) * descriptorSize;
	const at = block * blockSize + offset;
	const hasHigh = descriptorSize >= GroupDescriptor.size + GroupDescriptorHigh.size;
	return {
		at,
		low: GroupDescriptor.parse(bytes, offset, volume.name, at),
		high: hasHigh ? GroupDescriptorHigh.parse(bytes, offset + GroupDescriptor.size) : undefined,
	};
}

/**
 * Where the nth block of group descriptors is: after the superblock, or, with META_BG, in the first of the groups that
 * it describes. https://docs.kernel.org/filesystems/ext4/overview.html#meta-block-groups
 */
function descriptorBlock({ fields, features, blockSize, descriptorSize }: ExtParameters, n: number): number {
	const superblockBlock = Math.floor(SUPERBLOCK_AT / blockSize);
	if (!(features.incompat & Incompat.META_BG) || n < fields.s_first_meta_bg) return superblockBlock + 1 + n;
	const group = n * (blockSize / descriptorSize);
	// With 1 KiB blocks the superblock is block 1, also where group 0 begins at block 0 (as it does with BIGALLOC).
	const before = group === 0 ? superblockBlock - fields.s_first_data_block : 0;
	const superblock = hasSuperblock(fields, features, group) ? 1 : 0;
	return group * fields.s_blocks_per_group + fields.s_first_data_block + before + superblock;
}

/** Whether `group` begins with a copy of the superblock: https://docs.kernel.org/filesystems/ext4/super.html */
function hasSuperblock(
	{ s_backup_bgs }: ExtParameters["fields"],
	{ compat, roCompat }: ExtParameters["features"],
	group: number,
): boolean {
	if (group === 0) return true;
	if (compat & Compat.SPARSE_SUPER2) return s_backup_bgs.includes(group);
	if (!(roCompat & RoCompat.SPARSE_SUPER) || group === 1) return true;
	return [3, 5, 7].some((base) => {
		let power = base;
		while (power < group) power *= base;
		return power === group;
	});
}
