/** Sectors of a block that follow each other and are all in the image, or all left to its parent. */
export interface SectorRun {
	/** Index of the first sector, counted as the bitmap counts. */
	readonly first: number;
	readonly count: number;
	readonly present: boolean;
}

/**
 * The runs of sectors `[from, to)` of a bitmap in which 1 stands for a sector that is present.
 *
 * @param highFirst whether a byte's first sector is its highest bit (VHD) or its lowest (VHDX).
 */
export function* sectorRuns(
	bitmap: Uint8Array,
	highFirst: boolean,
	from: number,
	to: number,
): Generator<SectorRun, void, undefined> {
	const present = (sector: number) => {
		const bit = highFirst ? 7 - (sector % 8) : sector % 8;
		return (((bitmap[Math.floor(sector / 8)] ?? 0) >>> bit) & 1) === 1;
	};
	for (let first = from; first < to; ) {
		const kind = present(first);
		const whole = kind ? 0xff : 0;
		let end = first + 1;
		while (end < to) {
			if (end % 8 === 0 && bitmap[end / 8] === whole) end += 8;
			else if (present(end) === kind) end++;
			else break;
		}
		end = Math.min(end, to);
		yield { first, count: end - first, present: kind };
		first = end;
	}
}
