import { type BlockMap, type ExtentList, findRun } from "../mapped.js";
import { checkBlocks, type ExtVolume, readBlock } from "./blocks.js";
import { EXTENT_DEEPEST, EXTENT_INITIALISED, EXTENT_MAGIC, Extent, ExtentHeader, ExtentIndex } from "./layout.js";
import { corrupt } from "./superblock.js";

/** A node of the tree, and where its bytes stand on the volume. */
interface Node {
	readonly bytes: Uint8Array;
	readonly at: number;
	readonly depth: number;
	readonly entries: number;
}

/**
 * The block map of a file with extents: a tree, sorted by logical block, whose root is in the inode.
 * https://docs.kernel.org/filesystems/ext4/ifork.html#extent-tree
 *
 * @param root the inode's `i_block`
 * @param at where `root` stands on the volume
 */
export function extentMap(volume: ExtVolume, root: Uint8Array, at: number): BlockMap {
	/** Reading goes on where it was: most lookups need the leaf of the one before. */
	let recent: ExtentList | undefined;

	return async (logical, most) => {
		let leaf = recent;
		if (leaf === undefined || logical < leaf.from || logical >= leaf.to) {
			leaf = await findLeaf(volume, root, at, logical);
			recent = leaf;
		}
		return findRun(leaf, volume.parameters.blockSize, logical, most);
	};
}

async function findLeaf(volume: ExtVolume, root: Uint8Array, rootAt: number, logical: number): Promise<ExtentList> {
	let node = parseNode(volume, root, rootAt);
	let from = 0;
	let to = Number.POSITIVE_INFINITY;
	if (node.depth > EXTENT_DEEPEST) throw corrupt(volume.name, rootAt, `an extent tree is ${node.depth} levels deep`);
	while (node.depth > 0) {
		const { bytes, at, depth } = node;
		const index = (i: number) => ExtentIndex.parse(bytes, ExtentHeader.size + i * ExtentIndex.size, volume.name, at);
		// The last entry that begins at or before the wanted block; the first one also covers what comes before it.
		let low = 0;
		for (let high = node.entries - 1; low < high; ) {
			const middle = Math.ceil((low + high) / 2);
			if (index(middle).ei_block <= logical) low = middle;
			else high = middle - 1;
		}
		if (node.entries === 0) return { from, to, extents: [] };
		const { ei_block, ei_leaf_lo, ei_leaf_hi } = index(low);
		if (low > 0) from = Math.max(from, ei_block);
		if (low + 1 < node.entries) to = Math.min(to, index(low + 1).ei_block);
		const entryAt = at + ExtentHeader.size + low * ExtentIndex.size;
		if (logical < from || logical >= to) throw corrupt(volume.name, entryAt, "an extent tree is not sorted");
		const block = ei_leaf_lo + ei_leaf_hi * 2 ** 32;
		node = parseNode(volume, await readBlock(volume, block, entryAt), block * volume.parameters.blockSize, depth - 1);
	}
	return parseLeaf(volume, node, from, to);
}

/** @param depth what the parent says; it falls by one each level, so a tree cannot lead back into itself. */
function parseNode(volume: ExtVolume, bytes: Uint8Array, at: number, depth?: number): Node {
	const header = ExtentHeader.parse(bytes, 0, volume.name, at);
	const room = Math.floor((bytes.length - ExtentHeader.size) / Extent.size);
	if (
		header.eh_magic !== EXTENT_MAGIC ||
		header.eh_entries > Math.min(header.eh_max, room) ||
		(depth !== undefined && header.eh_depth !== depth)
	) {
		throw corrupt(volume.name, at, "this is not the extent tree node that it should be");
	}
	return { bytes, at, depth: header.eh_depth, entries: header.eh_entries };
}

function parseLeaf(volume: ExtVolume, node: Node, from: number, to: number): ExtentList {
	let end = 0;
	const extents = Array.from({ length: node.entries }, (_, i) => {
		const offset = ExtentHeader.size + i * Extent.size;
		const extent = Extent.parse(node.bytes, offset, volume.name, node.at);
		const initialised = extent.ee_len <= EXTENT_INITIALISED;
		const length = initialised ? extent.ee_len : extent.ee_len - EXTENT_INITIALISED;
		const block = extent.ee_start_lo + extent.ee_start_hi * 2 ** 32;
		if (length === 0 || extent.ee_block < end) {
			throw corrupt(volume.name, node.at + offset, "an extent is empty or overlaps the one before");
		}
		checkBlocks(volume, block, length, node.at + offset);
		end = extent.ee_block + length;
		return { from: extent.ee_block, to: end, at: initialised ? block * volume.parameters.blockSize : undefined };
	});
	return { from, to, extents };
}
