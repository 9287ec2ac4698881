import { damaged, unsupported } from "../../bytes/errors.js";
import { type ByteSource, readBytes, readUpTo } from "../../bytes/source.js";
import type { CompressedRun } from "../mapped.js";
import { DESCRIPTOR_LIMIT, type Descriptor, parseDescriptor } from "./descriptor.js";
import { ABSENT, GrainTables, MOST_STORED, ZERO } from "./grain-tables.js";
import {
	CAPACITY_LIMIT,
	COMPRESSION_DEFLATE,
	DIRECTORY_LIMIT,
	ENTRIES_PER_TABLE,
	FLAG,
	GD_AT_END,
	GrainMarker,
	GTE_ZEROED,
	type HostedHeader,
	MARKER,
	MetadataMarker,
	NEW_LINE_TEST,
	SECTOR,
	SparseExtentHeader,
} from "./layout.js";
import { SPARSE_MAGIC } from "./mark.js";
import { type DiskPart, sparsePart } from "./part.js";

export interface HostedExtent extends DiskPart {
	/** The embedded descriptor; extents of a disk that is split into several files have none. */
	readonly descriptor: Descriptor | undefined;
}

/** 4 MiB; the usual grain has 64 KiB. */
const GRAIN_LIMIT = 8192;

/** Opens a hosted sparse extent ("Hosted Sparse Extents", "Stream-Optimized Compressed"). */
export async function openHostedExtent(source: ByteSource): Promise<HostedExtent> {
	const header = await readHeader(source);
	const tables = hostedTables(source, header, Number(header.gdOffset));
	const { compressed } = tables.layout;
	return {
		...sparsePart({ tables, unclean: header.uncleanShutdown !== 0, header }),
		descriptor: await readEmbeddedDescriptor(source, header),
		...(compressed && { payload: grainPayload }),
	};
}

/** The tables behind the grain directory at sector `directory`: the primary one, or the redundant one. */
export function hostedTables(source: ByteSource, header: HostedHeader, directory: number): GrainTables {
	const zeroed = (header.flags & FLAG.zeroedGrain) !== 0;
	return new GrainTables({
		source,
		size: header.capacity * SECTOR,
		grainSize: header.grainSize * SECTOR,
		directoryAt: directory * SECTOR,
		entriesPerTable: ENTRIES_PER_TABLE,
		entrySize: 4,
		compressed: (header.flags & FLAG.compressed) !== 0,
		tableAt: (view, at) => view.getUint32(at, true) * SECTOR,
		grainAt(view, at) {
			const entry = view.getUint32(at, true);
			if (entry === 0) return ABSENT;
			return zeroed && entry === GTE_ZEROED ? ZERO : entry * SECTOR;
		},
	});
}

/** The stream inside a compressed grain, behind its marker, which says which grain it is. */
function grainPayload({ source, offset, unit }: CompressedRun, input: Uint8Array): Uint8Array {
	const file = source.name;
	const marker = GrainMarker.parse(input, 0, file, offset);
	const broken = (what: string) => damaged(`${file}: the grain at byte ${offset} ${what}`, { file, offset });
	if (marker.val * SECTOR !== unit.at || marker.size === 0 || marker.size > MOST_STORED * unit.length) {
		throw broken(`is not the one of byte ${unit.at}, as its grain table says`);
	}
	const end = GrainMarker.size + marker.size;
	if (end > input.length) throw broken(`has ${end} bytes, but ${input.length} bytes behind it something else begins`);
	return input.subarray(GrainMarker.size, end);
}

/** The header, or the footer where the header leaves the grain directory to it; checked. */
async function readHeader(source: ByteSource): Promise<HostedHeader> {
	const header = checkedHeader(await readUpTo(source, 0, SECTOR), source.name, 0);
	if (header.gdOffset !== GD_AT_END) return header;

	// The last three sectors: footer marker, footer, end-of-stream marker.
	const at = Math.floor(source.size / SECTOR - 3) * SECTOR;
	const file = source.name;
	const truncated = damaged(`${file}: the footer is missing at its end: it is truncated`, {
		file,
		offset: Math.max(0, at),
		hint: "Compare the file's size with the original's, and copy it again if they differ.",
	});
	if (at < SECTOR) throw truncated;
	const tail = await readBytes(source, at, 3 * SECTOR);
	const { type, size } = MetadataMarker.parse(tail, 0, file, at);
	if (type !== MARKER.footer || size !== 0) throw truncated;
	const footer = checkedHeader(tail.subarray(SECTOR, 2 * SECTOR), file, at + SECTOR);
	if (footer.gdOffset === GD_AT_END) throw truncated;
	return footer;
}

function checkedHeader(sector: Uint8Array, file: string, offset: number): HostedHeader {
	const header = SparseExtentHeader.parse(sector, 0, file, offset);
	const broken = (what: string, hint?: string) =>
		damaged(`${file}: the VMDK header at byte ${offset} ${what}`, {
			file,
			offset,
			...(hint === undefined ? {} : { hint }),
		});

	if (header.magicNumber !== SPARSE_MAGIC) throw broken("has no magic number");
	if (header.version < 1 || header.version > 3) {
		throw unsupported(`${file}: VMDK version ${header.version} is not known`, { file, offset });
	}
	if (header.flags & FLAG.newLineTest) {
		for (const [name, value] of Object.entries(NEW_LINE_TEST)) {
			if (header[name as keyof typeof NEW_LINE_TEST] === value) continue;
			throw broken("has changed line ends: it was copied as text", "Copy the file again, in binary mode.");
		}
	}
	const { capacity, grainSize, numGTEsPerGT } = header;
	if (capacity === 0) throw broken("has no capacity");
	if (header.gdOffset === 0n) throw broken("has no grain directory");
	if (grainSize < 1 || grainSize > GRAIN_LIMIT || !Number.isInteger(Math.log2(grainSize))) {
		throw broken(`has grains of ${grainSize} sectors; 1 to ${GRAIN_LIMIT} and a power of two are possible`);
	}
	if (numGTEsPerGT !== ENTRIES_PER_TABLE) {
		throw broken(`has ${numGTEsPerGT} entries in a grain table instead of ${ENTRIES_PER_TABLE}`);
	}
	if (capacity * SECTOR > CAPACITY_LIMIT || capacity / grainSize / ENTRIES_PER_TABLE > DIRECTORY_LIMIT) {
		throw broken(`has a capacity of ${capacity} sectors, which is larger than any disk`);
	}
	if (header.flags & FLAG.compressed) {
		if (header.compressAlgorithm !== COMPRESSION_DEFLATE) {
			throw unsupported(`${file}: VMDK compression ${header.compressAlgorithm} is not known`, { file, offset });
		}
		if ((header.flags & FLAG.markers) === 0) {
			throw unsupported(`${file}: compressed VMDK without markers`, { file, offset });
		}
	}
	return header;
}

async function readEmbeddedDescriptor(source: ByteSource, header: HostedHeader): Promise<Descriptor | undefined> {
	if (header.descriptorOffset === 0) return undefined;
	const length = Math.min(header.descriptorSize * SECTOR, DESCRIPTOR_LIMIT);
	const text = await readBytes(source, header.descriptorOffset * SECTOR, length);
	return text[0] === 0 || text.length === 0 ? undefined : parseDescriptor(text, source.name);
}
