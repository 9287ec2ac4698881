import { unsupported } from "../../bytes/errors.js";
import type { ByteSink } from "../../bytes/sink.js";
import { viewOf } from "../../bytes/struct.js";
import { copyUnits } from "../copy.js";
import type { Written } from "../disk.js";
import { after, TablePages } from "../table-pages.js";
import { buildDescriptor } from "./descriptor-text.js";
import { ENTRIES_PER_TABLE, FLAG, type HostedHeader, NEW_LINE_TEST, SECTOR, SparseExtentHeader } from "./layout.js";
import { SPARSE_MAGIC } from "./mark.js";
import { type Job, plainName, refusePreallocation } from "./write-options.js";

const TABLE_SIZE = ENTRIES_PER_TABLE * 4;
export const DESCRIPTOR_OFFSET = 1;
/** Room for a descriptor of 10 KiB: VirtualBox rewrites it in place and adds lines of its own. */
export const DESCRIPTOR_SECTORS = 20;
/** Where grains begin: file systems share blocks of this size, or smaller ones. */
const ALIGNMENT = 64 * 1024;
/** Grain tables point at sectors in 32 bits. */
export const FILE_LIMIT = 2 ** 32 * SECTOR;

/** One file of a disk, whose data comes in ascending order. */
export interface ExtentWriter {
	/** Where unit `index` of the extent goes. */
	place(index: number): number | Promise<number>;
	/** Completes the file, but does not commit it; returns its length in bytes. */
	finish(): Promise<number>;
}

/** Writes one sparse file that has its descriptor inside. */
export async function writeMonolithicSparse(job: Job): Promise<Written> {
	const { disk, sink, grainSize, options } = job;
	refusePreallocation(job);
	const line = { size: disk.size, type: "SPARSE", fileName: plainName(sink) } as const;
	const descriptor = buildDescriptor("monolithicSparse", [line], job.descriptor);
	const extent = await beginSparseExtent(sink, disk.size, grainSize, descriptor);
	await copyUnits(disk, sink, { unit: grainSize, place: (grain) => extent.place(grain) }, options);
	return { size: await extent.finish() };
}

/**
 * Begins a hosted sparse extent: header, descriptor where it has one, redundant and primary directory each followed by
 * all its grain tables. The grains come behind them.
 *
 * @param size in bytes of the disk, a multiple of 512
 * @param grainSize in bytes
 */
export async function beginSparseExtent(
	sink: ByteSink,
	size: number,
	grainSize: number,
	descriptor?: string,
): Promise<ExtentWriter> {
	const count = Math.ceil(size / (grainSize * ENTRIES_PER_TABLE));
	const directorySize = wholeSectors(count * 4);
	const descriptorSectors = descriptor === undefined ? 0 : DESCRIPTOR_SECTORS;
	const redundant = (DESCRIPTOR_OFFSET + descriptorSectors) * SECTOR;
	const primary = redundant + directorySize + count * TABLE_SIZE;
	const end = primary + directorySize + count * TABLE_SIZE;
	const firstGrain = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
	const header = SparseExtentHeader.build({
		...headerOf(size, grainSize),
		version: 1,
		flags: FLAG.newLineTest | FLAG.redundantGrainTable,
		descriptorOffset: descriptor === undefined ? 0 : DESCRIPTOR_OFFSET,
		descriptorSize: descriptorSectors,
		rgdOffset: BigInt(redundant / SECTOR),
		gdOffset: BigInt(primary / SECTOR),
		overHead: firstGrain / SECTOR,
	});
	await sink.write(0, header);
	if (descriptor !== undefined) await sink.write(DESCRIPTOR_OFFSET * SECTOR, new TextEncoder().encode(descriptor));
	const tablesAt = [redundant + directorySize, primary + directorySize];
	for (const at of tablesAt) {
		const directory = new Uint8Array(directorySize);
		const view = viewOf(directory);
		for (let i = 0; i < count; i++) view.setUint32(i * 4, (at + i * TABLE_SIZE) / SECTOR, true);
		await sink.write(at - directorySize, directory);
	}

	const tables = new GrainTableWriter(async (index, table) => {
		for (const at of tablesAt) await sink.write(at + index * TABLE_SIZE, table);
	});
	let position = firstGrain;
	return {
		place(grain) {
			const at = position;
			if (at + grainSize > FILE_LIMIT) throw tooLarge(sink);
			position += grainSize;
			return after(tables.begin(grain), () => {
				tables.set(grain, at / SECTOR);
				return at;
			});
		},
		async finish() {
			await tables.finish();
			return position;
		},
	};
}

/** Gathers the entries of one grain table at a time and hands each that is not empty to `write`, in ascending order. */
export class GrainTableWriter {
	readonly #pages: TablePages;

	constructor(write: (index: number, table: Uint8Array) => Promise<void>) {
		this.#pages = new TablePages(TABLE_SIZE, 0, write);
	}

	/** Writes the table in front of the one of this grain, where there is one. */
	begin(grain: number): Promise<void> | undefined {
		return this.#pages.begin(Math.floor(grain / ENTRIES_PER_TABLE));
	}

	/** Sets the entry of a grain whose table has begun. */
	set(grain: number, sector: number): void {
		this.#pages.view.setUint32((grain % ENTRIES_PER_TABLE) * 4, sector, true);
	}

	finish(): Promise<void> {
		return this.#pages.finish();
	}
}

/** What all kinds of hosted sparse extents have in their header. */
export const headerOf = (size: number, grainSize: number): Partial<HostedHeader> => ({
	magicNumber: SPARSE_MAGIC,
	capacity: size / SECTOR,
	grainSize: grainSize / SECTOR,
	numGTEsPerGT: ENTRIES_PER_TABLE,
	...NEW_LINE_TEST,
});

/** `length` rounded up to whole sectors. */
export const wholeSectors = (length: number): number => Math.ceil(length / SECTOR) * SECTOR;

export const tooLarge = (sink: ByteSink) =>
	unsupported(`${sink.name}: one sparse VMDK file can hold 2 TiB of data`, {
		file: sink.name,
		hint: "Choose the variant monolithicFlat, or write the disk as qcow2 or VHDX.",
	});
