import type { ByteSink } from "../../bytes/sink.js";
import { copyUnits } from "../copy.js";
import type { Disk, WriteOptions, Written } from "../disk.js";
import { variantOf } from "../variant.js";

/** Every place is its own; this is only how finely zeros are looked for. */
const UNIT = 64 * 1024;

/** Writes the bytes as they are; runs of zeros, looked for in 64 KiB, become holes of the file. */
export async function writeRaw(disk: Disk, sink: ByteSink, options: WriteOptions): Promise<Written> {
	variantOf("raw", options, ["plain"]);
	await copyUnits(disk, sink, { unit: UNIT, place: (index) => index * UNIT }, options);
	return { size: disk.size };
}
