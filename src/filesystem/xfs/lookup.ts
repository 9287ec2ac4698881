import { viewOf } from "../../bytes/struct.js";
import type { BlockMap } from "../mapped.js";
import { isSound } from "./checksum.js";
import { type Entry, readDataBlock } from "./directory.js";
import { mapOf } from "./extents.js";
import type { Inode } from "./inode.js";
import { IndexEntry, IndexHeader, IndexHeaderCrc, IndexMagic, LEAF_AT } from "./layout.js";
import { corrupt } from "./superblock.js";
import { readMapped, type XfsVolume } from "./volume.js";

/** More levels than the largest directory needs, and more leaves than share a hash. */
const DEEPEST = 5;
const MOST_LEAVES = 64;

/** A leaf of a directory's index, or a node above leaves. */
interface IndexBlock {
	readonly isLeaf: boolean;
	/** Number of entries, sorted by hash. */
	readonly count: number;
	readonly level: number;
	/** The next block of the same level; 0 after the last one. */
	readonly next: number;
	readonly entry: (i: number) => { readonly hashval: number; readonly address: number };
}

/**
 * Finds a name through the index of a directory, which is a tree sorted by the names' hashes:
 * https://git.kernel.org/pub/scm/fs/xfs/xfs-documentation.git/tree/design/XFS_Filesystem_Structure/directories.asciidoc
 */
export async function lookUp(volume: XfsVolume, inode: Inode, name: string): Promise<Entry | undefined> {
	const { blockSize, directoryBlockSize } = volume.parameters;
	const hash = hashOf(new TextEncoder().encode(name));
	const map = mapOf(volume, inode);
	let block = await readIndex(volume, inode, map, LEAF_AT / blockSize);
	for (let depth = 0; !block.isLeaf; depth++) {
		const i = firstFrom(block, hash);
		if (i === block.count) return undefined;
		const child = await readIndex(volume, inode, map, block.entry(i).address);
		if (depth === DEEPEST || (child.isLeaf ? 0 : child.level) !== block.level - 1) {
			throw corrupt(volume.name, inode.at, `the index of the directory with inode ${inode.number} is no tree`);
		}
		block = child;
	}
	for (let leaves = 0; leaves < MOST_LEAVES; leaves++) {
		for (let i = firstFrom(block, hash); i < block.count; i++) {
			const { hashval, address } = block.entry(i);
			if (hashval !== hash) return undefined;
			// Deleted.
			if (address === 0) continue;
			const at = Math.floor((address * 8) / directoryBlockSize) * directoryBlockSize;
			const found = (await readDataBlock(volume, inode, map, at)).find((entry) => entry.name === name);
			if (found !== undefined) return found;
		}
		if (block.next === 0) return undefined;
		block = await readIndex(volume, inode, map, block.next);
		if (!block.isLeaf) throw corrupt(volume.name, inode.at, "the leaves of a directory's index lead to something else");
	}
	return undefined;
}

/** The first entry whose hash is `hash` or larger. */
function firstFrom({ count, entry }: IndexBlock, hash: number): number {
	let low = 0;
	for (let high = count; low < high; ) {
		const middle = (low + high) >>> 1;
		if (entry(middle).hashval < hash) low = middle + 1;
		else high = middle;
	}
	return low;
}

async function readIndex(volume: XfsVolume, inode: Inode, map: BlockMap, logical: number): Promise<IndexBlock> {
	const { checksums, directoryBlockSize } = volume.parameters;
	const read = await readMapped(volume, map, logical, directoryBlockSize);
	if (read === undefined) throw corrupt(volume.name, inode.at, `block ${logical} of a directory's index is missing`);
	const { bytes, at, newer } = read;
	const layout = checksums ? IndexHeaderCrc : IndexHeader;
	const { magic, forw, count, level } = layout.parse(bytes, 0, volume.name, at);
	const leaves: readonly number[] = checksums
		? [IndexMagic.LEAF1_CRC, IndexMagic.LEAFN_CRC]
		: [IndexMagic.LEAF1, IndexMagic.LEAFN];
	const isLeaf = leaves.includes(magic);
	const fault = (what: string) => corrupt(volume.name, at, `a block of a directory's index ${what}`);
	if (!isLeaf && magic !== (checksums ? IndexMagic.NODE_CRC : IndexMagic.NODE)) throw fault("is something else");
	if (layout.size + count * IndexEntry.size > bytes.length) throw fault(`claims ${count} entries`);
	if (checksums && !newer && !isSound(bytes, IndexHeaderCrc.offsets.crc)) throw fault("has a wrong checksum");
	const view = viewOf(bytes);
	const entry = (i: number) => IndexEntry.field.get(view, layout.size + i * IndexEntry.size, false);
	return { isLeaf, count, level, next: isLeaf ? forw : 0, entry };
}

const rotate = (value: number, by: number) => (value << by) | (value >>> (32 - by));

/** A name's hash, 0 to 2^32 - 1: seven bits for each byte, four bytes at a time. */
function hashOf(name: Uint8Array): number {
	let hash = 0;
	for (let at = 0; at < name.length; at += 4) {
		const part = name.subarray(at, at + 4);
		const bits = part.reduce((sum, byte) => (sum << 7) ^ byte, 0);
		hash = bits ^ rotate(hash, 7 * part.length);
	}
	return hash >>> 0;
}
