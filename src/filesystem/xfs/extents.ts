import { readBytes } from "../../bytes/source.js";
import { u64, viewOf } from "../../bytes/struct.js";
import { type BlockMap, type Extent, type ExtentList, findRun } from "../mapped.js";
import { isSound } from "./checksum.js";
import type { Fork, Inode } from "./inode.js";
import {
	BMAP_CRC_MAGIC,
	BMAP_DEEPEST,
	BMAP_MAGIC,
	BmapBlock,
	BmapBlockCrc,
	BmapRoot,
	ExtentRecord,
	Format,
} from "./layout.js";
import { corrupt } from "./superblock.js";
import { blockAt, type XfsVolume } from "./volume.js";

/** A node of the tree: keys and pointers, each as many as have room. */
interface Node {
	readonly bytes: Uint8Array;
	/** Where `bytes` stand on the volume. */
	readonly at: number;
	readonly level: number;
	readonly count: number;
	/** Length of the header. */
	readonly start: number;
}

/** Where the blocks of a fork of `inode` are: a list of extents, or a tree of them where they do not fit the inode. */
export function mapOf(volume: XfsVolume, inode: Inode, fork = inode.fork): BlockMap {
	const { number } = inode;
	const { extents } = fork;
	/** Reading goes on where it was: most lookups need the leaf of the one before. */
	let recent: ExtentList | undefined;
	if (fork.format === Format.EXTENTS) {
		if (extents > BigInt(Math.floor(fork.bytes.length / ExtentRecord.size))) {
			throw corrupt(volume.name, inode.at, `inode ${number} claims ${extents} extents, which do not fit`);
		}
		const parsed = parseExtents(volume, fork.bytes, fork.at, Number(extents));
		recent = { from: 0, to: Number.POSITIVE_INFINITY, extents: parsed };
	} else if (fork.format !== Format.BTREE) {
		throw corrupt(volume.name, inode.at, `inode ${number} has no extents, but should`);
	}

	return async (logical, most) => {
		if (recent === undefined || logical < recent.from || logical >= recent.to) {
			recent = await findLeaf(volume, number, fork, logical);
		}
		return findRun(recent, volume.parameters.blockSize, logical, most);
	};
}

async function findLeaf(volume: XfsVolume, number: number, fork: Fork, logical: number): Promise<ExtentList> {
	const root = BmapRoot.parse(fork.bytes, 0, volume.name, fork.at);
	let node: Node = { ...fork, level: root.bb_level, count: root.bb_numrecs, start: BmapRoot.size };
	if (node.level === 0 || node.level > BMAP_DEEPEST) {
		throw corrupt(volume.name, fork.at, `the extent tree of inode ${number} is ${node.level} levels deep`);
	}
	let from = 0;
	let to = Number.POSITIVE_INFINITY;
	while (node.level > 0) {
		const { bytes, at, count, start } = node;
		const room = Math.floor((bytes.length - start) / (2 * u64.size));
		if (count === 0 || count > room) throw corrupt(volume.name, at, `an extent tree node has ${count} entries`);
		const view = viewOf(bytes);
		const key = (i: number) => u64.get(view, start + i * u64.size, false);
		// The last entry that begins at or before the wanted block; the first one also covers what comes before it.
		let low = 0;
		for (let high = count - 1; low < high; ) {
			const middle = Math.ceil((low + high) / 2);
			if (key(middle) <= logical) low = middle;
			else high = middle - 1;
		}
		if (low > 0) from = Math.max(from, key(low));
		if (low + 1 < count) to = Math.min(to, key(low + 1));
		const entryAt = start + (room + low) * u64.size;
		if (logical < from || logical >= to) throw corrupt(volume.name, at, "an extent tree is not sorted");
		node = await readNode(volume, u64.get(view, entryAt, false), at + entryAt, node.level - 1);
	}
	const { bytes, at, count, start } = node;
	if (count > (bytes.length - start) / ExtentRecord.size) {
		throw corrupt(volume.name, at, `an extent tree leaf has ${count} entries`);
	}
	return { from, to, extents: parseExtents(volume, bytes.subarray(start), at + start, count) };
}

/** @param level falls by one from each node to its children, so a tree cannot lead back into itself. */
async function readNode(volume: XfsVolume, block: number, referrer: number, level: number): Promise<Node> {
	const { blockSize, checksums } = volume.parameters;
	const at = blockAt(volume, block, 1, referrer);
	const bytes = await readBytes(volume.metadata, at, blockSize);
	const { bb_magic, bb_level, bb_numrecs } = BmapBlock.parse(bytes, 0, volume.name, at);
	if (bb_magic !== (checksums ? BMAP_CRC_MAGIC : BMAP_MAGIC) || bb_level !== level) {
		throw corrupt(volume.name, at, "this is not the extent tree node that it should be");
	}
	if (checksums && !volume.isNewer(at, blockSize) && !isSound(bytes, BmapBlockCrc.offsets.bb_crc)) {
		throw corrupt(volume.name, at, "the checksum of an extent tree node is wrong");
	}
	return { bytes, at, level, count: bb_numrecs, start: checksums ? BmapBlockCrc.size : BmapBlock.size };
}

function parseExtents(volume: XfsVolume, bytes: Uint8Array, at: number, count: number): Extent[] {
	let end = 0;
	return Array.from({ length: count }, (_, i) => {
		const offset = i * ExtentRecord.size;
		const { l0, l1 } = ExtentRecord.parse(bytes, offset, volume.name, at);
		const unwritten = l0 >> 63n !== 0n;
		const from = Number(BigInt.asUintN(54, l0 >> 9n));
		const block = Number((BigInt.asUintN(9, l0) << 43n) | (l1 >> 21n));
		const length = Number(BigInt.asUintN(21, l1));
		if (length === 0 || from < end || !Number.isSafeInteger(from)) {
			throw corrupt(volume.name, at + offset, "an extent is empty or overlaps the one before");
		}
		end = from + length;
		const place = blockAt(volume, block, length, at + offset);
		return { from, to: end, at: unwritten ? undefined : place };
	});
}
