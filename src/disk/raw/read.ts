import { isHoleAware } from "../../bytes/holes.js";
import type { ByteSource } from "../../bytes/source.js";
import { checkRange } from "../../bytes/source.js";
import type { Disk, Extent } from "../disk.js";
import { joined } from "../sparse.js";

const SECTOR = 512;

/**
 * The first `stored` bytes of the source as a disk; a last partial sector is filled up with zeros. Holes that the source
 * knows of are zero extents; nothing is scanned for others.
 */
export function openRaw(source: ByteSource, format = "raw", stored = source.size): Disk {
	checkRange(source, 0, stored);
	const { name } = source;
	const size = Math.ceil(stored / SECTOR) * SECTOR;
	return {
		name,
		size,
		format,
		sectorSize: SECTOR,
		async read(at, into) {
			checkRange({ name, size }, at, into.length);
			const length = Math.max(0, Math.min(into.length, stored - at));
			if (length > 0) await source.read(at, into.subarray(0, length));
			into.fill(0, length);
		},
		extents: () => joined(extentsOf(source, stored, size)),
	};
}

async function* extentsOf(source: ByteSource, stored: number, size: number): AsyncGenerator<Extent> {
	if (isHoleAware(source)) {
		for await (const { at, length, kind } of source.extents()) {
			if (at >= stored) break;
			const extent = { at, length: Math.min(length, stored - at), kind };
			yield kind === "data" ? { ...extent, stored: { source, at } } : extent;
		}
	} else {
		yield { at: 0, length: stored, kind: "data", stored: { source, at: 0 } };
	}
	yield { at: stored, length: size - stored, kind: "zero" };
}
