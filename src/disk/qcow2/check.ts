import { damaged } from "../../bytes/errors.js";
import { type ByteSource, readBytes, readUpTo } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import type { Finding } from "../disk.js";
import { clusterUses } from "./cluster-uses.js";
import { type L1Place, type Qcow2Header, readHeader } from "./header.js";
import {
	BITMAP_LIMIT,
	BITMAP_RESERVED_HIGH,
	BitmapEntry,
	COPIED_HIGH,
	ENTRY_ALIGNMENT,
	ENTRY_SIZE,
	L1_LIMIT,
	L1_RESERVED_HIGH,
	offsetOf,
	RESERVED_LOW,
	ZERO_LOW,
} from "./layout.js";
import { ReferenceCounts } from "./references.js";
import { readSnapshots } from "./snapshots.js";
import { StoredRefcounts } from "./stored-refcounts.js";

/** Bytes of a table that are read at once. */
const PIECE = 65_536;

/**
 * Counts the references to every cluster of the file, and compares them with the refcounts that the image keeps. Each
 * L2 table is looked through once, however many snapshots share it.
 */
export async function* checkQcow2(source: ByteSource): AsyncGenerator<Finding> {
	const header = await readHeader(source);
	const { snapshots, length } = await readSnapshots(source, header);
	const check = new Check(source, header, await StoredRefcounts.open(source, header));
	const { clusterSize, refcounts, encryptionHeader } = header;
	if (header.dirty) yield check.finding("warning", 0, "it was not closed properly: its refcounts may be out of date");

	yield* check.claim({ at: 0, length: clusterSize, what: "the header" });
	const tables = [header.l1];
	yield* check.claimL1(header.l1, "the L1 table", true);
	for (const { snapshot, l1 } of snapshots) {
		const what = `the L1 table of snapshot ${snapshot.id} (${snapshot.name})`;
		if (l1.at % clusterSize !== 0 || l1.entries * ENTRY_SIZE > L1_LIMIT) {
			yield check.finding("error", l1.at, `${what} cannot have ${l1.entries} entries at ${l1.at}`);
			continue;
		}
		yield* check.claimL1(l1, what, false);
		tables.push(l1);
	}
	for (const [i, l1] of tables.entries()) yield* check.walk(l1, i === 0);

	yield* check.claim({ at: header.snapshots.at, length, what: "the snapshot table" });
	yield* check.claim({ at: refcounts.at, length: refcounts.clusters * clusterSize, what: "the refcount table" });
	if (encryptionHeader !== undefined) {
		const { offset, length } = encryptionHeader;
		yield* check.claim({ at: offset, length, what: "the encryption header" });
	}
	yield* check.claimBitmaps();
	yield* check.claimRefcountBlocks();
	yield* check.compare();
}

const NONE: readonly Finding[] = [];

const NAMES = { standard: "a cluster", compressed: "a compressed cluster" } as const;

/** A stretch of the file that something uses. */
interface Claim {
	readonly at: number;
	readonly length: number;
	readonly what: string;
	/** How many references this stands for; 1 where left out. */
	readonly times?: number;
	/** Where the file says so. */
	readonly from?: number;
}

class Check {
	readonly #source: ByteSource;
	readonly #header: Qcow2Header;
	readonly #stored: StoredRefcounts;
	readonly #references: ReferenceCounts;
	/** References of L1 entries alone, to L2 tables that have not been looked through. */
	readonly #tables: ReferenceCounts;
	#tableBytes = 0;

	constructor(source: ByteSource, header: Qcow2Header, stored: StoredRefcounts) {
		this.#source = source;
		this.#header = header;
		this.#stored = stored;
		this.#references = new ReferenceCounts(source.name);
		this.#tables = new ReferenceCounts(source.name);
	}

	finding(severity: Finding["severity"], offset: number, what: string): Finding {
		const file = this.#source.name;
		return { severity, message: `${file}: ${what}`, file, offset };
	}

