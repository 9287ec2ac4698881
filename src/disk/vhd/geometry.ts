import { MAX_GEOMETRY } from "./layout.js";

export interface Geometry {
	readonly cylinders: number;
	readonly heads: number;
	readonly sectorsPerTrack: number;
}

/** The geometry that the specification's appendix "CHS Calculation" gives a disk of so many sectors. */
export function geometryOf(sectors: number): Geometry {
	const { cylinders, heads, sectorsPerTrack } = MAX_GEOMETRY;
	const total = Math.min(sectors, cylinders * heads * sectorsPerTrack);
	if (total >= 65535 * 16 * 63) return geometry(total, 16, 255);

	const tracks = Math.floor(total / 17);
	const fewHeads = Math.max(4, Math.ceil(tracks / 1024));
	if (fewHeads <= 16 && tracks < fewHeads * 1024) return geometry(total, fewHeads, 17);
	if (Math.floor(total / 31) < 16 * 1024) return geometry(total, 16, 31);
	return geometry(total, 16, 63);
}

const geometry = (total: number, heads: number, sectorsPerTrack: number): Geometry => ({
	cylinders: Math.floor(total / sectorsPerTrack / heads),
	heads,
	sectorsPerTrack,
});
