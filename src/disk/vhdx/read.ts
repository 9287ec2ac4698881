import { damaged } from "../../bytes/errors.js";
import { type ByteSource, readBytes } from "../../bytes/source.js";
import { cached } from "../cache.js";
import type { Disk, DiskDetails, Neighbours } from "../disk.js";
import { holding } from "../holding.js";
import { mappedDisk, type Run } from "../mapped.js";
import { MERGE_HINT, openParent, type ParentLink } from "../parent.js";
import { sectorRuns } from "../sector-bitmap.js";
import { type BatEntry, BlockAllocationTable, ENTRIES_PER_PAGE } from "./bat.js";
import { currentHeader, type HeaderFields, readRegions } from "./header.js";
import { FileTypeIdentifier, HEADER_SECTION_SIZE, STATE } from "./layout.js";
import { replayed } from "./log.js";
import { type Metadata, readMetadata } from "./metadata.js";

/** Bytes of sector bitmaps that one open disk keeps. */
const BITMAP_CACHE = 4 * 1024 * 1024;

/**
 * Opens a fixed, dynamic or differencing VHDX, the last together with its parent. A log that is not empty is replayed in
 * memory.
 */
export function openVhdx(file: ByteSource, neighbours: Neighbours): Promise<Disk> {
	return holding(async (hold) => {
		const header = await currentHeader(file);
		const source = await replayed(file, header);
		const regions = await readRegions(source);
		const metadata = await readMetadata(source, regions.metadata);
		const bat = new BlockAllocationTable(source, regions.bat, metadata);
		const { name } = source;
		const { size, sectorSize, parentLocator, leaveBlockAllocated } = metadata;
		const link = parentLocator === undefined ? undefined : parentLink(file, parentLocator);
		const below = link === undefined ? undefined : hold(await openParent(neighbours, link));
		if (below !== undefined && below.sectorSize !== sectorSize) {
			throw damaged(`${name} has sectors of ${sectorSize} bytes, its parent ${below.name} of ${below.sectorSize}`, {
				file: name,
			});
		}
		const kind = leaveBlockAllocated ? "vhdx/fixed" : "vhdx/dynamic";
		const blocks = new BlockMap(source, metadata, bat);
		return mappedDisk({
			name,
			size,
			format: link === undefined ? kind : "vhdx/differencing",
			sectorSize,
			details: {
				...(await fileDetails(file, header, metadata)),
				log: source === file ? "empty" : "replayed in memory",
				...(link && { parent: link.paths[0] ?? "", parentId: parentLocator?.get("parent_linkage") ?? "" }),
			},
			below,
			runs: (start, end) => blocks.runs(start, end),
		});
	});
}

async function fileDetails(source: ByteSource, header: HeaderFields, metadata: Metadata): Promise<DiskDetails> {
	const identifier = await readBytes(source, 0, FileTypeIdentifier.size);
	const { blockSize, sectorSize, physicalSectorSize, leaveBlockAllocated, virtualDiskId } = metadata;
	return {
		creator: FileTypeIdentifier.parse(identifier, 0, source.name).creator,
		blockSize,
		logicalSectorSize: sectorSize,
		physicalSectorSize,
		leaveBlockAllocated,
		...(virtualDiskId !== undefined && { virtualDiskId }),
		dataWriteGuid: header.dataWriteGuid,
	};
}

/** 2.6.2.6.3: how a differencing disk says which its parent is: by paths, and by what its header last had. */
export function parentLink(source: ByteSource, locator: ReadonlyMap<string, string>): ParentLink {
	const paths = ["relative_path", "volume_path", "absolute_win32_path"].map((key) => locator.get(key) ?? "");
	const guids = ["parent_linkage", "parent_linkage2"].map((key) =>
		locator.get(key)?.replace(/[{}]/g, "").toLowerCase(),
	);
	return {
		child: source.name,
		format: "vhdx",
		paths: paths.filter((path) => path !== ""),
		hint: MERGE_HINT,
		async verify(file) {
			const { dataWriteGuid } = await currentHeader(file);
			if (guids.includes(dataWriteGuid)) return;
			const ids = `its data was last written as ${dataWriteGuid}, and ${guids[0]} is wanted`;
			throw damaged(`${file.name} is not the disk that ${source.name} continues, or was written since: ${ids}`, {
				file: file.name,
				hint: "Put the parent as it was when the differencing disk was made beside it.",
			});
		},
	};
}

/** A part of one block, some sectors of which are the parent's. */
interface PartialRun {
	readonly kind: "partial";
	readonly at: number;
	readonly length: number;
	readonly source: ByteSource;
	/** Offset of the part's first byte in `source`. */
	readonly offset: number;
}

/** What the block allocation table and the sector bitmaps say of the disk. */
class BlockMap {
	readonly #source: ByteSource;
	readonly #metadata: Metadata;
	readonly #bat: BlockAllocationTable;
	/** A payload block's part of the sector bitmap. */
	readonly #bitmap: (block: number) => Promise<Uint8Array>;

