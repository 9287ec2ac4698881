import { codec } from "../../bytes/codec/index.js";
import { damaged } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import { checkRange, readBytes, readUpTo } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import type { OverlayExtent } from "../backing.js";
import { extentsOver, readBelow } from "../backing.js";
import { cached } from "../cache.js";
import type { Disk, Extent, Neighbours } from "../disk.js";
import { holding } from "../holding.js";
import { inOrder } from "../sparse.js";
import type { Qcow2Header } from "./header.js";
import { readHeader } from "./header.js";
import { COMPRESSED_HIGH, COPIED_HIGH, compressedRun, ENTRY_SIZE, offsetOf, ZERO_LOW } from "./layout.js";

/** Bounds of what one open disk keeps in memory, in bytes. */
const L2_CACHE = 8 * 1024 * 1024;
const CLUSTER_CACHE = 8 * 1024 * 1024;
const RUNS_IN_FLIGHT = 4;

/** Where guest bytes come from; `offset` is in the file that holds the data clusters. */
type Place =
	| { readonly kind: "absent" | "zero" }
	| { readonly kind: "data"; readonly offset: number }
	| { readonly kind: "compressed"; readonly high: number; readonly low: number };
type Run = Place & { readonly at: number; length: number };

const HINT = "Look at it with qemu-img check, or fetch the file again.";

export function openQcow2(source: ByteSource, neighbours: Neighbours): Promise<Disk> {
	return holding(async (hold) => {
		const header = await readHeader(source);
		const l1 = viewOf(await readBytes(source, header.l1.at, header.l1.entries * ENTRY_SIZE));
		checkL1(l1, source, header);
		const data = header.dataFile === undefined ? source : hold(await neighbours.open(header.dataFile));
		const { backing } = header;
		const below = backing === undefined ? undefined : hold(await neighbours.openDisk(backing.name, backing.format));
		return new Qcow2Disk(source, header, l1, data, below);
	});
}

class Qcow2Disk implements Disk {
	readonly name: string;
	readonly size: number;
	readonly format = "qcow2";
	readonly sectorSize = 512;
	readonly #source: ByteSource;
	readonly #header: Qcow2Header;
	readonly #clusterSize: number;
	readonly #l1: DataView;
	readonly #data: ByteSource;
	readonly #below: Disk | undefined;
	readonly #l2: (offset: number) => Promise<DataView>;
	/** Decompressed clusters by their place on the virtual disk. */
	readonly #decoded: (guest: number) => Promise<Uint8Array>;

