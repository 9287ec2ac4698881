import { damaged, refused } from "../../bytes/errors.js";
import { type ByteSource, isStore, readBytes } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import type { ExtentList } from "../mapped.js";
import type { Geometry } from "./geometry.js";

/** Clusters that follow one another on the volume. */
export interface Run {
	readonly first: number;
	count: number;
}

export interface Chain {
	readonly runs: readonly Run[];
	readonly clusters: number;
	/** The end of the chain was seen; otherwise it is longer than what was asked for. */
	readonly complete: boolean;
}

/** Bits of an entry, and its highest value: of FAT32's 32 bits, four are reserved. */
const formats = {
	fat12: { bits: 12, highest: 0xfff },
	fat16: { bits: 16, highest: 0xffff },
	fat32: { bits: 32, highest: 0x0fffffff },
	exfat: { bits: 32, highest: 0xffffffff },
};

/** What of a volume the table needs. */
type TableGeometry = Pick<Geometry, "clusters" | "tableSize" | "tableAt" | "tablesAt"> & {
	readonly kind: keyof typeof formats;
};

/** A FAT12 table (at most 6 KiB) lies in the first chunk; the entries of others are aligned. */
const chunkSize = 65536;
const cachedChunks = 64;
/** Runs of one chain that are kept in memory: a file in more pieces than that is refused. */
const mostRuns = 2 ** 20;

interface Chunk {
	readonly bytes: Uint8Array;
	readonly view: DataView;
	changed: boolean;
}

/** Runs of a chain as the extents of a file. */
export function extentsOf(runs: readonly Run[], placeOf: (cluster: number) => number): ExtentList {
	let from = 0;
	const extents = runs.map(({ first, count }) => {
		const extent = { from, to: from + count, at: placeOf(first) };
		from = extent.to;
		return extent;
	});
	return { from: 0, to: from, extents };
}

/**
 * The file allocation table, read in chunks as it is needed. Changes go to every copy that the volume keeps, at the
 * latest with {@link flush}.
 */
export class AllocationTable {
	readonly #volume: ByteSource;
	readonly #geometry: TableGeometry;
	readonly #bits: number;
	/** Marks the last cluster of a chain; the seven values below do so too. */
	readonly endOfChain: number;
	/** In the order of their last use. */
	readonly #chunks = new Map<number, Chunk>();

	constructor(volume: ByteSource, geometry: TableGeometry) {
		this.#volume = volume;
		this.#geometry = geometry;
		const { bits, highest } = formats[geometry.kind];
		this.#bits = bits;
		this.endOfChain = highest;
	}

	/** The clusters of the chain that begins with `first`, at most `most` of them; none when `first` is 0. */
	async chain(first: number, most: number): Promise<Chain> {
		const runs: Run[] = [];
		let clusters = 0;
		let run: Run | undefined;
		if (first === 0) return { runs, clusters, complete: true };
		for (let cluster = first; ; clusters++) {
			if (clusters === most) return { runs, clusters, complete: false };
			this.#check(cluster, first);
			if (run && run.first + run.count === cluster) run.count++;
			else {
				if (runs.length === mostRuns) {
					throw refused(`${this.#volume.name}: the file at cluster ${first} is in more than ${mostRuns} pieces`, {
						file: this.#volume.name,
					});
				}
				run = { first: cluster, count: 1 };
				runs.push(run);
			}
			const next = this.#get(this.#chunks.get(this.#chunkOf(cluster)) ?? (await this.#load(cluster)), cluster);
			if (next >= this.endOfChain - 7) return { runs, clusters: clusters + 1, complete: true };
			cluster = next;
		}
	}

