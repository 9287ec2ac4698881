import { AnyvisorError, refused, unsupported } from "../../bytes/errors.js";
import type { ByteSink } from "../../bytes/sink.js";
import { copyUnits } from "../copy.js";
import type { Disk, WriteOptions, Written } from "../disk.js";
import { after } from "../table-pages.js";
import { variantOf } from "../variant.js";
import { OwnSpace } from "../without-holes.js";
import { Appender } from "../write-behind.js";
import { buildHeader } from "./build-header.js";
import type { Difference } from "./difference.js";
import { CLUSTER_BITS, compressedDescriptor, ENTRY_SIZE, L1_LIMIT, ownedEntry, ZERO_LOW } from "./layout.js";
import { FileSpace } from "./space.js";
import { Tables } from "./tables.js";

const DEFAULT_CLUSTER = 65_536;

/**
 * Writes version 3. Data clusters and L2 tables come in the disk's order, then L1, refcount blocks and refcount table;
 * the header, which makes it an image, comes last.
 */
export async function writeQcow2(disk: Disk, sink: ByteSink, options: WriteOptions): Promise<Written> {
	const { clusterSize, compression } = choices(disk, options);
	const { backing, preallocation } = options;
	const space = new FileSpace(sink, clusterSize);
	space.allocate(clusterSize);
	const tables = new Tables(sink, space, clusterSize, disk.size, preallocation !== undefined);
	const difference = backing && (await differenceTo(backing.disk, disk, clusterSize));
	const source = difference?.disk ?? disk;
	const clusters = new Clusters(tables, difference);

	// Shared blocks are reserved for nobody: they need space when they are changed.
	const into = preallocation === "full" ? new OwnSpace(sink) : sink;
	if (compression === undefined) await copyUnits(source, into, { unit: clusterSize, place: clusters.place }, options);
	else await writeCompressed(source, sink, { clusterSize, compression, clusters, tables, space, options });
	await clusters.finish();

	const l1 = await tables.finish();
	const refcounts = await space.finish();
	if (preallocation === "full") await reserve(sink, space.end);
	await sink.write(0, buildHeader({ clusterSize, size: disk.size, compression, l1, refcounts, backing }));
	return { size: space.end };
}

async function differenceTo(below: Disk, disk: Disk, clusterSize: number): Promise<Difference> {
	const { Difference } = await import("./difference.js");
	return new Difference(disk, below, clusterSize);
}

/** Tables lie between the clusters: where nothing can be reserved, there is no gap that zeros could be written to. */
async function reserve(sink: ByteSink, size: number): Promise<void> {
	if ((await sink.reserve?.(size)) === true) return;
	throw unsupported(`the file system of ${sink.name} cannot reserve space`, {
		file: sink.name,
		hint: "Leave the preallocation out, or write another format.",
	});
}

type Compression = "zlib" | "zstd";

interface Choices {
	readonly clusterSize: number;
	/** Undefined where nothing is compressed. */
	readonly compression: Compression | undefined;
}

function choices(disk: Disk, options: WriteOptions): Choices {
	const { unitSize: clusterSize = DEFAULT_CLUSTER, backing, preallocation } = options;
	const compressed = variantOf("qcow2", options, ["plain", "compressed"]) === "compressed";
	const usage = (message: string, hint: string) => new AnyvisorError("usage", message, { hint });
	const bits = Math.log2(clusterSize);
	if (!Number.isInteger(bits) || bits < CLUSTER_BITS.min || bits > CLUSTER_BITS.max) {
		throw usage(`qcow2 has no clusters of ${clusterSize} bytes`, "Choose a power of two from 512 to 2097152.");
	}
	if (preallocation !== undefined && compressed) {
		throw usage("compressed clusters cannot be preallocated", "Leave out one of the two.");
	}
	if (preallocation !== undefined && backing !== undefined) {
		throw usage("preallocated clusters would hide the backing file", "Leave out one of the two.");
	}
	const largest = (L1_LIMIT / ENTRY_SIZE) * (clusterSize / ENTRY_SIZE) * clusterSize;
	if (disk.size > largest) {
		const what = `${disk.name} has ${disk.size} bytes, more than the ${largest} that clusters of ${clusterSize} can hold`;
		throw refused(what, { file: disk.name, hint: "Choose larger clusters." });
	}
	return { clusterSize, compression: compressed ? (options.compression ?? "zlib") : undefined };
}

/** Gives data its place, and marks what is zero where the disk below is not. */
class Clusters {
	readonly #tables: Tables;
	readonly #difference: Difference | undefined;

	constructor(tables: Tables, difference: Difference | undefined) {
		this.#tables = tables;
		this.#difference = difference;
	}

	readonly place = (cluster: number): number | Promise<number> => {
		return after(this.ready(cluster), () => this.#tables.place(cluster));
	};

	/** Makes sure that the entry of a cluster can be set. */
	ready(cluster: number): Promise<void> | undefined {
		const zeros = this.#difference?.zeros[0];
		if (zeros === undefined || zeros.first > cluster) return this.#tables.begin(cluster);
		return this.#markZeros(cluster).then(() => this.#tables.begin(cluster));
	}

	finish(): Promise<void> {
		return this.#markZeros(Number.POSITIVE_INFINITY);
	}

	async #markZeros(before: number): Promise<void> {
		const zeros = this.#difference?.zeros ?? [];
		for (let range = zeros[0]; range !== undefined && range.first < before; range = zeros[0]) {
			zeros.shift();
			for (let cluster = range.first; cluster < range.end; cluster++) {
				await this.#tables.begin(cluster);
				this.#tables.set(cluster, { high: 0, low: ZERO_LOW });
			}
		}
	}
}

interface CompressedJob {
	readonly clusterSize: number;
	readonly compression: Compression;
	readonly clusters: Clusters;
	readonly tables: Tables;
	readonly space: FileSpace;
	readonly options: WriteOptions;
}

async function writeCompressed(disk: Disk, sink: ByteSink, job: CompressedJob): Promise<void> {
	const { clusterSize, clusters, tables, space, options } = job;
	const encoding = { codec: job.compression === "zlib" ? "deflate" : "zstd", level: options.level } as const;
	const { encodedUnits } = await import("../encoded.js");
	const stream = new Appender(sink);
	try {
		for await (const { index, bytes, packed } of encodedUnits(disk, clusterSize, encoding, options)) {
			await clusters.ready(index);
			const whole = packed.length >= clusterSize;
			const at = whole ? space.allocate(clusterSize) : space.pack(packed.length);
			const entry = whole ? ownedEntry(at) : compressedDescriptor(at, packed.length, Math.log2(clusterSize));
			tables.set(index, entry);
			if (at !== stream.position) stream.skipTo(at);
			await stream.append(whole ? bytes : packed);
		}
		await stream.finish();
	} finally {
		await stream.settle();
	}
}
