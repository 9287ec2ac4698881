import type { ByteSink } from "../../bytes/sink.js";
import type { Disk, Written } from "../disk.js";
import { variantOf } from "../variant.js";
import { VARIANTS } from "./mark.js";
import { writeExtents } from "./write-extents.js";
import { type VmdkWriteOptions, writeJob } from "./write-options.js";
import { writeMonolithicSparse } from "./write-sparse.js";
import { writeStreamOptimized } from "./write-stream.js";

/**
 * Writes `disk` as a VMDK: one file (`streamOptimized`, which is compressed and comes in strictly ascending order, or
 * `monolithicSparse`), or a descriptor with the data in files beside it, for which `siblings` is needed
 * (`monolithicFlat`, `vmfs`, and split into files below 2 GiB `twoGbMaxExtentSparse`, `twoGbMaxExtentFlat`). `unitSize` is
 * that of a grain, 64 KiB where left out.
 *
 * The capacity is the disk's size as it is; the last grain is filled up with zeros, which no reader shows. The content ID
 * is made from the disk's beginning, where its partition table has its unique number: the same disk gives the same file.
 */
export async function writeVmdk(disk: Disk, sink: ByteSink, options: VmdkWriteOptions = {}): Promise<Written> {
	const variant = variantOf("VMDK", options, VARIANTS);
	const job = await writeJob(disk, sink, options);
	if (variant === "streamOptimized") return writeStreamOptimized(job);
	if (variant === "monolithicSparse") return writeMonolithicSparse(job);
	return writeExtents(variant, job);
}
