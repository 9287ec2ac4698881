import { AnyvisorError, unsupported } from "../bytes/errors.js";
import type { ByteSink } from "../bytes/sink.js";
import type { WriteOptions } from "./disk.js";

/**
 * Reserves the space of a file whose blocks all have their place, if the caller asked for it. Tables are there from the
 * start in any case. Asked for where blocks get their place when they are written, it is a `usage` error; `unsupported`
 * where the file system cannot.
 *
 * @param fixed length of the file in bytes, where all blocks have their place.
 */
export async function preallocate(
	sink: ByteSink,
	{ preallocation }: WriteOptions,
	fixed: number | undefined,
): Promise<void> {
	if (preallocation !== "full") return;
	if (fixed === undefined) {
		throw new AnyvisorError("usage", "a dynamic disk has no blocks whose space could be reserved", {
			hint: "Choose the variant fixed, or leave the preallocation out.",
		});
	}
	if ((await sink.reserve?.(fixed)) === true) return;
	throw unsupported(`the file system of ${sink.name} cannot reserve space`, {
		file: sink.name,
		hint: "Leave the preallocation out.",
	});
}
