import { refused } from "../../bytes/errors.js";
import type { ByteSink } from "../../bytes/sink.js";
import { viewOf } from "../../bytes/struct.js";
import { ENTRY_SIZE, REFCOUNT_TABLE_LIMIT } from "./layout.js";

/** Refcounts of 16 bits, as every version 2 reader expects. */
export const REFCOUNT_ORDER = 4;
const REFCOUNT_SIZE = 2;

/**
 * Hands out the space of a file under construction from its start, and counts the references of every cluster. A
 * refcount block is written as soon as the space that it describes has been handed out, so that no more than a few are
 * in memory, however large the file is.
 */
export class FileSpace {
	/** First byte not in use. */
	end = 0;
	readonly #sink: ByteSink;
	readonly #clusterSize: number;
	/** Clusters that a refcount block describes. */
	readonly #span: number;
	/** Of the block that describes the end of the file. */
	#counts: Uint16Array;
	#index = 0;
	#complete: { readonly index: number; readonly counts: Uint16Array }[] = [];
	/** Where each refcount block lies. */
	readonly #places: number[] = [];

	constructor(sink: ByteSink, clusterSize: number) {
		this.#sink = sink;
		this.#clusterSize = clusterSize;
		this.#span = clusterSize / REFCOUNT_SIZE;
		this.#counts = new Uint16Array(this.#span);
	}

	/** Whole clusters of their own. */
	allocate(length: number): number {
		const at = this.#roundUp(this.end);
		this.end = at + this.#roundUp(length);
		this.#count(at, this.end);
		return at;
	}

	/** `length` bytes right behind the last ones; every cluster that they touch gets one more reference. */
	pack(length: number): number {
		const at = this.end;
		this.end = at + length;
		this.#count(at, this.end);
		return at;
	}

	/** Writes the refcount blocks that are complete; to be called now and then. */
	async flush(): Promise<void> {
		for (let block = this.#complete.shift(); block !== undefined; block = this.#complete.shift()) {
			this.#places[block.index] = this.allocate(this.#clusterSize);
			await this.#write(block.index, block.counts);
		}
	}

	/** Writes the remaining blocks and the refcount table, which count themselves as well. */
	async finish(): Promise<{ readonly at: number; readonly clusters: number }> {
		await this.flush();
		const used = this.#roundUp(this.end) / this.#clusterSize;
		const written = this.#places.length;
		let blocks = 0;
		let clusters = 0;
		for (;;) {
			const neededBlocks = Math.ceil((used + blocks + clusters) / this.#span) - written;
			const neededClusters = this.#roundUp((written + neededBlocks) * ENTRY_SIZE) / this.#clusterSize;
			if (neededBlocks === blocks && neededClusters === clusters) break;
			blocks = neededBlocks;
			clusters = neededClusters;
		}
		if (clusters * this.#clusterSize > REFCOUNT_TABLE_LIMIT) {
			throw refused(`${this.#sink.name} needs a refcount table of more than the 8 MiB that readers accept`, {
				file: this.#sink.name,
				hint: "Choose larger clusters.",
			});
		}
		const at = this.allocate(clusters * this.#clusterSize);
		for (let i = 0; i < blocks; i++) this.#places[written + i] = this.allocate(this.#clusterSize);
		for (const { index, counts } of this.#complete) await this.#write(index, counts);
		await this.#write(this.#index, this.#counts);

		const table = new Uint8Array(clusters * this.#clusterSize);
		const view = viewOf(table);
		for (const [i, place] of this.#places.entries()) view.setBigUint64(i * ENTRY_SIZE, BigInt(place));
		await this.#sink.write(at, table);
		return { at, clusters };
	}

	async #write(index: number, counts: Uint16Array): Promise<void> {
		const block = new Uint8Array(this.#clusterSize);
		const view = viewOf(block);
		// Thousands, before anything is compiled: an iterator would take 20 ms.
		for (let i = 0; i < counts.length; i++) {
			const count = counts[i] ?? 0;
			if (count > 0) view.setUint16(i * REFCOUNT_SIZE, count);
		}
		await this.#sink.write(this.#places[index] ?? 0, block);
	}

	#count(from: number, to: number): void {
		const end = Math.ceil(to / this.#clusterSize);
		for (let cluster = Math.floor(from / this.#clusterSize); cluster < end; ) {
			const index = Math.floor(cluster / this.#span);
			if (index > this.#index) {
				this.#complete.push({ index: this.#index, counts: this.#counts });
				this.#index = index;
				this.#counts = new Uint16Array(this.#span);
			}
			const first = cluster - index * this.#span;
			const last = Math.min(end - index * this.#span, this.#span);
			for (let i = first; i < last; i++) this.#counts[i] = (this.#counts[i] ?? 0) + 1;
			cluster = index * this.#span + last;
		}
	}

	#roundUp(length: number): number {
		return Math.ceil(length / this.#clusterSize) * this.#clusterSize;
	}
}
