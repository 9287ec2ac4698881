import { isHoleAware } from "../../bytes/holes.js";
import { type ByteSource, checkRange } from "../../bytes/source.js";
import type { Disk, Extent } from "../disk.js";
import { joined } from "../sparse.js";

/** A stretch of a disk by itself; offsets count from its beginning. */
export type DiskPart = Pick<Disk, "size" | "read" | "extents">;

/** The first `size` bytes of a file, as they are. Holes that the file knows of are zero; nothing is scanned for others. */
export function filePart(source: ByteSource, size = source.size): DiskPart {
	checkRange(source, 0, size);
	return {
		size,
		read: (at, into) => source.read(at, into),
		extents: () => extentsOf(source, size),
	};
}

async function* extentsOf(source: ByteSource, size: number): AsyncGenerator<Extent> {
	if (!isHoleAware(source)) {
		yield { at: 0, length: size, kind: "data", stored: { source, at: 0 } };
		return;
	}
	for await (const { at, length, kind } of source.extents()) {
		if (at >= size) break;
		const extent = { at, length: Math.min(length, size - at), kind };
		yield kind === "data" ? { ...extent, stored: { source, at } } : { ...extent, hole: true };
	}
}

const SECTOR = 512;

/** The disk that `parts` make one after the other; a last partial sector is filled up with zeros. */
export function diskOfParts(facts: Pick<Disk, "name" | "format" | "details">, parts: Iterable<DiskPart>): Disk {
	const placed: { readonly at: number; readonly part: DiskPart }[] = [];
	let end = 0;
	for (const part of parts) {
		placed.push({ at: end, part });
		end += part.size;
	}
	const size = Math.ceil(end / SECTOR) * SECTOR;
	async function* extents(): AsyncGenerator<Extent> {
		for (const { at: start, part } of placed) {
			for await (const extent of part.extents()) yield { ...extent, at: start + extent.at };
		}
		yield { at: end, length: size - end, kind: "zero" };
	}
	return {
		...facts,
		size,
		sectorSize: SECTOR,
		async read(at, into) {
			checkRange({ name: facts.name, size }, at, into.length);
			for (const { at: start, part } of placed) {
				const from = Math.max(at, start);
				const to = Math.min(at + into.length, start + part.size);
				if (from < to) await part.read(from - start, into.subarray(from - at, to - at));
			}
			into.fill(0, Math.max(0, end - at));
		},
		extents: () => joined(extents()),
	};
}
