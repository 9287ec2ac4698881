import { cached } from "../../disk/cache.js";
import { sumsTo } from "./checksum.js";
import { ChunkMap, parseChunk, systemChunks } from "./chunks.js";
import type { BtrfsDevices } from "./devices.js";
import { Header, KeyType, ObjectId, Superblock } from "./layout.js";
import { Node, type NodePointer } from "./node.js";
import type { ReplayedLog } from "./replay.js";
import { type BtrfsParameters, corrupt } from "./superblock.js";
import { items } from "./tree.js";

/** How many bytes of nodes are kept. */
const REMEMBERED = 4 << 20;
/** More than any file system has: where there is room, each has a GiB or more. */
const MOST_CHUNKS = 1 << 20;

/** A file system whose chunks are known: everything of it can be read by its logical address. */
export class BtrfsVolume {
	/** For messages. */
	readonly name: string;
	readonly parameters: BtrfsParameters;
	readonly chunks: ChunkMap;
	/** What was written and synced since, where it is known. */
	log: ReplayedLog | undefined;
	readonly #nodes: (logical: number) => Promise<Node>;

	private constructor(name: string, parameters: BtrfsParameters, chunks: ChunkMap) {
		this.name = name;
		this.parameters = parameters;
		this.chunks = chunks;
		this.#nodes = cached(REMEMBERED / parameters.fields.nodesize, (logical) => this.#load(logical));
	}

	static async open({ name, parameters, devices }: BtrfsDevices): Promise<BtrfsVolume> {
		const { fields, at } = parameters;
		const chunks = new ChunkMap(name, devices);
		const volume = new BtrfsVolume(name, parameters, chunks);
		const system = fields.sys_chunk_array.subarray(0, fields.sys_chunk_array_size);
		chunks.replace(systemChunks(name, system, at + Superblock.offsets.sys_chunk_array));
		const root = {
			logical: fields.chunk_root,
			generation: fields.chunk_root_generation,
			level: fields.chunk_root_level,
			at,
		};
		const key = { objectid: ObjectId.FIRST_CHUNK_TREE, type: KeyType.CHUNK_ITEM };
		const all = [];
		for await (const item of items(volume, root, { ...key, offset: 0 }, { ...key, offset: -1 })) {
			if (all.push(parseChunk(name, item.key.offset, item.bytes, item.at)) <= MOST_CHUNKS) continue;
			throw corrupt(name, item.at, `more than ${MOST_CHUNKS} Btrfs chunks`);
		}
		chunks.replace(all);
		return volume;
	}

	/** The root of the tree of roots. */
	get rootTree(): NodePointer {
		const { fields, at } = this.parameters;
		return { logical: fields.root, generation: fields.generation, level: fields.root_level, at };
	}

	/** The node that `pointer` names, from the first copy that is what it should be. */
	async node(pointer: NodePointer): Promise<Node> {
		const fits = (node: Node) => node.level === pointer.level && node.generation === pointer.generation;
		const { logical, at } = pointer;
		if (logical % this.parameters.fields.sectorsize !== 0 || this.chunks.copies(logical) === 0) {
			throw corrupt(this.name, at, `a node is said to be at the logical address ${logical}, where none can be`);
		}
		const known = await this.#nodes(logical);
		if (fits(known)) return known;
		// A copy that was not written with the others is sound, but old.
		for (let copy = 1; copy < this.chunks.copies(logical); copy++) {
			const other = await this.#load(logical, copy).catch(() => undefined);
			if (other !== undefined && fits(other)) return other;
		}
		throw corrupt(this.name, known.at, `the node that byte ${at} names is of another level or generation`);
	}

	/** The node at an address of a chunk, from the first sound copy. */
	async #load(logical: number, firstCopy = 0): Promise<Node> {
		let failure: unknown;
		for (let copy = firstCopy; copy < this.chunks.copies(logical); copy++) {
			try {
				return await this.#loadCopy(logical, copy);
			} catch (error) {
				failure ??= error;
			}
		}
		throw failure;
	}

	async #loadCopy(logical: number, copy: number): Promise<Node> {
		const { fields, checksum, nodeFsid } = this.parameters;
		const { file, offset: at } = this.chunks.place(logical, copy) ?? { file: this.name, offset: 0 };
		const bytes = new Uint8Array(fields.nodesize);
		await this.chunks.read(logical, bytes, copy, at);
		const header = Header.parse(bytes, 0, file, at);
		if (!(await sumsTo(checksum, bytes.subarray(header.csum.length), header.csum))) {
			throw corrupt(file, at, `the ${checksum.name} checksum of a Btrfs node is wrong`);
		}
		if (header.bytenr !== logical || header.fsid !== nodeFsid) {
			throw corrupt(file, at, "this is not the Btrfs node that it should be");
		}
		return new Node(file, bytes, at);
	}
}
