import { damaged } from "../../bytes/errors.js";
import { type ByteSource, checkRange, readBytes } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { cached } from "../cache.js";
import type { Run } from "../mapped.js";
import { isZero } from "../zero.js";
import { SECTOR } from "./layout.js";

/** Where a grain is, instead of an offset in the file: nowhere, so that the parent has it. */
export const ABSENT = 0;
/** Where a grain is, instead of an offset in the file: nowhere, since it reads as zero. */
export const ZERO = -1;

/** What a kind of sparse extent makes of its two levels of tables. */
export interface GrainLayout {
	readonly source: ByteSource;
	/** Bytes of the disk that the extent holds. */
	readonly size: number;
	/** In bytes. */
	readonly grainSize: number;
	/** Offset of the grain directory in the file. */
	readonly directoryAt: number;
	readonly entriesPerTable: number;
	/** Bytes of an entry in the directory and in a table. */
	readonly entrySize: 4 | 8;
	/** Each grain is a record of its own length. */
	readonly compressed: boolean;
	/** What the directory entry at byte `at` says: the table's offset in the file, or {@link ABSENT}. */
	readonly tableAt: (view: DataView, at: number) => number;
	/** What the table entry at byte `at` says: the grain's offset in the file, {@link ABSENT} or {@link ZERO}. */
	readonly grainAt: (view: DataView, at: number) => number;
}

/** Grain tables that follow each other, both on the disk and in the file. */
export interface TableGroup {
	/** Index in the directory of the first one. */
	readonly first: number;
	readonly count: number;
	/** Offset in the file of the first one; {@link ABSENT} where none of them exists. */
	readonly at: number;
	/** Their content, until the next group is asked for; undefined where they do not exist. */
	readonly bytes: Uint8Array | undefined;
}

/** Bytes of the directory that are read at once. */
const PAGE = 64 * 1024;
const PAGES_CACHED = 16;
/** Bytes of grain tables that are kept for small reads. */
const TABLES_CACHED = 4 << 20;
/** Bytes of grain tables that are read at once. */
const TOGETHER = 1 << 20;

/** A grain directory and its grain tables, read when they are needed. */
export class GrainTables {
	readonly layout: GrainLayout;
	/** Entries of the directory. */
	readonly count: number;
	readonly tableSize: number;
	readonly #page: (index: number) => Promise<DataView>;
	readonly #table: (at: number) => Promise<Uint8Array>;

