import { damaged } from "../../bytes/errors.js";
import { type ByteSource, readBytes } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { cached } from "../cache.js";
import { isZero } from "../zero.js";
import type { Region } from "./header.js";
import { BAT_ENTRY, chunkRatio, KIB, MIB, STATE } from "./layout.js";
import type { Metadata } from "./metadata.js";

const PAGE = 256 * KIB;
const PAGES_CACHED = 16;
export const ENTRIES_PER_PAGE = PAGE / BAT_ENTRY;

export interface BatEntry {
	/** 2.5.1.1 for payload blocks, 2.5.1.2 for sector bitmap blocks. */
	readonly state: number;
	/** Byte offset in the file; above 2^53 not exact, which no file has. */
	readonly offset: number;
}

/** 2.5: the block allocation table, read page by page; an entry for a sector bitmap follows those of each chunk. */
export class BlockAllocationTable {
	/** Byte offset in the file. */
	readonly at: number;
	/** Payload blocks of the disk. */
	readonly blocks: number;
	/** Entries that the disk needs, those of sector bitmaps among them. */
	readonly entries: number;
	/** Payload blocks of a chunk. */
	readonly ratio: number;
	readonly #page: (index: number) => Promise<DataView | undefined>;

	/** Throws `damaged` where the region is too small for the disk. */
	constructor(source: ByteSource, region: Region, { size, blockSize, sectorSize, parentLocator }: Metadata) {
		this.at = region.at;
		this.ratio = chunkRatio(sectorSize, blockSize);
		this.blocks = Math.ceil(size / blockSize);
		this.entries =
			parentLocator === undefined
				? this.entryOf(this.blocks - 1) + 1
				: Math.ceil(this.blocks / this.ratio) * (this.ratio + 1);
		const length = this.entries * BAT_ENTRY;
		if (length > region.length) {
			throw damaged(`${source.name}: the block allocation table needs ${length} bytes, but has ${region.length}`, {
				file: source.name,
				offset: region.at,
			});
		}
		this.#page = cached(PAGES_CACHED, async (index) => {
			const at = index * PAGE;
			const bytes = await readBytes(source, region.at + at, Math.min(PAGE, length - at));
			return isZero(bytes) ? undefined : viewOf(bytes);
		});
	}

	/** Index of a payload block's entry. */
	entryOf(block: number): number {
		return block + Math.floor(block / this.ratio);
	}

	/** Index of the entry of the sector bitmap that a payload block belongs to. */
	bitmapEntryOf(block: number): number {
		return (Math.floor(block / this.ratio) + 1) * (this.ratio + 1) - 1;
	}

	isBitmapEntry(index: number): boolean {
		return index % (this.ratio + 1) === this.ratio;
	}

	/** The first payload block whose entry is not before `index`. */
	blockFrom(index: number): number {
		return index - Math.floor(index / (this.ratio + 1));
	}

	/** The page with an entry; undefined where the whole page is zero: none of its blocks is present. */
	pageOf(index: number): Promise<DataView | undefined> {
		return this.#page(Math.floor(index / ENTRIES_PER_PAGE));
	}

	async entry(index: number): Promise<BatEntry> {
		const page = await this.pageOf(index);
		return page === undefined ? { state: STATE.notPresent, offset: 0 } : this.entryIn(page, index);
	}

	/** The first entry from `index` to `end`, both of one page, that is not the same as the one at `index`. */
	sameUntil(page: DataView, index: number, end: number): number {
		const first = (index % ENTRIES_PER_PAGE) * BAT_ENTRY;
		const [low, high] = [page.getUint32(first, true), page.getUint32(first + 4, true)];
		const last = first + (end - index) * BAT_ENTRY;
		let at = first + BAT_ENTRY;
		while (at < last && page.getUint32(at, true) === low && page.getUint32(at + 4, true) === high) at += BAT_ENTRY;
		return index + (at - first) / BAT_ENTRY;
	}

	/** Decodes the entry `index` out of its page. */
	entryIn(page: DataView, index: number): BatEntry {
		const at = (index % ENTRIES_PER_PAGE) * BAT_ENTRY;
		const low = page.getUint32(at, true);
		return { state: low & 7, offset: (page.getUint32(at + 4, true) * 2 ** 12 + (low >>> 20)) * MIB };
	}

	/** Byte offset of an entry in the file. */
	offsetOf(index: number): number {
		return this.at + index * BAT_ENTRY;
	}
}
