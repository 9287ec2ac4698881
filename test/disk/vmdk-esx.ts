import {
	COWD_ENTRIES_PER_TABLE,
	CowdHeader,
	SECTOR,
	SESPARSE_TABLE_SECTORS,
	SESPARSE_VERSION,
	SESPARSE_VOLATILE_MAGIC,
	SeSparseHeader,
	SeSparseVolatileHeader,
} from "../../src/disk/vmdk/layout.js";
import { COWD_MAGIC, SESPARSE_MAGIC } from "../../src/disk/vmdk/mark.js";

/** What a grain holds: its content, zeros that hide the parent's, or nothing. */
export type Grain = Uint8Array | "zero" | "unmapped" | undefined;

const roundUp = (value: number, unit: number) => Math.ceil(value / unit) * unit;

/** A COWD extent of `sectors` sectors. Grains are laid down in the order given by `order`. */
export function cowd(
	sectors: number,
	grainSize: number,
	grains: readonly (Uint8Array | undefined)[],
	order: readonly number[] = [...grains.keys()],
): Uint8Array {
	const tables = Math.ceil(sectors / grainSize / COWD_ENTRIES_PER_TABLE);
	const directory = new Uint32Array(roundUp(tables, SECTOR / 4));
	const used = [...new Set(grains.flatMap((grain, i) => (grain ? Math.floor(i / COWD_ENTRIES_PER_TABLE) : [])))];
	const firstTable = 4 + directory.byteLength / SECTOR;
	const tableSectors = (COWD_ENTRIES_PER_TABLE * 4) / SECTOR;
	for (const [i, table] of used.entries()) directory[table] = firstTable + i * tableSectors;
	const firstGrain = firstTable + used.length * tableSectors;
	const entries = new Uint32Array(used.length * COWD_ENTRIES_PER_TABLE);
	const stored = order.filter((grain) => grains[grain] !== undefined);
	const file = new Uint8Array((firstGrain + stored.length * grainSize) * SECTOR);
	for (const [place, grain] of stored.entries()) {
		const at = firstGrain + place * grainSize;
		const table = used.indexOf(Math.floor(grain / COWD_ENTRIES_PER_TABLE));
		entries[table * COWD_ENTRIES_PER_TABLE + (grain % COWD_ENTRIES_PER_TABLE)] = at;
		file.set(grains[grain] ?? [], at * SECTOR);
	}
	const header = { magicNumber: COWD_MAGIC, version: 1, flags: 3, numSectors: sectors, grainSize, gdOffset: 4 };
	file.set(CowdHeader.build({ ...header, numGDEntries: tables, freeSector: file.length / SECTOR }));
	file.set(new Uint8Array(directory.buffer), 4 * SECTOR);
	file.set(new Uint8Array(entries.buffer), firstTable * SECTOR);
	return file;
}

const SE_ENTRIES = (SESPARSE_TABLE_SECTORS * SECTOR) / 8;
export const SE_GRAIN = 4096;

/** An seSparse extent of `sectors` sectors with grains of 4 KiB. */
export function seSparse(
	sectors: number,
	grains: readonly Grain[],
	order: readonly number[] = [...grains.keys()],
): Uint8Array {
	const tables = Math.ceil((sectors * SECTOR) / SE_GRAIN / SE_ENTRIES);
	const directory = new BigUint64Array(roundUp(tables, SECTOR / 8));
	const used = [...new Set(grains.flatMap((grain, i) => (grain ? Math.floor(i / SE_ENTRIES) : [])))];
	for (const [i, table] of used.entries()) directory[table] = 0x1000_0000_0000_0000n | BigInt(i);
	const entries = new BigUint64Array(used.length * SE_ENTRIES);
	const stored = order.filter((grain) => grains[grain] instanceof Uint8Array);
	const [directoryAt, tablesAt] = [8, 8 + directory.byteLength / SECTOR];
	const grainsAt = roundUp(tablesAt + entries.byteLength / SECTOR, 8);
	const file = new Uint8Array(grainsAt * SECTOR + stored.length * SE_GRAIN);
	const entryOf = (i: number, grain: Grain) => {
		if (grain === undefined) return 0n;
		if (grain === "unmapped") return 0x1000_0000_0000_0000n;
		if (grain === "zero") return 0x2000_0000_0000_0000n;
		const number = BigInt(stored.indexOf(i));
		return 0x3000_0000_0000_0000n | ((number & 0xfffn) << 48n) | (number >> 12n);
	};
	for (const [i, grain] of grains.entries()) {
		if (grain === undefined) continue;
		const table = used.indexOf(Math.floor(i / SE_ENTRIES));
		entries[table * SE_ENTRIES + (i % SE_ENTRIES)] = entryOf(i, grain);
	}
	for (const [place, i] of stored.entries()) {
		const grain = grains[i];
		if (grain instanceof Uint8Array) file.set(grain, grainsAt * SECTOR + place * SE_GRAIN);
	}
	file.set(
		SeSparseHeader.build({
			magic: SESPARSE_MAGIC,
			version: SESPARSE_VERSION,
			capacity: sectors,
			grainSize: SE_GRAIN / SECTOR,
			grainTableSize: SESPARSE_TABLE_SECTORS,
			volatileHeader: { offset: 1, size: 1 },
			grainDirectory: { offset: directoryAt, size: directory.byteLength / SECTOR },
			grainTables: { offset: tablesAt, size: entries.byteLength / SECTOR },
			grains: { offset: grainsAt, size: (stored.length * SE_GRAIN) / SECTOR },
		}),
	);
	file.set(SeSparseVolatileHeader.build({ magic: SESPARSE_VOLATILE_MAGIC }), SECTOR);
	file.set(new Uint8Array(directory.buffer), directoryAt * SECTOR);
	file.set(new Uint8Array(entries.buffer), tablesAt * SECTOR);
	return file;
}

/** A descriptor; no empty line before an extent, since qemu-img would take it for two. */
export const describing = (createType: string, lines: readonly string[], parent?: { cid: string; name: string }) =>
	`# Disk DescriptorFile
version=1
CID=0badf00d
parentCID=${parent?.cid ?? "ffffffff"}
createType="${createType}"
${parent === undefined ? "" : `parentFileNameHint="${parent.name}"\n`}# Extent description
${lines.join("\n")}
# The Disk Data Base
ddb.adapterType = "lsilogic"
ddb.virtualHWVersion = "14"
`;
