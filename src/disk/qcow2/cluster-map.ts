import { damaged } from "../../bytes/errors.js";
import { type ByteSource, checkRange, readBytes } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { cached } from "../cache.js";
import { Joiner } from "../joiner.js";
import { continues, type Run } from "../mapped.js";
import { zeroPrefix } from "../zero.js";
import type { L1Place, Qcow2Header } from "./header.js";
import {
	COMPRESSED_HIGH,
	COPIED_HIGH,
	compressedRun,
	ENTRY_SIZE,
	L1_LIMIT,
	offsetOf,
	SUBCLUSTERS,
	ZERO_LOW,
} from "./layout.js";

/** Bytes of L2 tables that one open disk keeps for small reads, in pieces of so many. */
const L2_CACHE = 4 << 20;
const L2_PIECE = 4 << 10;

const HINT = "Look at it with qemu-img check, or fetch the file again.";

/** A state of the disk that the image holds: the current one, or a snapshot. */
interface State {
	readonly size: number;
	readonly l1: L1Place;
}

/** The two levels of tables that say where each cluster of one state lies. */
export class ClusterMap {
	readonly #source: ByteSource;
	readonly #header: Qcow2Header;
	readonly #l1: DataView;
	readonly #data: ByteSource;
	/** A piece of an L2 table, by its offset in the file. */
	readonly #piece: (offset: number) => Promise<DataView>;
	/** Bytes of it: a whole table where that is smaller. */
	readonly #pieceSize: number;

	private constructor(source: ByteSource, header: Qcow2Header, l1: DataView, data: ByteSource) {
		const { clusterSize } = header;
		this.#source = source;
		this.#header = header;
		this.#l1 = l1;
		this.#data = data;
		const size = Math.min(L2_PIECE, clusterSize);
		this.#pieceSize = size;
		this.#piece = cached(L2_CACHE / size, async (offset) => viewOf(await readBytes(source, offset, size)));
	}

	/** @param data where the clusters of data lie: `source` itself, or the external data file */
	static async open(
		source: ByteSource,
		header: Qcow2Header,
		{ size, l1 }: State,
		data: ByteSource,
	): Promise<ClusterMap> {
		const { name } = source;
		const { clusterSize, tableSpan } = header;
		// A table may be longer: a snapshot's goes on with the state of the machine. Or shorter: the rest is absent.
		const entries = Math.min(l1.entries, Math.ceil(size / tableSpan));
		if (l1.at % clusterSize !== 0 || entries * ENTRY_SIZE > L1_LIMIT) {
			throw damaged(`${name}: an L1 table cannot have ${l1.entries} entries at ${l1.at}`, {
				file: name,
				offset: l1.at,
				hint: HINT,
			});
		}
		const table = viewOf(await readBytes(source, l1.at, entries * ENTRY_SIZE));
		checkL1(table, source, l1.at, clusterSize);
		return new ClusterMap(source, header, table, data);
	}

