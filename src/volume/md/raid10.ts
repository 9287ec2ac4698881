import type { Place, RunAt } from "../mapping.js";

/**
 * How RAID 10 keeps its copies: beside each other in a stripe ("near"), in another part of each member ("far"), or in
 * the next stripe ("offset"). md(4), "RAID10".
 */
export interface Raid10Layout {
	readonly near: number;
	readonly far: number;
	readonly offset: boolean;
}

/** @returns `undefined` for a layout that is not read */
export function raid10Layout(layout: number, count: number): Raid10Layout | undefined {
	const near = layout & 0xff;
	const far = (layout >> 8) & 0xff;
	const offset = (layout & 0x10000) !== 0;
	// What is above puts far copies into sets; mdadm itself makes near or far copies, not both.
	if (layout >>> 17 !== 0 || near < 1 || far < 1 || (near > 1 && far > 1) || near * far > count) return undefined;
	return { near, far, offset };
}

/** The bytes that each member has of its data, in whole chunks and divisible among the far parts; and the array's. */
export function raid10Sizes({ near, far, offset }: Raid10Layout, count: number, chunk: number, used: number) {
	const chunks = Math.floor(used / chunk);
	/** From a far copy to the next. */
	const stride = offset ? chunk : Math.floor(chunks / far) * chunk;
	const size = Math.floor((Math.floor(chunks / far) * count) / near) * chunk;
	return { stride, size };
}

/** Whether each chunk of `size` bytes is somewhere: which ones are gone repeats with the stripes. */
export function hasAllChunks(
	run: RunAt,
	{ count, chunk, size }: { count: number; chunk: number; size: number },
): boolean {
	for (let i = 0; i < count && i * chunk < size; i++) if (run(i * chunk).places.length === 0) return false;
	return true;
}

/** Chunk after chunk, each at its `near * far` places; those of members that are not there are left out. */
export function raid10(
	{ near, far, offset }: Raid10Layout,
	members: readonly (Place | undefined)[],
	chunk: number,
	stride: number,
): RunAt {
	const count = members.length;
	return (at) => {
		const first = Math.floor(at / chunk) * near;
		const places: Place[] = [];
		for (let copy = 0; copy < near; copy++) {
			const stripe = Math.floor((first + copy) / count) * (offset ? far : 1);
			for (let part = 0; part < far; part++) {
				// Each far copy is as many members further on as there are near ones.
				const member = members[(first + copy + part * near) % count];
				if (member)
					places.push({ source: member.source, at: member.at + stripe * chunk + part * stride + (at % chunk) });
			}
		}
		return { length: chunk - (at % chunk), places };
	};
}
