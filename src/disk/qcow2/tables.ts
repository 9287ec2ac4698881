import type { ByteSink } from "../../bytes/sink.js";
import { viewOf } from "../../bytes/struct.js";
import type { L1Place } from "./header.js";
import { ENTRY_SIZE, ownedEntry } from "./layout.js";
import type { FileSpace } from "./space.js";

/** An L2 entry as its two halves. */
export interface Entry {
	readonly high: number;
	readonly low: number;
}

interface Table {
	readonly bytes: Uint8Array;
	/** Made once: entries are set by the thousand. */
	readonly view: DataView;
}

/** The L1 and L2 tables of an image under construction. Clusters come in ascending order. */
export class Tables {
	readonly #sink: ByteSink;
	readonly #space: FileSpace;
	readonly #clusterSize: number;
	readonly #clusters: number;
	readonly #preallocated: boolean;
	readonly #l1: Table;
	readonly #l2: Table;
	/** Index of the L2 table that is being filled, -1 before the first. */
	#index = -1;
	/** Where the clusters of a preallocated table lie. */
	#dataAt = 0;

	/**
	 * @param size of the virtual disk, in bytes
	 * @param preallocated every cluster has its place, those of an L2 table side by side; none need be set
	 */
	constructor(sink: ByteSink, space: FileSpace, clusterSize: number, size: number, preallocated: boolean) {
		this.#sink = sink;
		this.#space = space;
		this.#clusterSize = clusterSize;
		this.#clusters = Math.ceil(size / clusterSize);
		this.#preallocated = preallocated;
		this.#l1 = tableOf(Math.ceil(this.#clusters / this.#perTable) * ENTRY_SIZE);
		this.#l2 = tableOf(clusterSize);
	}

	/** Begins the table of this cluster, unless it is the one that is being filled. */
	begin(cluster: number): Promise<void> | undefined {
		const index = Math.floor(cluster / this.#perTable);
		return index === this.#index ? undefined : this.#advance(index);
	}

	/** Sets the entry of a cluster whose table has begun. */
	set(cluster: number, entry: Entry): void {
		write(this.#l2, cluster % this.#perTable, entry);
	}

	/** The place of a cluster whose table has begun. */
	place(cluster: number): number {
		if (this.#preallocated) return this.#dataAt + (cluster % this.#perTable) * this.#clusterSize;
		const at = this.#space.allocate(this.#clusterSize);
		this.set(cluster, ownedEntry(at));
		return at;
	}

	/** Writes what has not been written yet, the L1 table last. */
	async finish(): Promise<L1Place> {
		const entries = this.#l1.bytes.length / ENTRY_SIZE;
		await this.#advance(entries);
		const at = this.#space.allocate(Math.max(1, this.#l1.bytes.length));
		await this.#sink.write(at, this.#l1.bytes);
		return { at, entries };
	}

	async #advance(index: number): Promise<void> {
		if (this.#index >= 0) await this.#finishL2();
		if (this.#preallocated) {
			for (let skipped = this.#index + 1; skipped < index; skipped++) {
				this.#start(skipped);
				await this.#finishL2();
			}
		}
		this.#start(index);
	}

	#start(index: number): void {
		this.#index = index;
		this.#l2.bytes.fill(0);
		const first = index * this.#perTable;
		const count = Math.min(this.#perTable, this.#clusters - first);
		if (!this.#preallocated || count <= 0) return;
		this.#dataAt = this.#space.allocate(count * this.#clusterSize);
		for (let i = 0; i < count; i++) write(this.#l2, i, ownedEntry(this.#dataAt + i * this.#clusterSize));
	}

	async #finishL2(): Promise<void> {
		const at = this.#space.allocate(this.#clusterSize);
		await this.#sink.write(at, this.#l2.bytes);
		write(this.#l1, this.#index, ownedEntry(at));
		await this.#space.flush();
	}

	get #perTable(): number {
		return this.#clusterSize / ENTRY_SIZE;
	}
}

function write({ view }: Table, index: number, { high, low }: Entry): void {
	view.setUint32(index * ENTRY_SIZE, high);
	view.setUint32(index * ENTRY_SIZE + 4, low);
}

function tableOf(length: number): Table {
	const bytes = new Uint8Array(length);
	return { bytes, view: viewOf(bytes) };
}
