import { AnyvisorError } from "../bytes/errors.js";
import type { ByteSink } from "../bytes/sink.js";
import type { WriteOptions } from "./disk.js";
import { withoutHoles } from "./without-holes.js";

/** A part of a file, in bytes. */
interface Range {
	readonly from: number;
	readonly to: number;
}

/**
 * Runs `write` on the file; where the caller asked for full preallocation, so that the blocks of the disk have space of
 * their own, whatever `write` skips.
 *
 * @param blocks where they lie in the file; undefined where they get their place when they are written: then nothing can
 * be preallocated, and it is a `usage` error
 * @param write must write in ascending order through the sink it is given
 */
export async function preallocated(
	sink: ByteSink,
	{ preallocation }: WriteOptions,
	blocks: Range | undefined,
	write: (sink: ByteSink) => Promise<void>,
): Promise<void> {
	if (preallocation !== "full") return write(sink);
	if (blocks === undefined) {
		throw new AnyvisorError("usage", "a dynamic disk has no blocks whose space could be reserved", {
			hint: "Choose a variant whose blocks are all there (fixed, static), or leave the preallocation out.",
		});
	}
	const file = await withoutHoles(sink, blocks.from, blocks.to);
	await write(file.sink);
	await file.finish();
}
