import { crc32 } from "../../bytes/checksum/index.js";
import { codec } from "../../bytes/codec/index.js";
import { AnyvisorError, unsupported } from "../../bytes/errors.js";
import type { ByteSink } from "../../bytes/sink.js";
import { readUpTo } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { copyUnits } from "../copy.js";
import type { Disk, WriteOptions, Written } from "../disk.js";
import { encodedUnits } from "../sparse.js";
import { Appender } from "../write-behind.js";
import { type AdapterType, buildDescriptor } from "./descriptor.js";
import {
	COMPRESSION_DEFLATE,
	ENTRIES_PER_TABLE,
	FLAG,
	GD_AT_END,
	GrainMarker,
	MARKER,
	MetadataMarker,
	NEW_LINE_TEST,
	SECTOR,
	SPARSE_MAGIC,
	SparseExtentHeader,
} from "./layout.js";

export interface VmdkWriteOptions extends WriteOptions {
	/** `streamOptimized` when left out. */
	readonly variant?: "streamOptimized" | "monolithicSparse" | (string & {});
	/** `lsilogic` when left out. */
	readonly adapterType?: AdapterType;
}

const GRAIN_SECTORS = 128;
const GRAIN_BYTES = GRAIN_SECTORS * SECTOR;
const TABLE_SECTORS = (ENTRIES_PER_TABLE * 4) / SECTOR;
const DESCRIPTOR_OFFSET = 1;
/** Room for a descriptor of 10 KiB: VirtualBox rewrites it in place and adds lines of its own. */
const DESCRIPTOR_SECTORS = 20;
const DEFAULT_LEVEL = 6;
const PADDING = new Uint8Array(SECTOR);
/** Grain tables point at sectors in 32 bits. */
const FILE_LIMIT = 2 ** 32 * SECTOR;

/**
 * Writes `disk` as one VMDK file: `streamOptimized` in strictly ascending order, so that it can go straight into an
 * archive, or `monolithicSparse`. The capacity is the disk's size as it is; the last grain is filled up with zeros, which
 * no reader shows. The content ID is made from the first grain, where a disk's partition table has its unique number: the
 * same disk gives the same file.
 */
export async function writeVmdk(disk: Disk, sink: ByteSink, options: VmdkWriteOptions = {}): Promise<Written> {
	if (disk.sectorSize !== SECTOR) {
		throw unsupported(`${disk.name}: VMDK cannot hold a disk with sectors of ${disk.sectorSize} bytes`, {
			file: disk.name,
			hint: "Write it as VHDX, or raw.",
		});
	}
	const variant = options.variant ?? "streamOptimized";
	if (variant === "streamOptimized") return writeStreamOptimized(disk, sink, options);
	if (variant === "monolithicSparse") return writeMonolithicSparse(disk, sink, options);
	throw new AnyvisorError("usage", `VMDK cannot be written as ${variant}`, {
		hint: "Choose streamOptimized or monolithicSparse.",
	});
}

/** The content ID that {@link writeVmdk} gives a disk, 0 to 0xfffffffd; for `flatDescriptor`. */
export async function contentId(disk: Disk): Promise<number> {
	const id = crc32(await readUpTo(disk, 0, GRAIN_BYTES));
	// The two largest values mean "no parent" and "never written to".
	return id >= 0xfffffffe ? id - 2 : id;
}

async function writeStreamOptimized(disk: Disk, sink: ByteSink, options: VmdkWriteOptions): Promise<Written> {
	const { level = DEFAULT_LEVEL } = options;
	const zlib = codec("zlib");
	const stream = new Appender(sink);
	const append = (bytes: Uint8Array) => {
		if (stream.position + bytes.length > FILE_LIMIT) throw tooLarge(sink);
		return stream.append(bytes);
	};
	const sector = () => stream.position / SECTOR;
	const header = {
		...commonHeader(disk),
		version: 3,
		flags: FLAG.newLineTest | FLAG.compressed | FLAG.markers,
		overHead: GRAIN_SECTORS,
		compressAlgorithm: COMPRESSION_DEFLATE,
	};
	const front = new Uint8Array(GRAIN_BYTES);
	front.set(SparseExtentHeader.build({ ...header, gdOffset: GD_AT_END }));
	front.set(await descriptorBytes(disk, "streamOptimized", "disk.vmdk", options), DESCRIPTOR_OFFSET * SECTOR);
	await append(front);

	const directory = new Uint8Array(padded(tableCount(disk) * 4));
	const appendMetadata = async (type: number, content: Uint8Array) => {
		await append(MetadataMarker.build({ val: content.length / SECTOR, type }));
		await append(content);
	};
	const tables = new GrainTables(async (index, table) => {
		viewOf(directory).setUint32(index * 4, sector() + 1, true);
		await appendMetadata(MARKER.grainTable, table);
	});
	const encode = (bytes: Uint8Array) => zlib.encode(bytes, level);
	try {
		for await (const { index, result: data } of encodedUnits(disk, GRAIN_BYTES, encode, options)) {
			await tables.place(index, sector);
			await append(GrainMarker.build({ val: index * GRAIN_SECTORS, size: data.length }));
			await append(data);
			await append(PADDING.subarray(0, padded(stream.position) - stream.position));
		}
		await tables.finish();

		const gdOffset = BigInt(sector() + 1);
		await appendMetadata(MARKER.grainDirectory, directory);
		await appendMetadata(MARKER.footer, SparseExtentHeader.build({ ...header, gdOffset }));
		await append(MetadataMarker.build({ type: MARKER.endOfStream }));
		await stream.finish();
	} finally {
		await stream.settle();
	}
	return { size: stream.position };
}

