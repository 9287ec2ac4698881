import type { ByteSink } from "../../bytes/sink.js";
import { copyUnits, ONE_UNIT } from "../copy.js";
import type { Disk, WriteOptions, Written } from "../disk.js";
import { preallocated } from "../preallocate.js";
import { variantOf } from "../variant.js";

const VARIANTS = ["plain"] as const;

/**
 * Writes the bytes as they are; runs of zeros, looked for in 64 KiB, become holes of the file. Preallocated in full, the
 * file has none: {@link preallocated}.
 */
export async function writeRaw(disk: Disk, sink: ByteSink, options: WriteOptions): Promise<Written> {
	variantOf("raw", options, VARIANTS);
	const placing = { unit: ONE_UNIT, place: () => 0 };
	await preallocated(sink, options, { from: 0, to: disk.size }, (into) => copyUnits(disk, into, placing, options));
	return { size: disk.size };
}
