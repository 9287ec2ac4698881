import type { ByteSource } from "../../bytes/source.js";
import { BlockAllocationTable, ENTRIES_PER_PAGE } from "./bat.js";
import type { Found, Structure } from "./check.js";
import type { Region } from "./header.js";
import { BITMAP_BLOCK, MIB, STATE } from "./layout.js";
import type { Metadata } from "./metadata.js";

interface Checked {
	readonly structures: readonly Structure[];
	readonly metadata: Metadata;
	/** Of the block allocation table. */
	readonly region: Region;
}

/** 2.5.1: states that cannot be, blocks outside of the file or over something else, sector bitmaps that are missing. */
export async function* checkBat(source: ByteSource, { structures, metadata, region }: Checked): AsyncGenerator<Found> {
	const bat = new BlockAllocationTable(source, region, metadata);
	const differencing = metadata.parentLocator !== undefined;
	const units = new UsedUnits(source.size);
	for (const { at, length } of structures) units.take(at, length);
	let chunk = -1;
	for (let first = 0; first < bat.entries; first += ENTRIES_PER_PAGE) {
		const page = await bat.pageOf(first);
		if (page === undefined) continue;
		const end = Math.min(bat.entries, first + ENTRIES_PER_PAGE);
		for (let index = first; index < end; index++) {
			const { state, offset } = bat.entryIn(page, index);
			const isBitmap = bat.isBitmapEntry(index);
			const ofChunk = Math.floor(index / (bat.ratio + 1));
			const name = isBitmap ? `sector bitmap ${ofChunk}` : `block ${bat.blockFrom(index)}`;
			const found = (message: string): Found => ({ severity: "error", message, offset: bat.offsetOf(index) });

			if (!isAllowed(state, isBitmap, differencing)) yield found(`${name} has state ${state}, which cannot be`);
			if (differencing && !isBitmap && state === STATE.partiallyPresent && chunk !== ofChunk) {
				chunk = ofChunk;
				const bitmap = await bat.entry(bat.bitmapEntryOf(bat.blockFrom(index)));
				if (bitmap.state !== STATE.fullyPresent) yield found(`${name} needs sector bitmap ${chunk}, which is missing`);
			}
			if (!isPresent(state)) {
				// Most of a large table says the same again and again.
				if (!isBitmap) index = bat.sameUntil(page, index, Math.min(end, bat.bitmapEntryOf(bat.blockFrom(index)))) - 1;
				continue;
			}
			const length = isBitmap ? BITMAP_BLOCK : metadata.blockSize;
			const free = units.take(offset, length);
			if (offset + length > source.size) yield found(`${name} at ${offset} goes on beyond the end of the file`);
			else if (!free) yield found(`${name} at ${offset} lies over something else`);
		}
	}
}

const isPresent = (state: number) => state === STATE.fullyPresent || state === STATE.partiallyPresent;

function isAllowed(state: number, isBitmap: boolean, differencing: boolean): boolean {
	if (isBitmap) return state === STATE.notPresent || (differencing && state === STATE.fullyPresent);
	return state <= STATE.unmapped || state === STATE.fullyPresent || (differencing && state === STATE.partiallyPresent);
}

/** Most of a file that is looked at, in MiB: twice what the largest disk takes. */
const UNITS_LIMIT = 128 * MIB;

/** Which MiB of the file are used: everything in a VHDX has its place at whole MiB. */
class UsedUnits {
	readonly #used: Uint8Array;

	constructor(size: number) {
		this.#used = new Uint8Array(Math.min(UNITS_LIMIT, Math.ceil(size / MIB)));
	}

	/** False where a part of the range was taken before; then nothing of the rest is. */
	take(at: number, length: number): boolean {
		const end = Math.min(this.#used.length, Math.ceil((at + length) / MIB));
		for (let unit = Math.floor(at / MIB); unit < end; unit++) {
			if (this.#used[unit] === 1) return false;
			this.#used[unit] = 1;
		}
		return true;
	}
}
