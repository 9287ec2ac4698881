import { codec } from "../../bytes/codec/index.js";
import { refused } from "../../bytes/errors.js";
import type { ByteSink } from "../../bytes/sink.js";
import { viewOf } from "../../bytes/struct.js";
import { copyUnits } from "../copy.js";
import type { Disk, WriteOptions, Written } from "../disk.js";
import { encodedUnits } from "../sparse.js";
import { variantOf } from "../variant.js";
import { Appender } from "../write-behind.js";
import {
	COMPRESSION_TYPES,
	compressedDescriptor,
	ENTRY_SIZE,
	Header,
	HeaderV3,
	Incompatible,
	L1_LIMIT,
	MAGIC,
	ownedEntry,
} from "./layout.js";

const CLUSTER_BITS = 16;
const CLUSTER = 2 ** CLUSTER_BITS;
const ENTRIES = CLUSTER / ENTRY_SIZE;
/** What the largest L1 table that readers accept can map. */
const MAX_SIZE = (L1_LIMIT / ENTRY_SIZE) * ENTRIES * CLUSTER;

/** Refcounts of 16 bits, as every version 2 reader expects. */
const REFCOUNT_ORDER = 4;
const REFCOUNTS_PER_BLOCK = CLUSTER / 2;

/**
 * Writes version 3 with clusters of 64 KiB. Data clusters and L2 tables come in the disk's order, then L1, refcount
 * blocks and refcount table; the header, which makes it an image, comes last.
 */
export async function writeQcow2(disk: Disk, sink: ByteSink, options: WriteOptions): Promise<Written> {
	if (disk.size > MAX_SIZE) {
		throw refused(`${disk.name} has ${disk.size} bytes, more than the 2 PiB that clusters of 64 KiB can hold`, {
			file: disk.name,
		});
	}
	const compressed = variantOf("qcow2", options, ["plain", "compressed"]) === "compressed";
	const zstd = compressed && options.compression === "zstd";
	const compress = compressed ? compressor(zstd ? "zstd" : "deflate", options.level) : undefined;
	const file = new Allocator();
	file.allocate(CLUSTER);
	const l1 = new Table(Math.ceil(disk.size / (CLUSTER * ENTRIES)));
	let l2: { readonly index: number; readonly table: Table } | undefined;

	const finishL2 = async () => {
		if (l2 === undefined) return;
		const at = file.allocate(CLUSTER);
		await sink.write(at, l2.table.bytes);
		l1.set(l2.index, ownedEntry(at));
	};

	const tableOf = async (cluster: number) => {
		const index = Math.floor(cluster / ENTRIES);
		if (l2?.index !== index) {
			await finishL2();
			l2 = { index, table: new Table(ENTRIES) };
		}
		return l2.table;
	};
	if (compress === undefined) {
		const place = async (cluster: number) => {
			const table = await tableOf(cluster);
			const at = file.allocate(CLUSTER);
			table.set(cluster % ENTRIES, ownedEntry(at));
			return at;
		};
		await copyUnits(disk, sink, { unit: CLUSTER, place }, options);
	} else {
		const clusters = new Appender(sink);
		try {
			for await (const { index, bytes, result: packed } of encodedUnits(disk, CLUSTER, compress, options)) {
				const table = await tableOf(index);
				const whole = packed.length >= CLUSTER;
				const at = whole ? file.allocate(CLUSTER) : file.pack(packed.length);
				if (at !== clusters.position) clusters.skipTo(at);
				await clusters.append(whole ? bytes : packed);
				table.set(index % ENTRIES, whole ? ownedEntry(at) : compressedDescriptor(at, packed.length, CLUSTER_BITS));
			}
			await clusters.finish();
		} finally {
			await clusters.settle();
		}
	}
	await finishL2();

	const l1At = file.allocate(l1.bytes.length);
	await sink.write(l1At, l1.bytes);
	const refcounts = await writeRefcounts(file, sink);
	await sink.write(0, buildHeader(disk.size, zstd, l1, l1At, refcounts));
	return { size: file.end };
}

function compressor(id: "deflate" | "zstd", level: number | undefined): (bytes: Uint8Array) => Promise<Uint8Array> {
	const chosen = codec(id);
	if (chosen.encode === undefined) throw new TypeError(`the ${id} codec cannot compress`);
	const encode = chosen.encode.bind(chosen);
	return (bytes) => encode(bytes, level);
}

