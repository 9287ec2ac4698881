import type { Disk, Extent } from "./disk.js";

/** A run of a disk and where it is kept, as plain data. */
export interface MapEntry {
	/** Offset on the disk, in bytes. */
	readonly start: number;
	readonly length: number;
	/** `zero`: reads as zero without touching a file. `data`: may hold anything, zeros included. */
	readonly kind: Extent["kind"];
	/** The file that holds it; null where none does. */
	readonly file: string | null;
	/** Offset in that file, of the first unit where they are compressed; null where no file holds it. */
	readonly offset: number | null;
	readonly compressed: boolean;
}

/** The whole disk in ascending order without gaps; nothing is collected, so that a huge disk costs no memory. */
export async function* mapDisk(disk: Disk): AsyncGenerator<MapEntry, void, undefined> {
	for await (const { at, length, kind, stored } of disk.extents()) {
		yield {
			start: at,
			length,
			kind,
			file: stored?.source.name ?? null,
			offset: stored?.at ?? null,
			compressed: stored?.compressed ?? false,
		};
	}
}
