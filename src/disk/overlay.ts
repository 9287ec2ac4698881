import { overlay } from "../bytes/overlay.js";
import type { ByteStore } from "../bytes/source.js";
import { part } from "./backing.js";
import type { Disk, Extent } from "./disk.js";

/** A disk that can be edited without its source being touched: what is written stays in memory. */
export type EditableDisk = Disk & ByteStore;

/** Copy-on-write over `disk`; see {@link overlay} for the limit on what can be written. */
export function editable(disk: Disk): EditableDisk {
	const store = overlay(disk);
	return {
		name: disk.name,
		size: disk.size,
		format: disk.format,
		sectorSize: disk.sectorSize,
		read: (at, into) => store.read(at, into),
		write: (at, bytes) => store.write(at, bytes),
		extents: () => merged(disk.extents(), store.changed()),
		...(disk[Symbol.asyncDispose] && {
			[Symbol.asyncDispose]: () => disk[Symbol.asyncDispose]?.() ?? Promise.resolve(),
		}),
	};
}

/** `extents` with every range in `changed` (ascending, disjoint) turned into data. */
async function* merged(
	extents: AsyncIterable<Extent>,
	changed: readonly { readonly at: number; readonly length: number }[],
): AsyncGenerator<Extent> {
	let next = 0;
	for await (const extent of extents) {
		const end = extent.at + extent.length;
		let at = extent.at;
		for (let range = changed[next]; range && range.at < end; range = changed[next]) {
			const from = Math.max(range.at, at);
			const to = Math.min(range.at + range.length, end);
			if (from > at) yield part(extent, at, from);
			if (to > from) yield { at: from, length: to - from, kind: "data" };
			at = Math.max(at, to);
			if (range.at + range.length > end) break;
			next++;
		}
		if (at < end) yield part(extent, at, end);
	}
}