function buildHeader(
	size: number,
	zstd: boolean,
	l1: Table,
	l1At: number,
	refcounts: { readonly at: number; readonly clusters: number },
): Uint8Array {
	const bytes = new Uint8Array(CLUSTER);
	bytes.set(
		Header.build({
			magic: MAGIC,
			version: 3,
			cluster_bits: CLUSTER_BITS,
			size,
			l1_size: l1.length,
			l1_table_offset: l1At,
			refcount_table_offset: refcounts.at,
			refcount_table_clusters: refcounts.clusters,
		}),
	);
	bytes.set(
		HeaderV3.build({
			incompatible_features: zstd ? Incompatible.compressionType : 0n,
			compatible_features: 0n,
			autoclear_features: 0n,
			refcount_order: REFCOUNT_ORDER,
			header_length: Header.size + HeaderV3.size,
			compression_type: COMPRESSION_TYPES.indexOf(zstd ? "zstd" : "deflate"),
		}),
		Header.size,
	);
	return bytes;
}

/** An L1 or L2 table under construction, in whole clusters. */
class Table {
	readonly bytes: Uint8Array;
	readonly #view: DataView;
	readonly length: number;

	constructor(length: number) {
		this.length = length;
		this.bytes = new Uint8Array(Math.max(1, Math.ceil((length * ENTRY_SIZE) / CLUSTER)) * CLUSTER);
		this.#view = viewOf(this.bytes);
	}

	set(index: number, { high, low }: { readonly high: number; readonly low: number }): void {
		this.#view.setUint32(index * ENTRY_SIZE, high);
		this.#view.setUint32(index * ENTRY_SIZE + 4, low);
	}
}

/** Hands out the file's space from its start, and counts the references of every cluster. */
class Allocator {
	/** First byte not in use. */
	end = 0;
	#refcounts = new Uint16Array(1024);

	/** Whole clusters of their own. */
	allocate(length: number): number {
		const at = Math.ceil(this.end / CLUSTER) * CLUSTER;
		this.end = at + Math.ceil(length / CLUSTER) * CLUSTER;
		this.#count(at, this.end);
		return at;
	}

	/** `length` bytes right behind the last ones; every cluster that their sectors touch gets one more reference. */
	pack(length: number): number {
		const at = this.end;
		this.end = at + length;
		this.#count(at, this.end);
		return at;
	}

	#count(from: number, to: number): void {
		const last = Math.floor((to - 1) / CLUSTER);
		if (last >= this.#refcounts.length) {
			const larger = new Uint16Array(Math.max(last + 1, this.#refcounts.length * 2));
			larger.set(this.#refcounts);
			this.#refcounts = larger;
		}
		for (let i = Math.floor(from / CLUSTER); i <= last; i++) this.#refcounts[i] = (this.#refcounts[i] ?? 0) + 1;
	}

	/** The refcount block whose first entry is for cluster `first`. */
	refcountBlock(first: number): Uint8Array {
		const block = new Uint8Array(CLUSTER);
		const view = viewOf(block);
		this.#refcounts.subarray(first, first + REFCOUNTS_PER_BLOCK).forEach((count, i) => view.setUint16(i * 2, count));
		return block;
	}
}

/** Appends refcount blocks and table; they count themselves as well. */
async function writeRefcounts(file: Allocator, sink: ByteSink): Promise<{ at: number; clusters: number }> {
	const used = Math.ceil(file.end / CLUSTER);
	let blocks = 0;
	let clusters = 0;
	for (;;) {
		const neededBlocks = Math.ceil((used + blocks + clusters) / REFCOUNTS_PER_BLOCK);
		const neededClusters = Math.ceil((neededBlocks * ENTRY_SIZE) / CLUSTER);
		if (neededBlocks === blocks && neededClusters === clusters) break;
		blocks = neededBlocks;
		clusters = neededClusters;
	}
	const at = file.allocate(clusters * CLUSTER);
	const table = new Table(clusters * ENTRIES);
	const firstBlock = file.allocate(blocks * CLUSTER);
	for (let i = 0; i < blocks; i++) {
		const blockAt = firstBlock + i * CLUSTER;
		table.set(i, { high: Math.floor(blockAt / 2 ** 32), low: blockAt % 2 ** 32 });
		await sink.write(blockAt, file.refcountBlock(i * REFCOUNTS_PER_BLOCK));
	}
	await sink.write(at, table.bytes);
	return { at, clusters };
}
