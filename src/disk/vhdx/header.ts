import { damaged, unsupported } from "../../bytes/errors.js";
import { type ByteSource, checkRange, readBytes } from "../../bytes/source.js";
import { type Value, viewOf } from "../../bytes/struct.js";
import {
	checksum,
	HEADER_OFFSETS,
	HEADER_SIGNATURE,
	Header,
	REGION,
	REGION_REQUIRED,
	REGION_SIGNATURE,
	REGION_TABLE_OFFSETS,
	RegionTableEntry,
	RegionTableHeader,
	TABLE_ENTRIES_LIMIT,
	TABLE_SIZE,
} from "./layout.js";

export type HeaderFields = Value<typeof Header>;

/** The header at `at`; undefined where it is not valid, as after a power failure while it was being written. */
export async function headerAt(source: ByteSource, at: number): Promise<HeaderFields | undefined> {
	const sector = await readBytes(source, at, Header.size);
	if (viewOf(sector).getUint32(Header.offsets.checksum, true) !== checksum(sector)) return undefined;
	const header = Header.parse(sector, 0, source.name, at);
	return header.signature === HEADER_SIGNATURE ? header : undefined;
}

/** 2.2.2: of the headers that are valid, the one with the higher sequence number. */
export async function currentHeader(source: ByteSource): Promise<HeaderFields> {
	const file = source.name;
	const headers = [];
	for (const at of HEADER_OFFSETS) headers.push((await headerAt(source, at)) ?? []);
	const [current] = headers.flat().sort((a, b) => b.sequenceNumber - a.sequenceNumber);
	if (current === undefined) {
		throw damaged(`${file}: neither of the two VHDX headers is valid`, { file, offset: HEADER_OFFSETS[0] });
	}
	if (current.version !== 1) throw unsupported(`${file}: VHDX version ${current.version} is not known`, { file });
	return current;
}

/** A part of the file that is no block. */
export interface Region {
	readonly at: number;
	readonly length: number;
}

export type RegionTableEntryFields = Value<typeof RegionTableEntry>;

/** The entries of the region table at `at`; undefined where it is not valid. */
export async function regionsAt(
	source: ByteSource,
	at: number,
): Promise<readonly RegionTableEntryFields[] | undefined> {
	const file = source.name;
	const table = await readBytes(source, at, TABLE_SIZE);
	const { signature, entryCount, checksum: expected } = RegionTableHeader.parse(table, 0, file, at);
	if (signature !== REGION_SIGNATURE || entryCount > TABLE_ENTRIES_LIMIT || checksum(table) !== expected) {
		return undefined;
	}
	const entryAt = (i: number) => RegionTableHeader.size + i * RegionTableEntry.size;
	return Array.from({ length: entryCount }, (_, i) => RegionTableEntry.parse(table, entryAt(i), file, at));
}

/** 2.2.3: where the first region table that is valid has the regions. */
export async function readRegions(source: ByteSource): Promise<{ bat: Region; metadata: Region }> {
	const file = source.name;
	for (const offset of REGION_TABLE_OFFSETS) {
		const entries = await regionsAt(source, offset);
		if (entries === undefined) continue;
		const regions = new Map<string, Region>();
		for (const { guid, fileOffset, length, flags } of entries) {
			checkRange(source, fileOffset, length);
			regions.set(guid, { at: fileOffset, length });
			const known = guid === REGION.bat || guid === REGION.metadata;
			if (!known && flags & REGION_REQUIRED) {
				throw unsupported(`${file}: the VHDX needs region ${guid}, which is not known`, { file, offset });
			}
		}
		const bat = regions.get(REGION.bat);
		const metadata = regions.get(REGION.metadata);
		if (bat === undefined || metadata === undefined) {
			throw damaged(`${file}: the region table lacks the block allocation table or the metadata`, { file, offset });
		}
		return { bat, metadata };
	}
	throw damaged(`${file}: neither of the two VHDX region tables is valid`, { file, offset: REGION_TABLE_OFFSETS[0] });
}
