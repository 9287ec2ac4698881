import type { Disk, Extent, Stored } from "./disk.js";
import { joined } from "./sparse.js";

/** What an overlay's own tables say of a run; `absent` leaves it to the disk below. */
export interface OverlayExtent {
	readonly at: number;
	readonly length: number;
	readonly kind: Extent["kind"] | "absent";
	readonly stored?: Stored;
}

/** Reads from the disk below an overlay: what lies beyond its end, or has no disk below, is zero. */
export async function readBelow(below: Disk | undefined, at: number, into: Uint8Array): Promise<void> {
	const length = below === undefined ? 0 : Math.max(0, Math.min(into.length, below.size - at));
	if (length > 0) await below?.read(at, into.subarray(0, length));
	into.fill(0, length);
}

/** Replaces the absent runs of an overlay by what the disk below has there. */
export async function* extentsOver(own: AsyncIterable<OverlayExtent>, below: Disk | undefined): AsyncGenerator<Extent> {
	yield* joined(below === undefined ? absentIsZero(own) : lookThrough(own, below));
}

async function* absentIsZero(own: AsyncIterable<OverlayExtent>): AsyncGenerator<Extent> {
	for await (const extent of own) {
		const { at, length, kind } = extent;
		yield kind === "absent" ? { at, length, kind: "zero" } : { ...extent, kind };
	}
}

async function* lookThrough(own: AsyncIterable<OverlayExtent>, below: Disk): AsyncGenerator<Extent> {
	const lower = below.extents()[Symbol.asyncIterator]();
	try {
		let under: Extent = { at: 0, length: 0, kind: "zero" };
		for await (const extent of own) {
			const { at, length, kind } = extent;
			if (kind !== "absent") {
				yield { ...extent, kind };
				continue;
			}
			const end = at + length;
			let next = at;
			while (next < end) {
				if (next >= under.at + under.length) {
					const step = await lower.next();
					const after = { at: under.at + under.length, length: Number.MAX_SAFE_INTEGER, kind: "zero" } as const;
					under = step.done === true ? after : step.value;
					continue;
				}
				const stop = Math.min(end, under.at + under.length);
				yield part(under, next, stop);
				next = stop;
			}
		}
	} finally {
		await lower.return?.();
	}
}

/** The part `[from, to)` of an extent. */
export function part(extent: Extent, from: number, to: number): Extent {
	const { at, kind, stored } = extent;
	const piece = { at: from, length: to - from, kind };
	if (stored === undefined) return piece;
	return { ...piece, stored: stored.compressed === true ? stored : { ...stored, at: stored.at + from - at } };
}
