import { u32, viewOf } from "../../bytes/struct.js";
import type { BlockMap, Run } from "../mapped.js";
import { checkBlocks, type ExtVolume, readBlock } from "./blocks.js";
import { corrupt } from "./superblock.js";

const POINTER = u32.size;
const DIRECT = 12;

/** A block of pointers, or the inode's own fifteen, and where it stands on the volume. */
interface Pointers {
	readonly bytes: Uint8Array;
	readonly at: number;
	/** The logical block of the first pointer that is looked at. */
	readonly from: number;
	/** How many of the pointers lead to data. */
	readonly length: number;
}

/**
 * The block map of ext2 and ext3: twelve pointers to data, then one each to a block of pointers, to a block of such
 * blocks, and to a block of those. A pointer of 0 is a hole. https://docs.kernel.org/filesystems/ext4/blockmap.html
 *
 * @param root the inode's `i_block`
 * @param at where `root` stands on the volume
 */
export function blockMap(volume: ExtVolume, root: Uint8Array, at: number): BlockMap {
	/** Reading goes on where it was: most lookups need the block of pointers of the one before. */
	let recent: Pointers | undefined;

	return async (logical, most) => {
		if (logical < DIRECT) return findRun(volume, { bytes: root, at, from: 0, length: DIRECT }, logical, most);
		if (recent === undefined || logical < recent.from || logical >= recent.from + recent.length) {
			const found = await findPointers(volume, root, at, logical);
			if (!("bytes" in found)) return { at: undefined, count: Math.min(found.end - logical, most) };
			recent = found;
		}
		return findRun(volume, recent, logical, most);
	};
}

/** Descends to the block that holds the pointer of `logical`, or to the hole that it lies in, which goes up to `end`. */
async function findPointers(
	volume: ExtVolume,
	root: Uint8Array,
	rootAt: number,
	logical: number,
): Promise<Pointers | { end: number }> {
	const perBlock = volume.parameters.blockSize / POINTER;
	let from = DIRECT;
	let level = 1;
	while (logical >= from + perBlock ** level) {
		from += perBlock ** level;
		level++;
		if (level > 3) throw corrupt(volume.name, rootAt, `a file claims more blocks than its block map can hold`);
	}
	let bytes = root;
	let at = rootAt;
	for (let index = DIRECT + level - 1; level > 0; level--) {
		const span = perBlock ** level;
		const block = viewOf(bytes).getUint32(index * POINTER, true);
		if (block === 0) return { end: from + span };
		bytes = await readBlock(volume, block, at + index * POINTER);
		at = block * volume.parameters.blockSize;
		if (level === 1) break;
		index = Math.floor((logical - from) / (span / perBlock));
		from += index * (span / perBlock);
	}
	return { bytes, at, from, length: perBlock };
}

function findRun(volume: ExtVolume, pointers: Pointers, logical: number, most: number): Run {
	const view = viewOf(pointers.bytes);
	const pointer = (index: number) => view.getUint32(index * POINTER, true);
	const first = logical - pointers.from;
	const block = pointer(first);
	const limit = Math.min(pointers.length - first, most);
	let count = 1;
	while (count < limit && pointer(first + count) === (block === 0 ? 0 : block + count)) count++;
	if (block === 0) return { at: undefined, count };
	checkBlocks(volume, block, count, pointers.at + first * POINTER);
	return { at: block * volume.parameters.blockSize, count };
}
