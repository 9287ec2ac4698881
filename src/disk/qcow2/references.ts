import { refused } from "../../bytes/errors.js";

/** Clusters whose counters are kept together. */
const CHUNK = 65_536;
/** Of counters, in bytes: one for each cluster, so that images of up to 8 TiB in clusters of 64 KiB can be checked. */
const LIMIT = 128 * 1024 * 1024;

type Counters = Uint8Array | Uint32Array;

/** Counts the references to each cluster of a file; memory follows the clusters that are in use. */
export class ReferenceCounts {
	/** Behind the last cluster that has a reference. */
	end = 0;
	readonly #file: string;
	readonly #chunks = new Map<number, Counters>();
	/** Most references come in the order of the clusters. */
	#last: { readonly index: number; readonly chunk: Counters | undefined } = { index: -1, chunk: undefined };
	#bytes = 0;

	/** @param file for messages */
	constructor(file: string) {
		this.#file = file;
	}

	/** @throws `refused` where there are more clusters than can be counted */
	add(cluster: number, times: number): void {
		const index = Math.floor(cluster / CHUNK);
		const known = this.#chunk(index) ?? this.#keep(index, new Uint8Array(CHUNK));
		const count = (known[cluster % CHUNK] ?? 0) + times;
		const chunk = count > 255 && known instanceof Uint8Array ? this.#keep(index, new Uint32Array(known)) : known;
		chunk[cluster % CHUNK] = Math.min(count, 0xffff_ffff);
		this.end = Math.max(this.end, cluster + 1);
	}

	get(cluster: number): number {
		return this.#chunk(Math.floor(cluster / CHUNK))?.[cluster % CHUNK] ?? 0;
	}

	/** As {@link get}; the next one gets 0. */
	take(cluster: number): number {
		const chunk = this.#chunk(Math.floor(cluster / CHUNK));
		const count = chunk?.[cluster % CHUNK] ?? 0;
		if (chunk !== undefined) chunk[cluster % CHUNK] = 0;
		return count;
	}

	/** The clusters of `[from, to)` that have references, ascending. */
	*used(from: number, to: number): Generator<number> {
		for (let cluster = from; cluster < Math.min(to, this.end); ) {
			const next = (Math.floor(cluster / CHUNK) + 1) * CHUNK;
			const chunk = this.#chunk(Math.floor(cluster / CHUNK));
			if (chunk === undefined) cluster = next;
			for (; cluster < Math.min(to, next); cluster++) if (chunk?.[cluster % CHUNK] !== 0) yield cluster;
		}
	}

	#chunk(index: number): Counters | undefined {
		if (this.#last.index !== index) this.#last = { index, chunk: this.#chunks.get(index) };
		return this.#last.chunk;
	}

	#keep(index: number, chunk: Counters): Counters {
		this.#bytes += chunk.byteLength - (this.#chunks.get(index)?.byteLength ?? 0);
		if (this.#bytes > LIMIT) {
			throw refused(`${this.#file} uses more clusters than can be checked: their counters exceed 128 MiB`, {
				file: this.#file,
				hint: "Check it with qemu-img check.",
			});
		}
		this.#chunks.set(index, chunk);
		this.#last = { index, chunk };
		return chunk;
	}
}