	/** Runs as {@link Mapping.runs} wants them, those of one table joined. */
	async *runs(start: number, end: number): AsyncGenerator<Run> {
		const { clusterSize, entrySize, tableSpan } = this.#header;
		const pieceSpan = (this.#pieceSize / entrySize) * clusterSize;
		if (end - start <= pieceSpan) {
			for (let at = start; at < end; ) {
				const offset = tableAt(this.#l1, Math.floor(at / tableSpan));
				const span = offset === 0 ? tableSpan : pieceSpan;
				const stop = Math.min(end, at - (at % span) + span);
				const piece = offset + Math.floor((at % tableSpan) / pieceSpan) * this.#pieceSize;
				if (offset === 0) yield { kind: "absent", at, length: stop - at };
				else yield* joined(this.#tableRuns(await this.#piece(piece), at, stop));
				at = stop;
			}
			return;
		}
		// Whole tables, into memory that is used again: fresh one costs more than reading.
		const table = new Uint8Array(clusterSize);
		for (let at = start; at < end; ) {
			const stop = Math.min(end, at - (at % tableSpan) + tableSpan);
			const offset = tableAt(this.#l1, Math.floor(at / tableSpan));
			if (offset !== 0) await this.#source.read(offset, table);
			if (offset === 0) yield { kind: "absent", at, length: stop - at };
			else yield* joined(this.#tableRuns(viewOf(table), at, stop));
			at = stop;
		}
	}

	/** @param table the L2 table of these clusters, or a piece of it */
	*#tableRuns(table: DataView, start: number, end: number): Generator<Run> {
		const { clusterSize, extendedL2 } = this.#header;
		for (let at = start; at < end; ) {
			const next = Math.min(end, at - (at % clusterSize) + clusterSize);
			if (extendedL2) {
				yield* this.#subclusters(table, at, next);
				at = next;
			} else {
				const run = this.#cluster(table, at, next - at);
				const length = this.#alike(table, run, next, end) - at;
				yield { ...run, length };
				at += length;
			}
		}
	}

	/** Where what began with `run` ends; the next cluster is at `next`. No object for each of them. */
	#alike(table: DataView, run: Run, next: number, end: number): number {
		if (run.kind === "absent") return Math.min(end, next + this.#absentAfter(table, next, end));
		if (run.kind !== "data") return next;
		const { clusterSize, entrySize } = this.#header;
		let offset = run.offset - (run.at % clusterSize) + clusterSize;
		let at = next;
		for (let entry = this.#entryOf(table, at); at < end; entry += entrySize, at += clusterSize, offset += clusterSize) {
			const high = (table.getUint32(entry) & ~COPIED_HIGH) >>> 0;
			if (high !== Math.floor(offset / 2 ** 32) || table.getUint32(entry + 4) !== offset % 2 ** 32) break;
		}
		return Math.min(at, end);
	}

	/** How many bytes of the disk from `at` on have entries of zero. Most tables of a large disk hold little else. */
	#absentAfter(table: DataView, at: number, end: number): number {
		if (at >= end) return 0;
		const { clusterSize, entrySize } = this.#header;
		const first = this.#entryOf(table, at);
		const entries = new Uint8Array(
			table.buffer,
			table.byteOffset + first,
			Math.min(table.byteLength - first, Math.ceil((end - at) / clusterSize) * entrySize),
		);
		return Math.floor(zeroPrefix(entries) / entrySize) * clusterSize;
	}

	/** Byte of `table`, which is a whole L2 table or a piece of one, with the entry of the cluster at `at`. */
	#entryOf(table: DataView, at: number): number {
		const { clusterSize, entrySize } = this.#header;
		return (Math.floor(at / clusterSize) * entrySize) % table.byteLength;
	}

	#cluster(table: DataView, at: number, length: number): Run {
		const { clusterSize, version } = this.#header;
		const entry = this.#entryOf(table, at);
		const high = table.getUint32(entry);
		const low = table.getUint32(entry + 4);
		if ((high & COMPRESSED_HIGH) !== 0) return this.#compressed(high, low, at, length);
		if ((low & ZERO_LOW) !== 0) {
			if (version === 2) throw this.#damagedAt(at, "has a flag that version 2 does not know");
			return { kind: "zero", at, length };
		}
		const offset = this.#allocated(high, low, at);
		if (offset === undefined) return { kind: "absent", at, length };
		return { kind: "data", at, length, source: this.#data, offset: offset + (at % clusterSize) };
	}

	/** The part `[start, end)` of one cluster whose entry also says which of its subclusters are there. */
	*#subclusters(table: DataView, start: number, end: number): Generator<Run> {
		const { clusterSize } = this.#header;
		const entry = this.#entryOf(table, start);
		const high = table.getUint32(entry);
		const low = table.getUint32(entry + 4);
		if ((high & COMPRESSED_HIGH) !== 0) {
			yield this.#compressed(high, low, start, end - start);
			return;
		}
		const zero = table.getUint32(entry + 8);
		const allocated = table.getUint32(entry + 12);
		const offset = this.#allocated(high, low, start);
		if ((zero & allocated) !== 0) throw this.#damagedAt(start, "has subclusters that are both allocated and zero");
		if (offset === undefined && allocated !== 0) {
			throw this.#damagedAt(start, "has allocated subclusters, but no place for them");
		}
		const size = clusterSize / SUBCLUSTERS;
		for (let at = start; at < end; ) {
			const bit = 1 << (Math.floor(at / size) % SUBCLUSTERS);
			const length = Math.min(end, at - (at % size) + size) - at;
			if ((zero & bit) !== 0) yield { kind: "zero", at, length };
			else if ((allocated & bit) === 0 || offset === undefined) yield { kind: "absent", at, length };
			else yield { kind: "data", at, length, source: this.#data, offset: offset + (at % clusterSize) };
			at += length;
		}
	}

	#compressed(high: number, low: number, at: number, length: number): Run {
		const { clusterSize, clusterBits, dataFile, compression } = this.#header;
		if (dataFile !== undefined) throw this.#damagedAt(at, "is compressed in an external data file");
		const { offset, length: stored } = compressedRun(high, low, clusterBits);
		// The length counts whole sectors, so the last cluster of a file may claim more than the file has.
		checkRange(this.#source, offset, 1);
		const unit = { at: at - (at % clusterSize), length: clusterSize };
		return { kind: "compressed", at, length, source: this.#source, offset, stored, codec: compression, unit };
	}

	/** Where a standard cluster lies, if anywhere. */
	#allocated(high: number, low: number, at: number): number | undefined {
		const { clusterSize, dataFile } = this.#header;
		const offset = offsetOf(high, low);
		if (dataFile === undefined) {
			if (offset === 0) return undefined;
			if (offset % clusterSize !== 0) throw this.#damagedAt(at, `points into the middle of a cluster (${offset})`);
			return offset;
		}
		// An external data file may hold guest data at its very start, where the image itself has its header.
		if (offset === 0 && (high & COPIED_HIGH) === 0) return undefined;
		if (offset !== at - (at % clusterSize)) {
			throw this.#damagedAt(at, `lies elsewhere in the external data file (${offset})`);
		}
		return offset;
	}

	#damagedAt(guest: number, what: string) {
		const { name } = this.#source;
		return damaged(`${name}: the cluster for byte ${guest} of the virtual disk ${what}`, { file: name, hint: HINT });
	}
}

const tableAt = (l1: DataView, index: number) =>
	index * ENTRY_SIZE < l1.byteLength
		? offsetOf(l1.getUint32(index * ENTRY_SIZE), l1.getUint32(index * ENTRY_SIZE + 4))
		: 0;

/**
 * Each L1 entry must point at a table of its own inside the file: this finds most truncations when opening, and bounds
 * the tables by the file's size.
 */
function checkL1(l1: DataView, source: ByteSource, at: number, clusterSize: number): void {
	const file = source.name;
	const offsets = Float64Array.from({ length: l1.byteLength / ENTRY_SIZE }, (_, i) => tableAt(l1, i));
	const wrong = (offset: number, what: string) =>
		damaged(`${file}: the L2 table at ${offset} ${what}`, {
			file,
			offset: at + offsets.indexOf(offset) * ENTRY_SIZE,
			hint: HINT,
		});
	for (const offset of offsets) {
		if (offset === 0) continue;
		checkRange(source, offset, clusterSize);
		if (offset % clusterSize !== 0) throw wrong(offset, "is not at the start of a cluster");
	}
	let last = 0;
	for (const offset of offsets.toSorted()) {
		if (offset !== 0 && offset === last) throw wrong(offset, "is used twice");
		last = offset;
	}
}

/** Joins neighbours that {@link mappedDisk} would join as well, without a promise for each of them. */
function* joined(runs: Iterable<Run>): Generator<Run> {
	const joiner = new Joiner(continues);
	for (const run of runs) {
		const ended = joiner.add(run);
		if (ended !== undefined) yield ended;
	}
	const last = joiner.end();
	if (last !== undefined) yield last;
}
