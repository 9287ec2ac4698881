import type { ByteSink } from "../../bytes/sink.js";
import type { Disk, WriteOptions, Written } from "../disk.js";
import { dataBlocks } from "../sparse.js";
import { variantOf } from "../variant.js";

const BLOCK = 64 * 1024;

/** Writes the bytes as they are; runs of zeros, looked for in 64 KiB, become holes of the file. */
export async function writeRaw(disk: Disk, sink: ByteSink, options: WriteOptions): Promise<Written> {
	variantOf("raw", options, ["plain"]);
	for await (const { at, bytes } of dataBlocks(disk, BLOCK, options)) {
		await sink.write(at, bytes.subarray(0, Math.min(BLOCK, disk.size - at)));
	}
	return { size: disk.size };
}