	/** How many clusters are free. Reads the whole table. */
	async countFree(): Promise<number> {
		let free = 0;
		await this.#eachFree(2, () => {
			free++;
			return true;
		});
		return free;
	}

	/** Takes up to `count` free clusters, the first ones from `hint` on, and chains them; the last one ends the chain. */
	async allocate(count: number, hint: number): Promise<number[]> {
		const taken: number[] = [];
		for (const from of [hint, 2]) {
			if (taken.length === count) break;
			await this.#eachFree(from, (cluster) => taken.push(cluster) < count);
			for (const [i, cluster] of taken.entries()) await this.set(cluster, taken[i + 1] ?? this.endOfChain);
		}
		return taken;
	}

	/** Sets the entry of `cluster`: the next one of its chain, 0 for free, or {@link endOfChain}. */
	async set(cluster: number, value: number): Promise<void> {
		const chunk = await this.#load(cluster);
		const { view } = chunk;
		const at = this.#offset(cluster) % chunkSize;
		if (this.#bits === 32) {
			// The four highest bits are reserved and stay.
			view.setUint32(at, ((view.getUint32(at, true) & 0xf0000000) | (value & this.endOfChain)) >>> 0, true);
		} else if (this.#bits === 16) view.setUint16(at, value, true);
		else {
			const pair = view.getUint16(at, true);
			view.setUint16(at, cluster % 2 === 1 ? (pair & 0x000f) | (value << 4) : (pair & 0xf000) | value, true);
		}
		chunk.changed = true;
	}

	async flush(): Promise<void> {
		for (const [index, chunk] of this.#chunks) await this.#writeBack(index, chunk);
	}

	/** Calls `visit` with each free cluster from `from` on until it answers false. */
	async #eachFree(from: number, visit: (cluster: number) => boolean): Promise<void> {
		const stop = this.#geometry.clusters + 2;
		for (let cluster = from; cluster < stop; ) {
			const chunk = await this.#load(cluster);
			for (const index = this.#chunkOf(cluster); cluster < stop && this.#chunkOf(cluster) === index; cluster++) {
				if (this.#get(chunk, cluster) === 0 && !visit(cluster)) return;
			}
		}
	}

	#check(cluster: number, first: number): void {
		if (cluster < 2 || cluster >= this.#geometry.clusters + 2) {
			throw damaged(
				`${this.#volume.name}: the cluster chain that begins at ${first} leads to ${cluster}, which is none`,
				{
					file: this.#volume.name,
					offset: this.#geometry.tableAt,
					hint: `Repair a copy with ${this.#geometry.kind === "exfat" ? "fsck.exfat" : "fsck.vfat"}.`,
				},
			);
		}
	}

	/** Byte offset of an entry in the table. */
	#offset(cluster: number): number {
		return Math.floor((cluster * this.#bits) / 8);
	}

	#chunkOf = (cluster: number) => Math.floor(this.#offset(cluster) / chunkSize);

	#get({ view }: Chunk, cluster: number): number {
		const at = this.#offset(cluster) % chunkSize;
		if (this.#bits === 32) return (view.getUint32(at, true) & this.endOfChain) >>> 0;
		const value = view.getUint16(at, true);
		return this.#bits === 12 && cluster % 2 === 1 ? value >>> 4 : value & this.endOfChain;
	}

	async #load(cluster: number): Promise<Chunk> {
		const index = this.#chunkOf(cluster);
		let chunk = this.#chunks.get(index);
		if (!chunk) {
			const at = index * chunkSize;
			const bytes = await readBytes(
				this.#volume,
				this.#geometry.tableAt + at,
				Math.min(chunkSize, this.#geometry.tableSize - at),
			);
			chunk = this.#chunks.get(index) ?? { bytes, view: viewOf(bytes), changed: false };
		}
		this.#chunks.delete(index);
		this.#chunks.set(index, chunk);
		for (const [oldest, old] of this.#chunks) {
			if (this.#chunks.size <= cachedChunks) break;
			await this.#writeBack(oldest, old);
			this.#chunks.delete(oldest);
		}
		return chunk;
	}

	async #writeBack(index: number, chunk: Chunk): Promise<void> {
		if (!chunk.changed || !isStore(this.#volume)) return;
		for (const at of this.#geometry.tablesAt) await this.#volume.write(at + index * chunkSize, chunk.bytes);
		chunk.changed = false;
	}
}
