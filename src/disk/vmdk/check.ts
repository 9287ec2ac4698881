import { AnyvisorError } from "../../bytes/errors.js";
import { inOrder } from "../../bytes/in-order.js";
import { type ByteSource, readUpTo } from "../../bytes/source.js";
import type { Finding, Neighbours } from "../disk.js";
import type { ExtentLine } from "./descriptor.js";
import type { GrainTables } from "./grain-tables.js";
import { hostedTables } from "./hosted-extent.js";
import { FLAG, GrainMarker, type HostedHeader, SECTOR, SparseExtentHeader } from "./layout.js";
import type { DiskPart } from "./part.js";
import { openPart, readImage } from "./read.js";

/**
 * Looks for what reading does not notice: tables and grains that lie on top of each other, redundant tables that differ,
 * sizes that contradict each other.
 */
export async function* checkVmdk(source: ByteSource, neighbours: Neighbours): AsyncGenerator<Finding> {
	const file = source.name;
	const { descriptor, embedding } = await readImage(source);
	if (embedding !== undefined) {
		const described = descriptor.extents.reduce((sum, line) => sum + line.size, 0);
		if (described !== embedding.size) {
			const message = `${file}: its descriptor says ${described} bytes, its header ${embedding.size}`;
			yield { severity: "warning", message, file };
		}
		yield* checkSparse(source, embedding);
	} else {
		for (const line of descriptor.extents) yield* checkExtent(line, descriptor.extents, file, neighbours);
	}
}

async function* checkExtent(
	line: ExtentLine,
	lines: readonly ExtentLine[],
	file: string,
	neighbours: Neighbours,
): AsyncGenerator<Finding> {
	let opened: ByteSource | undefined;
	try {
		const part = await openPart(line, file, async (name) => (opened = await neighbours.open(name)));
		if (opened === undefined) return;
		const held = part.sparse === undefined ? opened.size : part.sparse.tables.layout.size;
		const shared = lines.some((other) => other !== line && other.fileName === line.fileName);
		if (held > line.offset + line.size && !shared) {
			const message = `${opened.name}: holds ${held} bytes, of which its descriptor uses ${line.size}`;
			yield { severity: "warning", message, file: opened.name };
		}
		yield* checkSparse(opened, part);
	} finally {
		await opened?.[Symbol.asyncDispose]?.();
	}
}

async function* checkSparse(source: ByteSource, { sparse }: DiskPart): AsyncGenerator<Finding> {
	if (sparse === undefined) return;
	const file = source.name;
	const { tables, unclean, header } = sparse;
	if (unclean) {
		const message = `${file}: it was not closed: the VM crashed, is still running, or the file was copied meanwhile`;
		yield { severity: "warning", message, file };
	}
	const metadata = await tableRanges(tables);
	if (header !== undefined) {
		metadata.push({ at: 0, length: SECTOR });
		metadata.push({ at: header.descriptorOffset * SECTOR, length: header.descriptorSize * SECTOR });
		yield* checkRedundant(source, tables, header, metadata);
	}
	if (metadata.length > MOST_RANGES) {
		const message = `${file}: its grain tables are in so many places that not all of them were compared with the data`;
		yield { severity: "warning", message, file };
	}
	const taken = metadata.filter(({ length }) => length > 0).sort((a, b) => a.at - b.at);
	for (const [i, { at, length }] of taken.entries()) {
		const next = taken[i + 1];
		if (next === undefined || next.at >= at + length) continue;
		const message = `${file}: header, descriptor or tables lie on top of each other at byte ${next.at}`;
		yield { severity: "error", message, file, offset: next.at };
	}
	yield* tables.layout.compressed ? checkMarkers(source, tables) : checkPlaces(source, tables, taken);
}

/** Compares the redundant tables, where there are any, with the others, and adds where they lie to `metadata`. */
async function* checkRedundant(
	source: ByteSource,
	tables: GrainTables,
	header: HostedHeader,
	metadata: Range[],
): AsyncGenerator<Finding> {
	if ((header.flags & FLAG.redundantGrainTable) === 0 || header.rgdOffset === 0n) return;
	try {
		const redundant = hostedTables(source, header, Number(header.rgdOffset));
		yield* compareTables(source, tables, redundant);
		for (const range of await tableRanges(redundant)) if (metadata.length <= MOST_RANGES) metadata.push(range);
	} catch (error) {
		if (!(error instanceof AnyvisorError) || error.kind !== "damaged") throw error;
		const message = `${source.name}: the redundant grain tables cannot be read: ${error.message}`;
		yield { severity: "warning", message, file: source.name, offset: SparseExtentHeader.offsets.rgdOffset };
	}
}

