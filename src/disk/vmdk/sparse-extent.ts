import { codec } from "../../bytes/codec/index.js";
import { damaged, unsupported } from "../../bytes/errors.js";
import { type ByteSource, checkRange, readBytes, readUpTo } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { cached } from "../cache.js";
import type { Disk, Extent } from "../disk.js";
import { inOrder } from "../sparse.js";
import { CAPACITY_LIMIT, DESCRIPTOR_LIMIT, type Descriptor, parseDescriptor } from "./descriptor.js";
import {
	COMPRESSION_DEFLATE,
	ENTRIES_PER_TABLE,
	FLAG,
	GD_AT_END,
	GrainMarker,
	GTE_ZEROED,
	MARKER,
	MetadataMarker,
	NEW_LINE_TEST,
	SECTOR,
	SPARSE_MAGIC,
	SparseExtentHeader,
} from "./layout.js";

/** A file's share of a disk; offsets count from its own beginning. */
export type DiskPart = Pick<Disk, "size" | "read" | "extents">;

export interface SparseExtent extends DiskPart {
	readonly compressed: boolean;
	/** The embedded descriptor; extents of a disk that is split into several files have none. */
	readonly descriptor: Descriptor | undefined;
}

const DIRECTORY_LIMIT = 2 ** 22;
/** 4 MiB; the usual grain has 64 KiB. */
const GRAIN_LIMIT = 8192;

const TABLES_CACHED = 1024;
/** Bytes of inflated grains that are kept for small reads. */
const GRAINS_CACHED = 4 * 1024 * 1024;
const READS_IN_FLIGHT = 8;

/** A contiguous part of a read, and where it comes from; `entry` is the grain table entry of the grain it begins in. */
interface Span {
	readonly grain: number;
	readonly entry: number;
	/** Bytes between the beginning of the grain and of the span. */
	readonly within: number;
	readonly into: Uint8Array;
}

