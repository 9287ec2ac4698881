import type { Readable } from "node:stream";
import { type SpooledFile, type SpoolOptions, spool } from "./spool.js";

/** Spools a stream to its end, so that a disk image can come through a pipe. */
export const openStdin = (stream: Readable, options: SpoolOptions = {}): Promise<SpooledFile> =>
	spool(stream, "standard input", options);
