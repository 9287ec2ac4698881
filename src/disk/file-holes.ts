import { isHoleAware } from "../bytes/holes.js";
import type { ByteSource } from "../bytes/source.js";

/** A file with more holes than this is taken as one without: 16 MiB of memory. */
const MOST = 1 << 20;
/** Smaller holes, in bytes, are sooner read than told apart. */
export const LEAST = 256 * 1024;

/** Where a file has holes, to be asked in any order. */
export class FileHoles {
	/** Offsets where a hole begins and ends, in turn, ascending. */
	readonly #edges: readonly number[];

	private constructor(edges: readonly number[]) {
		this.#edges = edges;
	}

	/** Undefined where the file has no holes of any size to speak of, or nothing is known of them. */
	static async of(source: ByteSource): Promise<FileHoles | undefined> {
		if (!isHoleAware(source)) return undefined;
		const edges: number[] = [];
		for await (const { at, length, kind } of source.extents()) {
			if (kind === "zero" && length >= LEAST) edges.push(at, at + length);
			if (edges.length > MOST * 2) return undefined;
		}
		return edges.length === 0 ? undefined : new FileHoles(edges);
	}

	/** Cuts `[offset, offset + length)` into what is a hole and what is not. */
	*cut(offset: number, length: number): Generator<{ at: number; length: number; hole: boolean }> {
		const end = offset + length;
		let next = this.#firstAfter(offset);
		for (let at = offset; at < end; next++) {
			const stop = Math.min(end, this.#edges[next] ?? end);
			// Behind an odd number of edges lies a hole.
			if (stop > at) yield { at, length: stop - at, hole: next % 2 === 1 };
			at = stop;
		}
	}

	/** Index of the first edge behind `offset`. */
	#firstAfter(offset: number): number {
		let low = 0;
		let high = this.#edges.length;
		while (low < high) {
			const middle = Math.floor((low + high) / 2);
			if ((this.#edges[middle] ?? 0) <= offset) low = middle + 1;
			else high = middle;
		}
		return low;
	}
}
