import { damaged, unsupported } from "../../bytes/errors.js";
import { type ByteSource, checkRange, readUpTo } from "../../bytes/source.js";
import { ABSENT, GrainTables, ZERO } from "./grain-tables.js";
import {
	CAPACITY_LIMIT,
	COWD_ENTRIES_PER_TABLE,
	CowdHeader,
	SECTOR,
	SESPARSE_GRAIN,
	SESPARSE_GRAIN_SECTORS,
	SESPARSE_TABLE_ALLOCATED,
	SESPARSE_TABLE_SECTORS,
	SESPARSE_VERSION,
	SESPARSE_VOLATILE_MAGIC,
	SeSparseHeader,
	SeSparseVolatileHeader,
} from "./layout.js";
import { type DiskPart, sparsePart } from "./part.js";

const CLONE = "Clone the disk with `vmkfstools -i`, or export the VM as OVA, and use the result.";
/** 4 MiB; ESX uses 1 sector. */
const GRAIN_LIMIT = 8192;

/** Opens what ESX kept snapshots and thin disks in until VMFS 5 ("ESXi Host Sparse Extents"). */
export async function openCowdExtent(source: ByteSource): Promise<DiskPart> {
	const file = source.name;
	const header = CowdHeader.parse(await readUpTo(source, 0, CowdHeader.size), 0, file);
	const { version, numSectors, grainSize, numGDEntries } = header;
	if (version !== 1)
		throw unsupported(`${file}: COWD version ${version} is not known`, { file, offset: 4, hint: CLONE });
	if (grainSize < 1 || grainSize > GRAIN_LIMIT) throw brokenHeader(file, `has grains of ${grainSize} sectors`);
	if (numSectors === 0) throw brokenHeader(file, "has no capacity");
	if (numGDEntries < Math.ceil(numSectors / grainSize / COWD_ENTRIES_PER_TABLE)) {
		throw brokenHeader(file, `has ${numGDEntries} grain tables, too few for ${numSectors} sectors`);
	}
	const tables = new GrainTables({
		source,
		size: numSectors * SECTOR,
		grainSize: grainSize * SECTOR,
		directoryAt: header.gdOffset * SECTOR,
		entriesPerTable: COWD_ENTRIES_PER_TABLE,
		entrySize: 4,
		compressed: false,
		tableAt: (view, at) => view.getUint32(at, true) * SECTOR,
		grainAt: (view, at) => view.getUint32(at, true) * SECTOR,
	});
	return sparsePart({ tables, unclean: header.uncleanShutdown !== 0 });
}

/** Opens what ESXi keeps snapshots in since VMFS 6. */
export async function openSeSparseExtent(source: ByteSource): Promise<DiskPart> {
	const file = source.name;
	const header = SeSparseHeader.parse(await readUpTo(source, 0, SECTOR), 0, file);
	const { capacity, grainSize, grainTableSize, grainDirectory, grainTables, grains } = header;
	const known =
		header.version === SESPARSE_VERSION &&
		grainSize === SESPARSE_GRAIN_SECTORS &&
		grainTableSize === SESPARSE_TABLE_SECTORS &&
		header.flags === 0n;
	if (!known) throw unsupported(`${file}: this kind of seSparse extent is not known`, { file, offset: 8, hint: CLONE });
	if (capacity === 0 || capacity * SECTOR > CAPACITY_LIMIT) throw brokenHeader(file, `has ${capacity} sectors`);
	const volatileAt = header.volatileHeader.offset * SECTOR;
	checkRange(source, volatileAt, SECTOR);
	const state = SeSparseVolatileHeader.parse(await readUpTo(source, volatileAt, SECTOR), 0, file, volatileAt);
	if (state.magic !== SESPARSE_VOLATILE_MAGIC) throw brokenHeader(file, "has no second part", volatileAt);
	if (state.replayJournal !== 0n) {
		throw unsupported(`${file}: the seSparse extent was not closed, and its journal would have to be replayed`, {
			file,
			offset: volatileAt,
			hint: `Let ESXi do that: start the VM and shut it down, then copy the disk again. Or: ${CLONE}`,
		});
	}

	const badEntry = (what: string, high: number, low: number) =>
		damaged(`${file}: the ${what} entry ${hex(high)}${hex(low)} has no meaning`, { file });
	const tableSize = grainTableSize * SECTOR;
	const grainBytes = grainSize * SECTOR;
	const tables = new GrainTables({
		source,
		size: capacity * SECTOR,
		grainSize: grainBytes,
		directoryAt: grainDirectory.offset * SECTOR,
		entriesPerTable: tableSize / 8,
		entrySize: 8,
		compressed: false,
		tableAt(view, at) {
			const low = view.getUint32(at, true);
			const high = view.getUint32(at + 4, true);
			if (high === SESPARSE_TABLE_ALLOCATED) return grainTables.offset * SECTOR + low * tableSize;
			if (high === 0 && low === 0) return ABSENT;
			throw badEntry("grain directory", high, low);
		},
		grainAt(view, at) {
			const low = view.getUint32(at, true);
			const high = view.getUint32(at + 4, true);
			if (high === 0 && low === 0) return ABSENT;
			const kind = high >>> 28;
			if (kind === SESPARSE_GRAIN.zero || kind === SESPARSE_GRAIN.unmapped) return ZERO;
			if (kind !== SESPARSE_GRAIN.allocated) throw badEntry("grain table", high, low);
			// The lowest 12 bits of the grain's number come above its other 48.
			const number = ((high & 0xffff) * 2 ** 32 + low) * 2 ** 12 + ((high >>> 16) & 0xfff);
			return grains.offset * SECTOR + number * grainBytes;
		},
	});
	if (tables.count * 8 > grainDirectory.size * SECTOR) {
		throw brokenHeader(file, `has a grain directory of ${grainDirectory.size} sectors, too few for ${capacity}`);
	}
	return sparsePart({ tables, unclean: false });
}

const hex = (value: number) => value.toString(16).padStart(8, "0");

const brokenHeader = (file: string, what: string, offset = 0) =>
	damaged(`${file}: the header of the ESX sparse extent at byte ${offset} ${what}`, { file, offset });
