import { damaged } from "../../bytes/errors.js";
import { type ByteSource, readBytes } from "../../bytes/source.js";
import { cached } from "../cache.js";
import type { Disk, DiskDetails, Neighbours } from "../disk.js";
import { holding } from "../holding.js";
import { mappedDisk, type Run } from "../mapped.js";
import { MERGE_HINT, openParent, type ParentLink } from "../parent.js";
import { openRaw } from "../raw/read.js";
import { sectorRuns } from "../sector-bitmap.js";
import { footerDetails } from "./details.js";
import {
	type DynamicDisk,
	type DynamicHeaderFields,
	type FooterFields,
	isDifferencing,
	parentPaths,
	readDynamicDisk,
	readFooter,
	sizeOf,
	unsupportedType,
} from "./header.js";
import { bitmapSize, DiskType, SECTOR, UNALLOCATED } from "./layout.js";

/** Bytes of sector bitmaps that one open disk keeps. */
const BITMAP_CACHE = 4 * 1024 * 1024;

/** Opens a fixed, dynamic or differencing VHD; the last together with its parent. */
export async function openVhd(source: ByteSource, neighbours: Neighbours): Promise<Disk> {
	const footer = await readFooter(source);
	const details = footerDetails(footer);
	switch (footer.diskType) {
		case DiskType.fixed:
			return Object.assign(openRaw(source, "vhd/fixed", sizeOf(footer)), { details });
		case DiskType.dynamic:
		case DiskType.differencing:
			return openDynamic(source, neighbours, await readDynamicDisk(source, footer), details);
		default:
			throw unsupportedType(source, footer);
	}
}

function openDynamic(
	source: ByteSource,
	neighbours: Neighbours,
	dynamic: DynamicDisk,
	footerDetails: DiskDetails,
): Promise<Disk> {
	return holding(async (hold) => {
		const { footer, header, size } = dynamic;
		const blocks = new BlockMap(source, dynamic);
		blocks.checkAll();
		const link = isDifferencing(footer) ? await parentLink(source, header) : undefined;
		const below = link === undefined ? undefined : hold(await openParent(neighbours, link));
		const { name } = source;
		return mappedDisk({
			name,
			size,
			format: link === undefined ? "vhd/dynamic" : "vhd/differencing",
			sectorSize: SECTOR,
			details: {
				...footerDetails,
				blockSize: header.blockSize,
				...(link && { parent: link.paths[0] ?? "", parentId: header.parentUniqueId }),
			},
			below,
			runs: (start, end) => blocks.runs(start, end),
		});
	});
}

/** How a differencing disk says which its parent is: by paths, and by the unique id. */
export async function parentLink(
	source: ByteSource,
	header: DynamicHeaderFields,
	seen: (parent: FooterFields) => void = () => {},
): Promise<ParentLink> {
	return {
		child: source.name,
		format: "vhd",
		paths: await parentPaths(source, header),
		hint: MERGE_HINT,
		async verify(file) {
			const parent = await readFooter(file);
			seen(parent);
			if (parent.uniqueId === header.parentUniqueId) return;
			const ids = `its id is ${parent.uniqueId}, and ${header.parentUniqueId} is wanted`;
			throw damaged(`${file.name} is not the disk that ${source.name} continues: ${ids}`, {
				file: file.name,
				hint: "Put the parent as it was when the differencing disk was made beside it.",
			});
		},
	};
}

/** The block allocation table, and in a differencing disk the sector bitmaps that stand before the blocks. */
class BlockMap {
	readonly #source: ByteSource;
	readonly #dynamic: DynamicDisk;
	readonly #blockSize: number;
	readonly #bitmapSize: number;
	/** By the sector that the block begins at in the file. */
	readonly #bitmap: (sector: number) => Promise<Uint8Array>;

	constructor(source: ByteSource, dynamic: DynamicDisk) {
		this.#source = source;
		this.#dynamic = dynamic;
		this.#blockSize = dynamic.header.blockSize;
		this.#bitmapSize = bitmapSize(this.#blockSize);
		const kept = Math.max(2, Math.floor(BITMAP_CACHE / this.#bitmapSize));
		this.#bitmap = cached(kept, (sector) => readBytes(source, sector * SECTOR, this.#bitmapSize));
	}

	/**
	 * Sector bitmaps count in differencing disks alone: without a parent, a sector that was never written is stored as
	 * zeros.
	 */
	async *runs(start: number, end: number): AsyncGenerator<Run> {
		const { bat, footer } = this.#dynamic;
		const blockSize = this.#blockSize;
		const source = this.#source;
		let told = 0;
		for (let at = start; at < end; ) {
			const block = Math.floor(at / blockSize);
			const sector = bat.getUint32(block * 4);
			const next = sector === UNALLOCATED ? this.#allocatedFrom(block, end) : block + 1;
			const length = Math.min(end, next * blockSize) - at;
			if (sector === UNALLOCATED) {
				yield { kind: "absent", at, length };
			} else {
				told += length;
				if (told > source.size) throw this.#damaged(block, "is the end of more data than the file can hold");
				const offset = this.#dataAt(sector) + (at % blockSize);
				if (isDifferencing(footer)) yield* this.#sectors(await this.#bitmap(sector), at, length, offset);
				else yield { kind: "data", at, length, source, offset };
			}
			at += length;
		}
	}

	/** The first block from `block` on that is allocated, or the one behind byte `end` of the disk. */
	#allocatedFrom(block: number, end: number): number {
		const blocks = Math.ceil(end / this.#blockSize);
		for (let next = block; next < blocks; next++) {
			if (this.#dynamic.bat.getUint32(next * 4) !== UNALLOCATED) return next;
		}
		return blocks;
	}

	/** The sectors of a part of a block: the image's own, and those that its parent has. */
	*#sectors(bitmap: Uint8Array, at: number, length: number, offset: number): Generator<Run> {
		const within = at % this.#blockSize;
		const to = Math.ceil((within + length) / SECTOR);
		for (const { first, count, present } of sectorRuns(bitmap, true, Math.floor(within / SECTOR), to)) {
			const from = Math.max(0, first * SECTOR - within);
			const run = { at: at + from, length: Math.min(length, (first + count) * SECTOR - within) - from };
			if (present) yield { ...run, kind: "data", source: this.#source, offset: offset + from };
			else yield { ...run, kind: "absent" };
		}
	}

	/** Finds a truncated file when it is opened, not an hour into a conversion. */
	checkAll(): void {
		const { bat, blocks, size } = this.#dynamic;
		for (let block = 0; block < blocks; block++) {
			const sector = bat.getUint32(block * 4);
			if (sector === UNALLOCATED) continue;
			const end = this.#dataAt(sector) + Math.min(this.#blockSize, size - block * this.#blockSize);
			if (end <= this.#source.size) continue;
			const name = this.#source.name;
			throw damaged(`${name} is truncated: block ${block} should end at byte ${end}`, {
				file: name,
				offset: this.#dynamic.header.tableOffset + block * 4,
				hint: `The file has ${this.#source.size} bytes: compare with the original's size and copy it again.`,
			});
		}
	}

	#dataAt(sector: number): number {
		return sector * SECTOR + this.#bitmapSize;
	}

	#damaged(block: number, what: string) {
		const { name } = this.#source;
		const offset = this.#dynamic.header.tableOffset + block * 4;
		return damaged(`${name}: block ${block} ${what}`, { file: name, offset });
	}
}
