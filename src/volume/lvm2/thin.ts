import { crc32cRaw } from "../../bytes/checksum/index.js";
import { damaged } from "../../bytes/errors.js";
import { type ByteSource, readBytes } from "../../bytes/source.js";
import { bytes, flags64, struct, u32, u64, viewOf } from "../../bytes/struct.js";
import { mapped, type Run } from "../mapping.js";
import { SECTOR } from "./layout.js";

// https://docs.kernel.org/admin-guide/device-mapper/thin-provisioning.html says what a pool is; its metadata is made of
// blocks, each with a checksum: the superblock in block 0, and B-trees.

/** Bytes of a block of metadata. */
const BLOCK = 4096;

const ThinSuperblock = struct("thin pool superblock", "little", {
	csum: u32,
	flags: u32,
	blocknr: u64,
	uuid: bytes(16),
	magic: u64,
	version: u32,
	time: u32,
	trans_id: u64,
	held_root: u64,
	data_space_map_root: bytes(128),
	metadata_space_map_root: bytes(128),
	/** A tree from devices to the trees of their blocks. */
	data_mapping_root: u64,
	device_details_root: u64,
	/** Sectors. */
	data_block_size: u32,
	metadata_block_size: u32,
	metadata_nr_blocks: u64,
	compat_flags: u32,
	compat_ro_flags: u32,
	incompat_flags: u32,
});

/** Keys follow, and behind room for `max_entries` of these, values. */
const NodeHeader = struct("thin pool tree node", "little", {
	csum: u32,
	flags: u32,
	blocknr: u64,
	nr_entries: u32,
	max_entries: u32,
	value_size: u32,
	padding: u32,
});

const MAGIC = 27022010;
/** What the CRC-32C of each kind of block is combined with. */
const [SUPERBLOCK_XOR, NODE_XOR] = [160774, 121107];
const LEAF = 2;
/** A tree over 2^48 blocks with the smallest fan-out has fewer levels. */
const DEEPEST = 16;
/** Below the block's number, its time. */
const TIME_BITS = 24n;
const REMEMBERED = 256;

interface Node {
	readonly leaf: boolean;
	readonly count: number;
	key(index: number): number;
	value(index: number): bigint;
}

/** What a tree has for a key, or nothing; and the next key that it may have something for. */
interface Lookup {
	readonly value: bigint | undefined;
	readonly next: number;
}

/**
 * A volume of a thin pool, read-only: what is written to one may belong to others as well.
 *
 * @param id the volume's number in the pool
 * @throws `damaged`
 */
export async function openThin(
	{ metadata, data }: { readonly metadata: ByteSource; readonly data: ByteSource },
	{ id, name, size }: { readonly id: number; readonly name: string; readonly size: number },
): Promise<ByteSource> {
	const superblock = await readSuperblock(metadata);
	const block = superblock.data_block_size * SECTOR;
	const nodes = new Nodes(metadata);
	const root = (await nodes.find(superblock.data_mapping_root, id)).value;
	if (root === undefined) throw broken(metadata, 0, `the thin pool knows no volume ${id}`);
	const run = async (at: number): Promise<Run> => {
		const index = Math.floor(at / block);
		const { value, next } = await nodes.find(Number(root), index);
		if (value === undefined) return { length: next * block - at, places: [] };
		const within = at % block;
		const place = Number(value >> TIME_BITS) * block + within;
		return { length: block - within, places: [{ source: data, at: place }] };
	};
	return mapped({ name, size, run });
}

async function readSuperblock(metadata: ByteSource) {
	const block = await readBytes(metadata, 0, BLOCK);
	const superblock = ThinSuperblock.parse(block, 0, metadata.name);
	if (superblock.magic !== MAGIC) throw broken(metadata, 0, "the metadata of a thin pool has no superblock");
	if (superblock.csum !== sum(block, SUPERBLOCK_XOR)) {
		throw broken(metadata, 0, "the checksum of a thin pool's superblock is wrong");
	}
	if (superblock.data_block_size === 0) throw broken(metadata, 0, "the blocks of a thin pool have no size");
	return superblock;
}

const sum = (block: Uint8Array, xor: number) => (crc32cRaw(0xffffffff, block.subarray(4)) ^ xor) >>> 0;

/** The trees of a pool; the nodes that were met last are kept. */
class Nodes {
	readonly #metadata: ByteSource;
	readonly #met = new Map<number, Node>();

	constructor(metadata: ByteSource) {
		this.#metadata = metadata;
	}

	async find(root: number, key: number): Promise<Lookup> {
		let next = Number.MAX_SAFE_INTEGER;
		let at = root;
		for (let depth = 0; depth < DEEPEST; depth++) {
			const node = await this.#node(at);
			const index = lastNotAbove(node, key);
			if (index + 1 < node.count) next = Math.min(next, Math.max(node.key(index + 1), key + 1));
			if (node.leaf || index < 0) {
				const exact = index >= 0 && node.key(index) === key;
				return { value: exact ? node.value(index) : undefined, next };
			}
			at = Number(node.value(index));
		}
		throw broken(this.#metadata, root * BLOCK, "a tree of the thin pool is too deep");
	}

	async #node(block: number): Promise<Node> {
		const met = this.#met.get(block);
		if (met) return met;
		const at = block * BLOCK;
		if (at + BLOCK > this.#metadata.size) throw broken(this.#metadata, at, "the thin pool points beyond its metadata");
		const node = parseNode(this.#metadata, await readBytes(this.#metadata, at, BLOCK), block);
		if (this.#met.size >= REMEMBERED) this.#met.clear();
		this.#met.set(block, node);
		return node;
	}
}

function parseNode(metadata: ByteSource, bytes: Uint8Array, block: number): Node {
	const at = block * BLOCK;
	const header = NodeHeader.parse(bytes, 0, metadata.name, at);
	if (header.csum !== sum(bytes, NODE_XOR) || header.blocknr !== block) {
		throw broken(metadata, at, "the checksum of a node of the thin pool is wrong");
	}
	const { nr_entries: count, max_entries: most, value_size: width } = header;
	if (count > most || width !== flags64.size || NodeHeader.size + most * (u64.size + width) > BLOCK) {
		throw broken(metadata, at, `a node of the thin pool claims ${count} of ${most} entries of ${width} bytes`);
	}
	const view = viewOf(bytes);
	const values = NodeHeader.size + most * u64.size;
	return {
		leaf: (header.flags & LEAF) !== 0,
		count,
		key: (index) => u64.get(view, NodeHeader.size + index * u64.size, true),
		value: (index) => flags64.get(view, values + index * width, true),
	};
}

/** The index of the last key that is at most `key`; -1 where all are larger. */
function lastNotAbove(node: Node, key: number): number {
	let [low, high] = [-1, node.count];
	while (high - low > 1) {
		const middle = Math.floor((low + high) / 2);
		if (node.key(middle) <= key) low = middle;
		else high = middle;
	}
	return low;
}

const broken = (metadata: ByteSource, offset: number, fault: string) =>
	damaged(`${metadata.name}: ${fault}`, {
		file: metadata.name,
		offset,
		hint: 'Compare the file with the original; "thin_check" on the pool\'s metadata tells more.',
	});
