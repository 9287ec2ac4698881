import { codec } from "../../bytes/codec/index.js";
import { damaged } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import { checkRange, readBytes } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { cached } from "../cache.js";
import type { Disk, Neighbours } from "../disk.js";
import { holding } from "../holding.js";
import { mappedDisk, type Run } from "../mapped.js";
import type { Qcow2Header } from "./header.js";
import { readHeader } from "./header.js";
import { COMPRESSED_HIGH, COPIED_HIGH, compressedRun, ENTRY_SIZE, offsetOf, ZERO_LOW } from "./layout.js";

/** Bytes of L2 tables that one open disk keeps. */
const L2_CACHE = 8 * 1024 * 1024;

const HINT = "Look at it with qemu-img check, or fetch the file again.";

export function openQcow2(source: ByteSource, neighbours: Neighbours): Promise<Disk> {
	return holding(async (hold) => {
		const header = await readHeader(source);
		const l1 = viewOf(await readBytes(source, header.l1.at, header.l1.entries * ENTRY_SIZE));
		checkL1(l1, source, header);
		const data = header.dataFile === undefined ? source : hold(await neighbours.open(header.dataFile));
		const { backing } = header;
		const below = backing === undefined ? undefined : hold(await neighbours.openDisk(backing.name, backing.format));
		const { name } = source;
		const clusters = new ClusterMap(source, header, l1, data);
		return mappedDisk({
			name,
			size: header.size,
			format: "qcow2",
			sectorSize: 512,
			below,
			runs: (start, end) => clusters.runs(start, end),
			async decode({ unit, offset }, input, into) {
				const limit = unit.length;
				const { bytes } = await codec(header.compression).decode(input, { limit, file: name, offset });
				if (bytes.length !== limit) {
					const what = `the cluster for byte ${unit.at} of the virtual disk decompresses to ${bytes.length} bytes`;
					throw damaged(`${name}: ${what}`, { file: name, offset, hint: HINT });
				}
				into.set(bytes);
			},
		});
	});
}

/** The two levels of tables that say where each cluster lies. */
class ClusterMap {
	readonly #source: ByteSource;
	readonly #header: Qcow2Header;
	readonly #clusterSize: number;
	readonly #l1: DataView;
	readonly #data: ByteSource;
	readonly #l2: (offset: number) => Promise<DataView>;

	constructor(source: ByteSource, header: Qcow2Header, l1: DataView, data: ByteSource) {
		this.#source = source;
		this.#header = header;
		this.#clusterSize = 2 ** header.clusterBits;
		this.#l1 = l1;
		this.#data = data;
		const room = Math.max(4, Math.floor(L2_CACHE / this.#clusterSize));
		this.#l2 = cached(room, async (offset) => viewOf(await readBytes(source, offset, this.#clusterSize)));
	}

	async *runs(start: number, end: number): AsyncGenerator<Run> {
		const clusterSize = this.#clusterSize;
		const tableSpan = clusterSize * (clusterSize / ENTRY_SIZE);
		for (let at = start; at < end; ) {
			const tableEnd = Math.min(end, at - (at % tableSpan) + tableSpan);
			const offset = entryOffset(this.#l1, Math.floor(at / tableSpan));
			if (offset === 0) {
				yield { kind: "absent", at, length: tableEnd - at };
				at = tableEnd;
				continue;
			}
			const table = await this.#l2(offset);
			while (at < tableEnd) {
				const length = Math.min(tableEnd, at - (at % clusterSize) + clusterSize) - at;
				yield this.#run(table, at, length);
				at += length;
			}
		}
	}

	#run(table: DataView, at: number, length: number): Run {
		const clusterSize = this.#clusterSize;
		const index = Math.floor(at / clusterSize) % (clusterSize / ENTRY_SIZE);
		const high = table.getUint32(index * ENTRY_SIZE);
		const low = table.getUint32(index * ENTRY_SIZE + 4);
		if ((high & COMPRESSED_HIGH) !== 0) {
			if (this.#header.dataFile !== undefined) throw this.#damagedAt(at, "is compressed in an external data file");
			const { offset, length: stored } = compressedRun(high, low, this.#header.clusterBits);
			// The length counts whole sectors, so the last cluster of a file may claim more than the file has.
			checkRange(this.#source, offset, 1);
			const unit = { at: at - (at % clusterSize), length: clusterSize };
			return { kind: "compressed", at, length, source: this.#source, offset, stored, unit };
		}
		if ((low & ZERO_LOW) !== 0) {
			if (this.#header.version === 2) throw this.#damagedAt(at, "has a flag that version 2 does not know");
			return { kind: "zero", at, length };
		}
		const offset = offsetOf(high, low);
		// An external data file may hold guest data at its very start, where the image itself has its header.
		const allocated = offset !== 0 || (this.#header.dataFile !== undefined && (high & COPIED_HIGH) !== 0);
		if (!allocated) return { kind: "absent", at, length };
		if (offset % clusterSize !== 0) throw this.#damagedAt(at, `points into the middle of a cluster (${offset})`);
		return { kind: "data", at, length, source: this.#data, offset: offset + (at % clusterSize) };
	}

	#damagedAt(guest: number, what: string) {
		const { name } = this.#source;
		return damaged(`${name}: the cluster for byte ${guest} of the virtual disk ${what}`, { file: name, hint: HINT });
	}
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