	constructor(source: ByteSource, header: Qcow2Header, l1: DataView, data: ByteSource, below: Disk | undefined) {
		this.name = source.name;
		this.size = header.size;
		this.#source = source;
		this.#header = header;
		this.#clusterSize = 2 ** header.clusterBits;
		this.#l1 = l1;
		this.#data = data;
		this.#below = below;
		const room = (bytes: number) => Math.max(4, Math.floor(bytes / this.#clusterSize));
		this.#l2 = cached(room(L2_CACHE), (offset) => this.#readL2(offset));
		this.#decoded = cached(room(CLUSTER_CACHE), (guest) => this.#decode(guest));
	}

	async read(at: number, into: Uint8Array): Promise<void> {
		checkRange(this, at, into.length);
		const fill = (run: Run) => this.#fill(run, into.subarray(run.at - at, run.at - at + run.length));
		for await (const _ of inOrder(this.#runs(at, at + into.length), RUNS_IN_FLIGHT, fill));
	}

	extents(): AsyncIterable<Extent> {
		return extentsOver(this.#ownExtents(), this.#below);
	}

	async *#ownExtents(): AsyncGenerator<OverlayExtent> {
		for await (const { at, length, kind } of this.#runs(0, this.size)) {
			yield { at, length, kind: kind === "compressed" ? "data" : kind };
		}
	}

	async #fill(run: Run, into: Uint8Array): Promise<void> {
		switch (run.kind) {
			case "absent":
				return readBelow(this.#below, run.at, into);
			case "zero":
				into.fill(0);
				return;
			case "data":
				return this.#data.read(run.offset, into);
			case "compressed": {
				const within = run.at % this.#clusterSize;
				const cluster = await this.#decoded(run.at - within);
				into.set(cluster.subarray(within, within + run.length));
			}
		}
	}

	/** The runs of `[start, end)`, neighbours of one kind joined; a compressed run never leaves its cluster. */
	async *#runs(start: number, end: number): AsyncGenerator<Run> {
		const tableSpan = this.#clusterSize * (this.#clusterSize / ENTRY_SIZE);
		let pending: Run | undefined;
		for (let at = start; at < end; ) {
			const table = await this.#tableOf(at);
			const tableEnd = Math.min(end, at - (at % tableSpan) + tableSpan);
			while (at < tableEnd) {
				const place: Place = table === undefined ? { kind: "absent" } : this.#place(table, at);
				const unit = table === undefined ? tableSpan : this.#clusterSize;
				const length = Math.min(tableEnd, at - (at % unit) + unit) - at;
				if (pending !== undefined && continues(pending, place)) {
					pending.length += length;
				} else {
					if (pending !== undefined) yield pending;
					pending = { ...place, at, length };
				}
				at += length;
			}
		}
		if (pending !== undefined) yield pending;
	}

	/** The L2 table for the guest offset `at`; undefined where nothing under it is allocated. */
	async #tableOf(at: number): Promise<DataView | undefined> {
		const index = Math.floor(at / (this.#clusterSize * (this.#clusterSize / ENTRY_SIZE)));
		const offset = entryOffset(this.#l1, index);
		return offset === 0 ? undefined : this.#l2(offset);
	}

	async #readL2(offset: number): Promise<DataView> {
		return viewOf(await readBytes(this.#source, offset, this.#clusterSize));
	}

	#place(table: DataView, at: number): Place {
		const index = Math.floor(at / this.#clusterSize) % (this.#clusterSize / ENTRY_SIZE);
		const high = table.getUint32(index * ENTRY_SIZE);
		const low = table.getUint32(index * ENTRY_SIZE + 4);
		if ((high & COMPRESSED_HIGH) !== 0) {
			if (this.#header.dataFile !== undefined) throw this.#damagedAt(at, "is compressed in an external data file");
			return { kind: "compressed", high, low };
		}
		if ((low & ZERO_LOW) !== 0) {
			if (this.#header.version === 2) throw this.#damagedAt(at, "has a flag that version 2 does not know");
			return { kind: "zero" };
		}
		const offset = offsetOf(high, low);
		// An external data file may hold guest data at its very start, where the image itself has its header.
		const allocated = offset !== 0 || (this.#header.dataFile !== undefined && (high & COPIED_HIGH) !== 0);
		if (!allocated) return { kind: "absent" };
		if (offset % this.#clusterSize !== 0) throw this.#damagedAt(at, `points into the middle of a cluster (${offset})`);
		return { kind: "data", offset: offset + (at % this.#clusterSize) };
	}

	async #decode(guest: number): Promise<Uint8Array> {
		const table = await this.#tableOf(guest);
		const place = table === undefined ? undefined : this.#place(table, guest);
		if (place?.kind !== "compressed") throw new RangeError(`no compressed cluster at ${guest}`);
		const { offset, length } = compressedRun(place.high, place.low, this.#header.clusterBits);
		checkRange(this.#source, offset, 1);
		// The length counts whole sectors, so the last cluster of a file may claim more than the file has.
		const input = await readUpTo(this.#source, offset, length);
		const limit = this.#clusterSize;
		const { bytes } = await codec(this.#header.compression).decode(input, { limit, file: this.name, offset });
		if (bytes.length !== limit) throw this.#damagedAt(guest, `decompresses to ${bytes.length} bytes`, offset);
		return bytes;
	}

	#damagedAt(guest: number, what: string, offset?: number) {
		const place = offset === undefined ? { file: this.name } : { file: this.name, offset };
		return damaged(`${this.name}: the cluster for byte ${guest} of the virtual disk ${what}`, { ...place, hint: HINT });
	}
}

/** Whether `place` goes on where `run` ends. */
function continues(run: Run, place: Place): boolean {
	if (run.kind === "data") return place.kind === "data" && place.offset === run.offset + run.length;
	return run.kind === place.kind && run.kind !== "compressed";
}

const entryOffset = (table: DataView, index: number) =>
	offsetOf(table.getUint32(index * ENTRY_SIZE), table.getUint32(index * ENTRY_SIZE + 4));

/**
 * Each L1 entry must point at a table of its own inside the file: this finds most truncations when opening, and bounds
 * the tables by the file's size.
 */
function checkL1(l1: DataView, source: ByteSource, header: Qcow2Header): void {
	const clusterSize = 2 ** header.clusterBits;
	const seen = new Set<number>();
	for (let i = 0; i < header.l1.entries; i++) {
		const offset = entryOffset(l1, i);
		if (offset === 0) continue;
		checkRange(source, offset, clusterSize);
		if (offset % clusterSize !== 0 || seen.has(offset)) {
			const what = seen.has(offset) ? "is used twice" : "is not at the start of a cluster";
			throw damaged(`${source.name}: the L2 table at ${offset} ${what}`, {
				file: source.name,
				offset: header.l1.at + i * ENTRY_SIZE,
				hint: HINT,
			});
		}
		seen.add(offset);
	}
}
