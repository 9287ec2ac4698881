import { AnyvisorError } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import type { Finding, Neighbours } from "../disk.js";
import { findParent } from "../parent.js";
import { checkBat } from "./check-bat.js";
import { currentHeader, type HeaderFields, headerAt, type Region, readRegions, regionsAt } from "./header.js";
import {
	HEADER_OFFSETS,
	HEADER_SECTION_SIZE,
	ITEM,
	METADATA_FLAG,
	MIB,
	NIL,
	REGION_TABLE_OFFSETS,
	TABLE_SIZE,
} from "./layout.js";
import { replayed } from "./log.js";
import { readMetadata, readMetadataTable } from "./metadata.js";
import { parentLink } from "./read.js";

/** What is wrong, and where in the file. */
export type Found = Omit<Finding, "file">;

/** A region or the log, with its name for messages. */
export interface Structure extends Region {
	readonly what: string;
}

/**
 * Looks at both headers and region tables, the log, the metadata, the block allocation table and the parent. What the log
 * has still to write is taken as written.
 */
export async function* checkVhdx(file: ByteSource, neighbours: Neighbours): AsyncGenerator<Finding> {
	for await (const found of findings(file, neighbours)) yield { ...found, file: file.name };
}

async function* findings(file: ByteSource, neighbours: Neighbours): AsyncGenerator<Found> {
	yield* checkHeaders(file);
	const header = await currentHeader(file);
	if (header.logGuid !== NIL) {
		const message = "the log has not been written to its places: it is replayed in memory when the file is read";
		yield { severity: "warning", message, offset: header.logOffset };
	}
	const source = await replayed(file, header);
	yield* checkRegionTables(source);
	const regions = await readRegions(source);
	const structures = await structuresOf(source, header);
	yield* checkStructures(structures);
	yield* checkMetadataTable(source, regions.metadata);
	const metadata = await readMetadata(source, regions.metadata);
	yield* checkBat(source, { structures, metadata, region: regions.bat });
	if (metadata.parentLocator !== undefined) {
		yield* checkParent(file, neighbours, metadata.parentLocator, regions.metadata);
	}
}

/** 2.2.2 */
async function* checkHeaders(source: ByteSource): AsyncGenerator<Found> {
	const headers: HeaderFields[] = [];
	for (const [i, offset] of HEADER_OFFSETS.entries()) {
		const header = await headerAt(source, offset);
		if (header !== undefined) headers.push(header);
		else yield { severity: "warning", message: `header ${i + 1} is not valid: the other one is used`, offset };
	}
	const [first, second] = headers;
	if (first === undefined || second === undefined) return;
	const { sequenceNumber } = first;
	if (sequenceNumber === second.sequenceNumber && first.checksum !== second.checksum) {
		const message = `both headers have sequence number ${sequenceNumber}, but they differ: the first one is used`;
		yield { severity: "error", message, offset: HEADER_OFFSETS[0] };
	}
}

/** 2.2.3 */
async function* checkRegionTables(source: ByteSource): AsyncGenerator<Found> {
	const tables: string[] = [];
	for (const [i, offset] of REGION_TABLE_OFFSETS.entries()) {
		const entries = await regionsAt(source, offset);
		if (entries !== undefined) tables.push(JSON.stringify(entries));
		else yield { severity: "warning", message: `region table ${i + 1} is not valid: the other one is used`, offset };
	}
	const [first, second] = tables;
	if (first !== undefined && second !== undefined && first !== second) {
		const message = "the two region tables differ: the first one is used";
		yield { severity: "error", message, offset: REGION_TABLE_OFFSETS[1] };
	}
}

/** What of the file is no block. */
async function structuresOf(source: ByteSource, { logOffset, logLength }: HeaderFields): Promise<Structure[]> {
	const structures = [
		{ what: "the header section", at: 0, length: HEADER_SECTION_SIZE },
		{ what: "the log", at: logOffset, length: logLength },
	];
	for (const offset of REGION_TABLE_OFFSETS) {
		const entries = await regionsAt(source, offset);
		if (entries === undefined) continue;
		const regions = entries.map(({ guid, fileOffset, length }) => ({ what: `region ${guid}`, at: fileOffset, length }));
		return [...structures, ...regions];
	}
	return structures;
}

/** 2.2.2 and 2.2.3.2: whole MiB, behind the header section, none over another. */
function* checkStructures(structures: readonly Structure[]): Generator<Found> {
	for (const { what, at, length } of structures) {
		if (at % MIB === 0 && length % MIB === 0) continue;
		yield { severity: "error", message: `${what} does not lie at whole MiB: ${length} bytes at ${at}`, offset: at };
	}
	const sorted = structures.toSorted((a, b) => a.at - b.at);
	for (const [i, { what, at }] of sorted.entries()) {
		const before = sorted[i - 1];
		if (before === undefined || before.at + before.length <= at) continue;
		yield { severity: "error", message: `${what} lies over ${before.what} at ${at}`, offset: at };
	}
}

/** 2.6.1.2 and 2.6.2 */
async function* checkMetadataTable(source: ByteSource, region: Region): AsyncGenerator<Found> {
	const offset = region.at;
	const entries = await readMetadataTable(source, region);
	const seen = new Set<string>();
	for (const { itemId, flags, offset: at, length } of entries) {
		const key = `${itemId} ${flags & METADATA_FLAG.isUser}`;
		if (seen.has(key)) yield { severity: "error", message: `metadata ${itemId} is there twice`, offset };
		seen.add(key);
		if (length === 0 ? at !== 0 : at < TABLE_SIZE || at + length > region.length) {
			yield { severity: "error", message: `metadata ${itemId} lies outside of its region`, offset: region.at + at };
		}
	}
	const placed = entries.filter(({ length }) => length > 0).toSorted((a, b) => a.offset - b.offset);
	for (const [i, { itemId, offset: at }] of placed.entries()) {
		const before = placed[i - 1];
		if (before === undefined || before.offset + before.length <= at) continue;
		const message = `metadata ${itemId} lies over metadata ${before.itemId}`;
		yield { severity: "error", message, offset: region.at + at };
	}
	for (const [what, id] of [
		["the virtual disk's id", ITEM.virtualDiskId],
		["the physical sector size", ITEM.physicalSectorSize],
	] as const) {
		if (!seen.has(`${id} 0`)) yield { severity: "warning", message: `the metadata lacks ${what}`, offset };
	}
}

/** 2.6.2.6.3 */
async function* checkParent(
	file: ByteSource,
	neighbours: Neighbours,
	locator: ReadonlyMap<string, string>,
	{ at: offset }: Region,
): AsyncGenerator<Found> {
	if (!locator.has("parent_linkage")) {
		yield { severity: "error", message: "the parent locator does not tell its parent's identity", offset };
	}
	try {
		await findParent(neighbours, parentLink(file, locator));
	} catch (error) {
		if (!(error instanceof AnyvisorError)) throw error;
		yield { severity: "error", message: error.message, offset };
	}
}
