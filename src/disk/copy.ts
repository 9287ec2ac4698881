import type { ByteSink } from "../bytes/sink.js";
import type { Disk, WriteOptions } from "./disk.js";
import { dataBlocks } from "./sparse.js";

/** How a format takes in a disk's data. */
export interface Placing {
	/** What the format allocates at once: bytes of a cluster, a grain, a block. */
	readonly unit: number;
	/**
	 * Gives unit `index` its place: the offset in the file where its first byte goes. Asked once for each unit that has
	 * data, in ascending order.
	 */
	place(index: number): number | Promise<number>;
}

const PIECE = 64 * 1024;

/**
 * Copies what `disk` holds to the places that the format gives; zeros inside a unit stay holes of the file. Reports
 * progress and honours the signal on the writer's behalf.
 */
export async function copyUnits(disk: Disk, sink: ByteSink, placing: Placing, options: WriteOptions): Promise<void> {
	let current = { index: -1, at: 0 };
	for await (const { at, bytes } of dataBlocks(disk, Math.min(PIECE, placing.unit), options)) {
		const index = Math.floor(at / placing.unit);
		if (index !== current.index) current = { index, at: await placing.place(index) };
		await sink.write(current.at + (at % placing.unit), bytes);
	}
}
