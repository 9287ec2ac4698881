import { refused } from "./errors.js";
import { type ByteSource, type ByteStore, checkRange, readBytes } from "./source.js";

/** A writable view of a source that is never written to: what changes lives in memory. */
export interface Overlay extends ByteStore {
	/** The ranges that may differ from the source, ascending and merged; in whole chunks of 64 KiB. */
	changed(): readonly { readonly at: number; readonly length: number }[];
	/** Bytes of memory that the changes take. */
	readonly inMemory: number;
}

export interface OverlayOptions {
	/** Most bytes of memory for changes; a write beyond is `refused`. 1 GiB by default. */
	readonly limit?: number;
}

const CHUNK = 64 << 10;

/** Puts a copy-on-write layer over `source`. Reads and writes may overlap in time, as on a real disk. */
export function overlay(source: ByteSource, { limit = 1 << 30 }: OverlayOptions = {}): Overlay {
	return new ChunkedOverlay(source, limit);
}

/** The part of one chunk that an access touches. */
interface Touch {
	readonly index: number;
	/** Offset within the chunk. */
	readonly from: number;
	readonly length: number;
	/** Offset within the caller's bytes. */
	readonly done: number;
}

class ChunkedOverlay implements Overlay {
	readonly name: string;
	readonly size: number;
	readonly #source: ByteSource;
	readonly #limit: number;
	readonly #chunks = new Map<number, Uint8Array>();
	/** Chunks on their way from the source, for writers that replace a part of them only. */
	readonly #loading = new Map<number, Promise<Uint8Array>>();
	#inMemory = 0;

	constructor(source: ByteSource, limit: number) {
		this.name = source.name;
		this.size = source.size;
		this.#source = source;
		this.#limit = limit;
	}

	get inMemory(): number {
		return this.#inMemory;
	}

	async read(at: number, into: Uint8Array): Promise<void> {
		checkRange(this, at, into.length);
		// One read of the source for each run of chunks that have not changed.
		let run = { start: 0, end: 0 };
		const reads: Promise<void>[] = [];
		const readRun = () => {
			if (run.end > run.start) reads.push(this.#source.read(at + run.start, into.subarray(run.start, run.end)));
		};
		for (const { index, from, length, done } of touches(at, into.length)) {
			const chunk = this.#chunks.get(index);
			if (chunk === undefined) {
				run.end = done + length;
			} else {
				into.set(chunk.subarray(from, from + length), done);
				readRun();
				run = { start: done + length, end: done + length };
			}
		}
		readRun();
		await Promise.all(reads);
	}

	async write(at: number, bytes: Uint8Array): Promise<void> {
		checkRange(this, at, bytes.length);
		for (const { index, from, length, done } of touches(at, bytes.length)) {
			const whole = length === this.#lengthOf(index) && !this.#loading.has(index);
			const chunk = this.#chunks.get(index) ?? (whole ? this.#add(index) : await this.#load(index));
			chunk.set(bytes.subarray(done, done + length), from);
		}
	}

	changed(): readonly { readonly at: number; readonly length: number }[] {
		const ranges: { at: number; length: number }[] = [];
		for (const index of [...this.#chunks.keys()].sort((a, b) => a - b)) {
			const at = index * CHUNK;
			const last = ranges.at(-1);
			if (last !== undefined && last.at + last.length === at) last.length += this.#lengthOf(index);
			else ranges.push({ at, length: this.#lengthOf(index) });
		}
		return ranges;
	}

	#lengthOf(index: number): number {
		return Math.min(CHUNK, this.size - index * CHUNK);
	}

	#add(index: number): Uint8Array {
		const chunk = new Uint8Array(this.#reserve(index));
		this.#chunks.set(index, chunk);
		return chunk;
	}

	/** Copies a chunk from the source; all who ask while that lasts get the same copy. */
	#load(index: number): Promise<Uint8Array> {
		let loading = this.#loading.get(index);
		if (loading === undefined) {
			loading = this.#copy(index, this.#reserve(index)).finally(() => this.#loading.delete(index));
			this.#loading.set(index, loading);
		}
		return loading;
	}

	async #copy(index: number, length: number): Promise<Uint8Array> {
		try {
			const chunk = await readBytes(this.#source, index * CHUNK, length);
			this.#chunks.set(index, chunk);
			return chunk;
		} catch (error) {
			this.#inMemory -= length;
			throw error;
		}
	}

	/** Counts the chunk against the limit and returns its length. */
	#reserve(index: number): number {
		const length = this.#lengthOf(index);
		if (this.#inMemory + length > this.#limit) {
			throw refused(`the changes to ${this.name} exceed ${this.#limit} bytes of memory`, {
				file: this.name,
				offset: index * CHUNK,
				hint: "Make fewer changes at a time: leave out the ones that copy large files.",
			});
		}
		this.#inMemory += length;
		return length;
	}
}

function* touches(at: number, length: number): Generator<Touch> {
	for (let done = 0; done < length; ) {
		const index = Math.floor((at + done) / CHUNK);
		const from = at + done - index * CHUNK;
		const part = Math.min(CHUNK - from, length - done);
		yield { index, from, length: part, done };
		done += part;
	}
}