/** Tables that are compared at once. */
const WINDOW = 512;

async function* compareTables(
	source: ByteSource,
	tables: GrainTables,
	redundant: GrainTables,
): AsyncGenerator<Finding> {
	const words = tables.tableSize / Uint32Array.BYTES_PER_ELEMENT;
	let different = 0;
	let first = 0;
	for (let index = 0; index < tables.count; index += WINDOW) {
		const end = Math.min(tables.count, index + WINDOW);
		const one = await contentOf(tables, index, end);
		const other = await contentOf(redundant, index, end);
		if (one === undefined && other === undefined) continue;
		for (let table = index; table < end; table++) {
			const to = (table - index + 1) * words;
			let word = to - words;
			while (word < to && (one?.[word] ?? 0) === (other?.[word] ?? 0)) word++;
			if (word === to) continue;
			if (different === 0) first = table;
			different++;
		}
	}
	if (different === 0) return;
	const at = first * tables.layout.entriesPerTable * tables.layout.grainSize;
	const message = `${source.name}: ${different} of its grain tables, first that for byte ${at} of the disk, differ from their copies`;
	yield { severity: "error", message, file: source.name };
}

/** The tables of the directory entries `[first, last)` one after the other, zero where there is none; undefined without any. */
async function contentOf(tables: GrainTables, first: number, last: number): Promise<Uint32Array | undefined> {
	let content: Uint8Array<ArrayBuffer> | undefined;
	for await (const group of tables.tables(first, last)) {
		if (group.bytes === undefined) continue;
		content ??= new Uint8Array((last - first) * tables.tableSize);
		content.set(group.bytes, (group.first - first) * tables.tableSize);
	}
	return content && new Uint32Array(content.buffer);
}

/** Most ranges that are kept, about 100 MB of them. */
const MOST_RANGES = 1 << 20;

interface Range {
	readonly at: number;
	readonly length: number;
}

/** Where a directory and its tables lie, the latter joined as far as the directory says that they follow each other. */
async function tableRanges(tables: GrainTables): Promise<Range[]> {
	const { directoryAt, entrySize } = tables.layout;
	const ranges = [{ at: directoryAt, length: tables.count * entrySize }];
	for await (const { at, count, bytes } of tables.tables(0, tables.count)) {
		if (bytes !== undefined) ranges.push({ at, length: count * tables.tableSize });
		if (ranges.length > MOST_RANGES) break;
	}
	return ranges;
}

/** Grains that lie where the metadata is. */
async function* checkPlaces(
	source: ByteSource,
	tables: GrainTables,
	metadata: readonly Range[],
): AsyncGenerator<Finding> {
	const file = source.name;
	for await (const run of tables.runs(0, tables.layout.size)) {
		if (run.kind !== "data") continue;
		const end = run.offset + run.length;
		const hit = firstEndingAfter(metadata, run.offset);
		if (hit === undefined || hit.at >= end) continue;
		const message = `${file}: the grains for byte ${run.at} of the disk lie where the header, the descriptor or the tables are`;
		yield { severity: "error", message, file, offset: Math.max(hit.at, run.offset) };
	}
}

/** Of ranges that are ascending and apart from each other, the first that does not end before `offset`. */
function firstEndingAfter(ranges: readonly Range[], offset: number): Range | undefined {
	let [low, high] = [0, ranges.length];
	while (low < high) {
		const middle = Math.floor((low + high) / 2);
		const range = ranges[middle];
		if (range !== undefined && range.at + range.length > offset) high = middle;
		else low = middle + 1;
	}
	return ranges[low];
}

const MARKERS_IN_FLIGHT = 8;

/** Compressed grains whose markers belong to other grains, or that are not in the file. */
async function* checkMarkers(source: ByteSource, tables: GrainTables): AsyncGenerator<Finding> {
	const file = source.name;
	const runs = tables.runs(0, tables.layout.size);
	const findings = inOrder(runs, MARKERS_IN_FLIGHT, async (run): Promise<Finding | undefined> => {
		if (run.kind !== "compressed") return undefined;
		const head = await readUpTo(source, run.offset, GrainMarker.size);
		const marker = head.length === GrainMarker.size ? GrainMarker.parse(head) : undefined;
		const end = run.offset + GrainMarker.size + (marker?.size ?? 0);
		const right = marker !== undefined && marker.val * SECTOR === run.at && marker.size > 0 && end <= source.size;
		if (right) return undefined;
		const message = `${file}: the grain for byte ${run.at} of the disk is not where its grain table says`;
		return { severity: "error", message, file, offset: run.offset };
	});
	for await (const finding of findings) if (finding !== undefined) yield finding;
}