	constructor(source: ByteSource, metadata: Metadata, bat: BlockAllocationTable) {
		this.#source = source;
		this.#metadata = metadata;
		this.#bat = bat;
		const { blockSize, sectorSize } = metadata;
		const length = blockSize / sectorSize / 8;
		this.#bitmap = cached(Math.floor(BITMAP_CACHE / length), async (block) => {
			const index = bat.bitmapEntryOf(block);
			const { state, offset } = await bat.entry(index);
			if (state !== STATE.fullyPresent) throw this.#damagedEntry(index, "no sector bitmap for a block that needs one");
			return readBytes(source, offset + (block % bat.ratio) * length, length);
		});
	}

	async *runs(start: number, end: number): AsyncGenerator<Run> {
		const { blockSize } = this.#metadata;
		const bat = this.#bat;
		let told = 0;
		for (let at = start; at < end; ) {
			const index = bat.entryOf(Math.floor(at / blockSize));
			const page = await bat.pageOf(index);
			const nextPage = index - (index % ENTRIES_PER_PAGE) + ENTRIES_PER_PAGE;
			const stop = Math.min(end, bat.blockFrom(nextPage) * blockSize);
			if (page === undefined) {
				yield { kind: "absent", at, length: stop - at };
				at = stop;
				continue;
			}
			while (at < stop) {
				const run = this.#run(page, at, stop);
				if (run.kind === "data" || run.kind === "partial") told += run.length;
				// Blocks that lie over each other would make a small file a disk without end.
				if (told > this.#source.size) throw this.#damagedEntry(index, "more data than the file can hold");
				if (run.kind !== "partial") yield run;
				else yield* this.#sectors(await this.#bitmap(Math.floor(at / blockSize)), run);
				at += run.length;
			}
		}
	}

	/** The run of blocks from `at` on that are alike and, where they are data, follow each other in the file. */
	#run(page: DataView, at: number, stop: number): Run | PartialRun {
		const { blockSize } = this.#metadata;
		const block = Math.floor(at / blockSize);
		const { kind, offset } = this.#block(page, block);
		if (kind === "zero" || kind === "absent") {
			const last = this.#bat.entryOf(Math.ceil(stop / blockSize) - 1);
			const next = this.#bat.blockFrom(this.#bat.sameUntil(page, this.#bat.entryOf(block), last + 1));
			return { kind, at, length: Math.min(stop, next * blockSize) - at };
		}
		const next = kind === "data" ? this.#inOnePiece(page, block, offset, stop) : block + 1;
		const length = Math.min(stop, next * blockSize) - at;
		return { kind, at, length, source: this.#source, offset: offset + (at % blockSize) };
	}

	/** The block behind those that follow `block` in the file as on the disk, up to byte `stop` of the disk. */
	#inOnePiece(page: DataView, block: number, offset: number, stop: number): number {
		const { blockSize } = this.#metadata;
		for (let next = block + 1; ; next++) {
			if (next * blockSize >= stop) return next;
			const following = this.#block(page, next);
			if (following.kind !== "data" || following.offset !== offset + (next - block) * blockSize) return next;
		}
	}

	/** 2.5.1.1: what a payload block's entry says. */
	#block(page: DataView, block: number): { kind: "zero" | "absent" | "data" | "partial"; offset: number } {
		const index = this.#bat.entryOf(block);
		const entry = this.#bat.entryIn(page, index);
		const { state, offset } = entry;
		switch (state) {
			case STATE.notPresent:
				return { kind: "absent", offset };
			case STATE.undefined:
			case STATE.zero:
			case STATE.unmapped:
				return { kind: "zero", offset };
			case STATE.partiallyPresent:
				if (this.#metadata.parentLocator === undefined) break;
				return { kind: "partial", offset: this.#placed(entry, index) };
			case STATE.fullyPresent:
				return { kind: "data", offset: this.#placed(entry, index) };
			default:
		}
		throw this.#damagedEntry(index, `a block of state ${state}, which cannot be`);
	}

	#placed({ offset }: BatEntry, index: number): number {
		if (offset >= HEADER_SECTION_SIZE && offset < this.#source.size) return offset;
		throw this.#damagedEntry(
			index,
			`a block at ${offset}, which is not inside of the file's ${this.#source.size} bytes`,
		);
	}

	/** The sectors of a part of a block: the file's own, and those that its parent has. */
	*#sectors(bitmap: Uint8Array, { at, length, source, offset }: PartialRun): Generator<Run> {
		const { blockSize, sectorSize } = this.#metadata;
		const within = at % blockSize;
		const to = Math.ceil((within + length) / sectorSize);
		for (const { first, count, present } of sectorRuns(bitmap, false, Math.floor(within / sectorSize), to)) {
			const from = Math.max(0, first * sectorSize - within);
			const run = { at: at + from, length: Math.min(length, (first + count) * sectorSize - within) - from };
			if (present) yield { ...run, kind: "data", source, offset: offset + from };
			else yield { ...run, kind: "absent" };
		}
	}

	#damagedEntry(index: number, what: string) {
		const { name } = this.#source;
		return damaged(`${name}: the block allocation table has ${what}`, {
			file: name,
			offset: this.#bat.offsetOf(index),
		});
	}
}