	/** @throws `damaged` where the file ends before the directory does */
	constructor(layout: GrainLayout) {
		const { source, size, grainSize, directoryAt, entriesPerTable, entrySize } = layout;
		this.layout = layout;
		this.count = Math.ceil(size / (grainSize * entriesPerTable));
		this.tableSize = entriesPerTable * entrySize;
		const length = this.count * entrySize;
		checkRange(source, directoryAt, length);
		this.#page = cached(PAGES_CACHED, async (index) => {
			const from = index * PAGE;
			return viewOf(await readBytes(source, directoryAt + from, Math.min(PAGE, length - from)));
		});
		this.#table = cached(TABLES_CACHED / this.tableSize, (at) => readBytes(source, at, this.tableSize));
	}

	/**
	 * The tables of the directory entries `[first, last)`, in as few reads as possible.
	 *
	 * @throws `damaged` where there are more of them than the file can hold
	 */
	async *tables(first: number, last: number): AsyncGenerator<TableGroup> {
		const { source, entrySize, directoryAt, tableAt } = this.layout;
		const perPage = PAGE / entrySize;
		let seen = 0;
		// Used again for each group: fresh memory costs more than reading into it.
		let buffer: Uint8Array | undefined;
		for (let index = first; index < last; ) {
			const page = Math.floor(index / perPage);
			const view = await this.#page(page);
			const entry = (index: number) => tableAt(view, (index - page * perPage) * entrySize);
			const pageEnd = Math.min(last, (page + 1) * perPage);
			while (index < pageEnd) {
				const at = entry(index);
				const step = at === ABSENT ? 0 : this.tableSize;
				const end = at === ABSENT ? pageEnd : Math.min(pageEnd, index + TOGETHER / this.tableSize);
				let next = index + 1;
				while (next < end && entry(next) === at + (next - index) * step) next++;
				const count = next - index;
				seen += count * step;
				if (seen > source.size) {
					throw damaged(`${source.name}: the grain directory names more grain tables than the file can hold`, {
						file: source.name,
						offset: directoryAt,
					});
				}
				let bytes: Uint8Array | undefined;
				// One table is what a small read needs, and the next one will need it again.
				if (count === 1 && at !== ABSENT) bytes = await this.#table(at);
				else if (at !== ABSENT) {
					buffer ??= new Uint8Array(Math.min(TOGETHER, (last - index) * this.tableSize));
					bytes = buffer.subarray(0, count * this.tableSize);
					await source.read(at, bytes);
				}
				yield { first: index, count, at, bytes };
				index = next;
			}
		}
	}

	/**
	 * What the tables say of the extent's bytes `[start, end)`.
	 *
	 * @throws `damaged` where they name more data than the file can hold
	 */
	async *runs(start: number, end: number): AsyncGenerator<Run> {
		const { source, size, grainSize, entriesPerTable, entrySize, compressed, grainAt } = this.layout;
		const span = grainSize * entriesPerTable;
		const leastStored = compressed ? SECTOR : grainSize;
		let grains = 0;
		for await (const { first, count, bytes } of this.tables(Math.floor(start / span), Math.ceil(end / span))) {
			let at = Math.max(start, first * span);
			const stop = Math.min(end, (first + count) * span);
			if (bytes === undefined || isZero(bytes)) {
				yield { kind: "absent", at, length: stop - at };
				continue;
			}
			const view = viewOf(bytes);
			const firstGrain = first * entriesPerTable;
			const lastGrain = Math.ceil(stop / grainSize);
			const entry = (grain: number) => grainAt(view, (grain - firstGrain) * entrySize);
			while (at < stop) {
				const grain = Math.floor(at / grainSize);
				const place = entry(grain);
				const step = place > 0 ? grainSize : 0;
				let next = grain + 1;
				if (!compressed || place <= 0) {
					while (next < lastGrain && entry(next) === place + (next - grain) * step) next++;
				}
				const length = Math.min(stop, next * grainSize) - at;
				if (place === ABSENT) yield { kind: "absent", at, length };
				else if (place === ZERO) yield { kind: "zero", at, length };
				else if (!compressed) yield { kind: "data", at, length, source, offset: place + (at % grainSize) };
				else {
					const unitAt = grain * grainSize;
					const unit = { at: unitAt, length: grainSize, least: Math.min(grainSize, size - unitAt) };
					const stored = this.#roomOf(view, grain - firstGrain, place);
					yield { kind: "compressed", at, length, source, offset: place, stored, codec: "zlib", unit };
				}
				if (place > 0) grains += next - grain;
				at += length;
			}
			if ((grains - 1) * leastStored > source.size) {
				throw damaged(`${source.name}: its grain tables name more data than the file can hold`, { file: source.name });
			}
		}
	}

	/** The most bytes that a compressed grain takes: the next one of the disk mostly follows it in the file as well. */
	#roomOf(view: DataView, index: number, place: number): number {
		const { grainSize, entrySize, grainAt } = this.layout;
		const most = MOST_STORED * grainSize;
		for (let at = (index + 1) * entrySize; at < view.byteLength; at += entrySize) {
			const next = grainAt(view, at);
			if (next > 0) return next > place ? Math.min(most, next - place) : most;
		}
		return most;
	}
}

/** A compressed grain with its marker is at most this many times as long as its content. */
export const MOST_STORED = 2;
