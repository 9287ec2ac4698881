import type { ByteSink } from "../../bytes/sink.js";
import { copyUnits } from "../copy.js";
import type { Disk, WriteOptions, Written } from "../disk.js";
import { variantOf } from "../variant.js";
import { withoutHoles } from "./without-holes.js";

const VARIANTS = ["plain"] as const;

/** Every place is its own; this is only how finely zeros are looked for. */
const UNIT = 64 * 1024;

/**
 * Writes the bytes as they are; runs of zeros, looked for in 64 KiB, become holes of the file. Preallocated in full, the
 * file has none: {@link withoutHoles}.
 */
export async function writeRaw(disk: Disk, sink: ByteSink, options: WriteOptions): Promise<Written> {
	variantOf("raw", options, VARIANTS);
	const copyTo = (into: ByteSink) => copyUnits(disk, into, { unit: UNIT, place: (index) => index * UNIT }, options);
	if (options.preallocation === "full") await withoutHoles(sink, 0, disk.size, copyTo);
	else await copyTo(sink);
	return { size: disk.size };
}