	/** Counts the clusters that something uses; a finding where they are not in the file. */
	claim({ at, length, what, times = 1, from = at }: Claim): readonly Finding[] {
		const { clusterSize } = this.#header;
		if (length === 0) return NONE;
		// The file may end inside of its last cluster.
		if (!(at + length - this.#source.size < clusterSize)) {
			return [this.finding("error", from, `${what} at ${at} lies beyond the end of the file`)];
		}
		const end = Math.ceil((at + length) / clusterSize);
		for (let i = Math.floor(at / clusterSize); i < end; i++) this.#references.add(i, times);
		return NONE;
	}

	/** An L1 table, and the L2 tables that it refers to. */
	async *claimL1(l1: L1Place, what: string, active: boolean): AsyncGenerator<Finding> {
		const { clusterSize } = this.#header;
		yield* this.claim({ at: l1.at, length: l1.entries * ENTRY_SIZE, what });
		for await (const { high, low, from } of this.#entries(l1.at, l1.entries)) {
			if ((high & L1_RESERVED_HIGH) !== 0 || (low & RESERVED_LOW) !== 0) {
				yield this.finding("error", from, "an L1 entry has reserved bits set");
			}
			const at = offsetOf(high, low);
			if (at === 0) continue;
			yield* this.claim({ at, length: clusterSize, what: "an L2 table", from });
			if (at % clusterSize !== 0) {
				yield this.finding("error", from, `the L2 table at ${at} is not at the start of a cluster`);
				continue;
			}
			if (at < this.#source.size) this.#tables.add(at / clusterSize, 1);
			if (active) yield* this.#checkCopied(high, at, from, await this.#stored.of(at / clusterSize));
		}
	}

	/** Looks through the L2 tables that an L1 table refers to, and that have not been looked through. */
	async *walk(l1: L1Place, active: boolean): AsyncGenerator<Finding> {
		const { clusterSize } = this.#header;
		for await (const { high, low } of this.#entries(l1.at, l1.entries)) {
			const at = offsetOf(high, low);
			if (at === 0 || at % clusterSize !== 0) continue;
			const times = this.#tables.take(at / clusterSize);
			if (times === 0) continue;
			const table = new Uint8Array(clusterSize);
			table.set(await readUpTo(this.#source, at, clusterSize));
			yield* this.#walkTable(viewOf(table), at, times, active);
		}
	}

	async *#walkTable(table: DataView, tableAt: number, times: number, active: boolean): AsyncGenerator<Finding> {
		const { clusterSize, dataFile } = this.#header;
		for (const use of clusterUses(table, this.#header)) {
			const from = tableAt + use.entryAt;
			if (use.kind === "wrong") {
				yield this.finding("error", from, use.what);
				continue;
			}
			const { kind, offset: at, length } = use;
			if (dataFile === undefined) {
				// Nearly always there is nothing to yield, which an image has millions of.
				const findings = this.claim({ at, length, what: NAMES[kind], times, from });
				if (findings.length > 0) yield* findings;
			}
			if (!active || kind === "compressed") continue;
			const stored = dataFile === undefined ? this.#stored.of(Math.floor(at / clusterSize)) : 1;
			const refcount = typeof stored === "object" ? await stored : stored;
			const findings = this.#checkCopied(use.high, at, from, refcount);
			if (findings.length > 0) yield* findings;
		}
	}

	/** The flag says whether the refcount is one, for writers to know at once. */
	#checkCopied(high: number, at: number, from: number, refcount: number | undefined): readonly Finding[] {
		const copied = (high & COPIED_HIGH) !== 0;
		if (refcount === undefined || (refcount === 1) === copied) return NONE;
		const flag = copied ? "is marked as used once" : "is not marked as used once";
		return [this.finding("error", from, `what lies at ${at} ${flag}, but its refcount is ${refcount}`)];
	}

	async *claimBitmaps(): AsyncGenerator<Finding> {
		const { bitmaps } = this.#header;
		if (bitmaps === undefined) return;
		const { bitmap_directory_offset: start, bitmap_directory_size: length, nb_bitmaps: count } = bitmaps;
		yield* this.claim({ at: start, length, what: "the bitmap directory" });
		if (count > BITMAP_LIMIT) throw this.#damaged(start, `${count} bitmaps are more than the limit of ${BITMAP_LIMIT}`);
		let at = start;
		for (let i = 0; i < count; i++) {
			const bytes = await readBytes(this.#source, at, BitmapEntry.size);
			const entry = BitmapEntry.parse(bytes, 0, this.#source.name, at);
			const used = BitmapEntry.size + entry.extra_data_size + entry.name_size;
			yield* this.#claimBitmap({ at: entry.bitmap_table_offset, entries: entry.bitmap_table_size });
			at += Math.ceil(used / ENTRY_ALIGNMENT) * ENTRY_ALIGNMENT;
		}
	}

	async *#claimBitmap({ at, entries }: L1Place): AsyncGenerator<Finding> {
		const { clusterSize } = this.#header;
		yield* this.claim({ at, length: entries * ENTRY_SIZE, what: "a bitmap table" });
		for await (const { high, low, from } of this.#entries(at, entries)) {
			const offset = offsetOf(high, low);
			const reserved = offset === 0 ? RESERVED_LOW - ZERO_LOW : RESERVED_LOW;
			if ((high & BITMAP_RESERVED_HIGH) !== 0 || (low & reserved) !== 0 || offset % clusterSize !== 0) {
				yield this.finding("error", from, `a bitmap's cluster cannot lie at ${offset}`);
			} else if (offset !== 0) {
				yield* this.claim({ at: offset, length: clusterSize, what: "a bitmap's cluster", from });
			}
		}
	}

	*claimRefcountBlocks(): Generator<Finding> {
		const { clusterSize, refcounts } = this.#header;
		for (let i = 0; i < this.#stored.length; i++) {
			const { offset, reserved } = this.#stored.place(i);
			const from = refcounts.at + i * ENTRY_SIZE;
			if (reserved) yield this.finding("error", from, "a refcount table entry has reserved bits set");
			else if (offset % clusterSize !== 0) {
				yield this.finding("error", from, `the refcount block at ${offset} is not at the start of a cluster`);
			} else if (offset >= this.#source.size) {
				yield this.finding("error", from, `the refcount block at ${offset} lies beyond the end of the file`);
			} else if (offset !== 0) {
				yield* this.claim({ at: offset, length: clusterSize, what: "a refcount block", from });
				const count = this.#references.get(offset / clusterSize);
				if (count !== 1) yield this.finding("error", from, `the refcount block at ${offset} is used ${count} times`);
			}
		}
	}

	/** Compares the stored refcounts with the references that were counted. */
	async *compare(): AsyncGenerator<Finding> {
		const { clusterSize } = this.#header;
		const { span } = this.#stored;
		const end = Math.max(Math.ceil(this.#source.size / clusterSize), this.#references.end);
		const described = Math.min(this.#stored.length, Math.ceil(end / span));
		for (let i = 0; i < described; i++) {
			const block = await this.#stored.block(i);
			const [first, last] = [i * span, Math.min(end, (i + 1) * span)];
			if (block === undefined) continue;
			if (block.empty) yield* this.#unaccounted(first, last);
			else {
				for (let cluster = first; cluster < last; cluster++) {
					const refcount = block.get(cluster - first);
					if (refcount !== this.#references.get(cluster)) yield this.#mismatch(cluster, refcount);
				}
			}
		}
		yield* this.#unaccounted(described * span, end);
	}

	/** Clusters with references, but without a block for their refcounts. */
	*#unaccounted(from: number, to: number): Generator<Finding> {
		for (const cluster of this.#references.used(from, to)) yield this.#mismatch(cluster, 0);
	}

	#mismatch(cluster: number, refcount: number): Finding {
		const references = this.#references.get(cluster);
		const what = `cluster ${cluster} has the refcount ${refcount}, but is used ${references} times`;
		return this.finding(refcount < references ? "error" : "leak", cluster * this.#header.clusterSize, what);
	}

	/** The entries of a table that are not empty, as far as it lies inside the file. */
	async *#entries(
		at: number,
		count: number,
	): AsyncGenerator<{ readonly high: number; readonly low: number; readonly from: number }> {
		// Tables that do not overlap are no longer than their file; each of them is gone through twice at most.
		const end = Math.min(this.#source.size, at + count * ENTRY_SIZE);
		this.#tableBytes += Math.max(0, end - at);
		if (this.#tableBytes > 2 * this.#source.size) throw this.#damaged(at, "its tables overlap each other");
		for (let next = at; next < end; next += PIECE) {
			const view = viewOf(await readUpTo(this.#source, next, Math.min(PIECE, end - next)));
			for (let i = 0; i + ENTRY_SIZE <= view.byteLength; i += ENTRY_SIZE) {
				const high = view.getUint32(i);
				const low = view.getUint32(i + 4);
				if (high !== 0 || low !== 0) yield { high, low, from: next + i };
			}
		}
	}

	#damaged(offset: number, what: string) {
		const file = this.#source.name;
		return damaged(`${file}: ${what}`, { file, offset, hint: "Look at it with qemu-img check." });
	}
}