/** Opens a hosted sparse extent ("Hosted Sparse Extents", "Stream-Optimized Compressed"). */
export async function openSparseExtent(source: ByteSource): Promise<SparseExtent> {
	const file = source.name;
	const header = await readHeader(source);
	const compressed = (header.flags & FLAG.compressed) !== 0;
	const zeroed = (header.flags & FLAG.zeroedGrain) !== 0;
	const size = header.capacity * SECTOR;
	const grainBytes = header.grainSize * SECTOR;
	const grains = Math.ceil(size / grainBytes);
	const directory = await readDirectory(
		source,
		Number(header.gdOffset) * SECTOR,
		Math.ceil(grains / ENTRIES_PER_TABLE),
	);
	const zlib = codec("zlib");

	/** The entries of a grain table; undefined where none is allocated. */
	const tableAt = cached(TABLES_CACHED, async (index) => {
		const at = (directory[index] ?? 0) * SECTOR;
		return at === 0 ? undefined : entries(await readBytes(source, at, ENTRIES_PER_TABLE * 4));
	});
	const isData = (entry: number) => entry !== 0 && !(zeroed && entry === GTE_ZEROED);

	const inflated = cached(Math.ceil(GRAINS_CACHED / grainBytes), async (grain) => {
		const table = (await tableAt(Math.floor(grain / ENTRIES_PER_TABLE))) ?? [];
		const entry = table[grain % ENTRIES_PER_TABLE] ?? 0;
		const at = entry * SECTOR;
		// The next grain mostly follows in the file as well and so tells this one's length; half a grain is a fair guess.
		const room = ((table[(grain % ENTRIES_PER_TABLE) + 1] ?? 0) - entry) * SECTOR;
		let record = await readUpTo(source, at, room > 0 && room <= grainBytes * 2 ? room : grainBytes / 2);
		const marker = GrainMarker.parse(record, 0, file, at);
		if (marker.val !== grain * header.grainSize || marker.size === 0 || marker.size > grainBytes * 2) {
			throw damaged(`${file}: the grain of sector ${grain * header.grainSize} is not at byte ${at}`, {
				file,
				offset: at,
			});
		}
		const end = GrainMarker.size + marker.size;
		if (end > record.length) record = await readBytes(source, at, end);
		const data = record.subarray(GrainMarker.size, end);
		const { bytes } = await zlib.decode(data, { limit: grainBytes, file, offset: at + GrainMarker.size });
		if (bytes.length < Math.min(grainBytes, size - grain * grainBytes)) {
			throw damaged(`${file}: the grain at byte ${at} holds only ${bytes.length} bytes`, { file, offset: at });
		}
		return bytes;
	});

	/** Cuts a read into spans; one stretches over all grains that are alike and, where they hold data, adjacent. */
	async function* spans(at: number, into: Uint8Array): AsyncGenerator<Span> {
		let done = 0;
		while (done < into.length) {
			const first = Math.floor((at + done) / grainBytes);
			const within = (at + done) % grainBytes;
			const table = await tableAt(Math.floor(first / ENTRIES_PER_TABLE));
			const entryOf = (grain: number) => table?.[grain % ENTRIES_PER_TABLE] ?? 0;
			const entry = entryOf(first);
			const data = isData(entry);
			let next = first + 1;
			while (
				next % ENTRIES_PER_TABLE !== 0 &&
				next * grainBytes < at + into.length &&
				(data ? !compressed && entryOf(next) === entry + (next - first) * header.grainSize : !isData(entryOf(next)))
			) {
				next++;
			}
			const end = Math.min(next * grainBytes - at, into.length);
			yield { grain: first, entry: data ? entry : 0, within, into: into.subarray(done, end) };
			done = end;
		}
	}

	async function fill({ grain, entry, within, into }: Span) {
		if (entry === 0) into.fill(0);
		else if (!compressed) await source.read(entry * SECTOR + within, into);
		else into.set((await inflated(grain)).subarray(within, within + into.length));
	}

	return {
		size,
		compressed,
		descriptor: await readEmbeddedDescriptor(source, header),
		async read(at, into) {
			checkRange({ name: file, size }, at, into.length);
			for await (const _ of inOrder(spans(at, into), READS_IN_FLIGHT, fill));
		},
		async *extents() {
			const leastInFile = compressed ? SECTOR : grainBytes;
			let dataGrains = 0;
			let start = 0;
			let kind: Extent["kind"] = "zero";
			for (let index = 0; index < directory.length; index++) {
				const table = directory[index] === 0 ? undefined : await tableAt(index);
				const first = index * ENTRIES_PER_TABLE;
				const end = table === undefined ? first + 1 : Math.min(first + ENTRIES_PER_TABLE, grains);
				for (let grain = first; grain < end; grain++) {
					const next = isData(table?.[grain - first] ?? 0) ? "data" : "zero";
					if (next === "data") dataGrains++;
					if (next === kind) continue;
					if (grain > 0) yield { at: start, length: grain * grainBytes - start, kind };
					start = grain * grainBytes;
					kind = next;
				}
				if ((dataGrains - 1) * leastInFile > source.size) {
					throw damaged(`${file}: its grain tables name more data than the file can hold`, { file });
				}
			}
			if (size > start) yield { at: start, length: size - start, kind };
		},
	};
}

type Header = ReturnType<typeof SparseExtentHeader.parse>;

/** The header, or the footer where the header leaves the grain directory to it; checked. */
async function readHeader(source: ByteSource): Promise<Header> {
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

function checkedHeader(sector: Uint8Array, file: string, offset: number): Header {
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

async function readDirectory(source: ByteSource, at: number, length: number): Promise<Uint32Array> {
	checkRange(source, at, length * 4);
	const directory = entries(await readBytes(source, at, length * 4));
	const allocated = directory.reduce((count, entry) => (entry === 0 ? count : count + 1), 0);
	if (allocated * ENTRIES_PER_TABLE * 4 > source.size) {
		throw damaged(`${source.name}: the grain directory names more grain tables than the file can hold`, {
			file: source.name,
			offset: at,
		});
	}
	return directory;
}

async function readEmbeddedDescriptor(source: ByteSource, header: Header): Promise<Descriptor | undefined> {
	if (header.descriptorOffset === 0) return undefined;
	const length = Math.min(header.descriptorSize * SECTOR, DESCRIPTOR_LIMIT);
	const text = await readBytes(source, header.descriptorOffset * SECTOR, length);
	return text[0] === 0 || text.length === 0 ? undefined : parseDescriptor(text, source.name);
}

function entries(bytes: Uint8Array): Uint32Array {
	const view = viewOf(bytes);
	return Uint32Array.from({ length: bytes.length / 4 }, (_, i) => view.getUint32(i * 4, true));
}
