import type { ByteSource } from "../../bytes/source.js";
import { checkRange } from "../../bytes/source.js";
import type { Disk, Extent } from "../disk.js";

const SECTOR = 512;

/** The source's own bytes as a disk; a last partial sector is filled up with zeros. */
export function openRaw(source: ByteSource): Disk {
	const size = Math.ceil(source.size / SECTOR) * SECTOR;
	return {
		name: source.name,
		size,
		format: "raw",
		sectorSize: SECTOR,
		async read(at, into) {
			checkRange({ name: source.name, size }, at, into.length);
			const stored = Math.max(0, Math.min(into.length, source.size - at));
			await source.read(at, into.subarray(0, stored));
			into.fill(0, stored);
		},
		async *extents(): AsyncGenerator<Extent> {
			yield { at: 0, length: size, kind: "data" };
		},
	};
}