/** Header, descriptor, redundant and primary directory each followed by all its grain tables, then the grains. */
async function writeMonolithicSparse(disk: Disk, sink: ByteSink, options: VmdkWriteOptions): Promise<Written> {
	const count = tableCount(disk);
	const directorySectors = padded(count * 4) / SECTOR;
	const rgdOffset = DESCRIPTOR_OFFSET + DESCRIPTOR_SECTORS;
	const gdOffset = rgdOffset + directorySectors + count * TABLE_SECTORS;
	const end = gdOffset + directorySectors + count * TABLE_SECTORS;
	const overHead = Math.ceil(end / GRAIN_SECTORS) * GRAIN_SECTORS;

	const front = new Uint8Array((DESCRIPTOR_OFFSET + DESCRIPTOR_SECTORS) * SECTOR);
	const header = {
		...commonHeader(disk),
		version: 1,
		flags: FLAG.newLineTest | FLAG.redundantGrainTable,
		rgdOffset: BigInt(rgdOffset),
		gdOffset: BigInt(gdOffset),
		overHead,
	};
	front.set(SparseExtentHeader.build(header));
	const fileName = sink.name.split(/[/\\]/).at(-1) ?? sink.name;
	front.set(await descriptorBytes(disk, "monolithicSparse", fileName, options), DESCRIPTOR_OFFSET * SECTOR);
	await sink.write(0, front);

	const directories = [rgdOffset, gdOffset];
	for (const offset of directories) {
		const directory = new Uint8Array(directorySectors * SECTOR);
		const view = viewOf(directory);
		for (let i = 0; i < count; i++) view.setUint32(i * 4, offset + directorySectors + i * TABLE_SECTORS, true);
		await sink.write(offset * SECTOR, directory);
	}
	const tables = new GrainTables(async (index, table) => {
		for (const offset of directories) {
			await sink.write((offset + directorySectors + index * TABLE_SECTORS) * SECTOR, table);
		}
	});
	let position = overHead * SECTOR;
	const place = async (grain: number) => {
		const at = position;
		if (at + GRAIN_BYTES > FILE_LIMIT) throw tooLarge(sink);
		await tables.place(grain, () => at / SECTOR);
		position += GRAIN_BYTES;
		return at;
	};
	await copyUnits(disk, sink, { unit: GRAIN_BYTES, place }, options);
	await tables.finish();
	return { size: position };
}

/** Gathers the entries of one grain table at a time and hands each that is not empty to `write`, in ascending order. */
class GrainTables {
	readonly #write: (index: number, table: Uint8Array) => Promise<void>;
	#current: { readonly index: number; readonly table: Uint8Array } | undefined;

	constructor(write: (index: number, table: Uint8Array) => Promise<void>) {
		this.#write = write;
	}

	/** `sector` is asked after the table in front of the grain, where there was one, has been written. */
	async place(grain: number, sector: () => number) {
		const index = Math.floor(grain / ENTRIES_PER_TABLE);
		if (this.#current?.index !== index) await this.finish();
		this.#current ??= { index, table: new Uint8Array(TABLE_SECTORS * SECTOR) };
		viewOf(this.#current.table).setUint32((grain % ENTRIES_PER_TABLE) * 4, sector(), true);
	}

	async finish() {
		if (this.#current !== undefined) await this.#write(this.#current.index, this.#current.table);
		this.#current = undefined;
	}
}

const commonHeader = (disk: Disk) => ({
	magicNumber: SPARSE_MAGIC,
	capacity: disk.size / SECTOR,
	grainSize: GRAIN_SECTORS,
	descriptorOffset: DESCRIPTOR_OFFSET,
	descriptorSize: DESCRIPTOR_SECTORS,
	numGTEsPerGT: ENTRIES_PER_TABLE,
	...NEW_LINE_TEST,
});

async function descriptorBytes(
	disk: Disk,
	createType: "streamOptimized" | "monolithicSparse",
	fileName: string,
	{ adapterType = "lsilogic" }: VmdkWriteOptions,
): Promise<Uint8Array> {
	const options = { adapterType, contentId: await contentId(disk) };
	return new TextEncoder().encode(buildDescriptor(createType, fileName, disk.size, options));
}

const tableCount = (disk: Disk) => Math.ceil(disk.size / GRAIN_BYTES / ENTRIES_PER_TABLE);

/** `length` rounded up to whole sectors. */
const padded = (length: number) => Math.ceil(length / SECTOR) * SECTOR;

const tooLarge = (sink: ByteSink) =>
	unsupported(`${sink.name}: one VMDK file can hold 2 TiB of data`, {
		file: sink.name,
		hint: "Write the disk as qcow2 or VHDX, or raw with a flat descriptor.",
	});
