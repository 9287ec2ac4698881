import type { ByteSource } from "../bytes/source.js";
import type { OpenNeighbour } from "./confine.js";
import type { SpoolOptions } from "./spool.js";

/**
 * How much a file looks like what is searched for: 0 not at all; of several files only those with the highest number are
 * considered.
 *
 * @param head its first 4096 bytes, or all of it
 * @param size its length in bytes
 */
export type Likeness = (head: Uint8Array, size: number) => number;

export interface ContainedOptions {
	/** Path of a member as the archive lists it, or its last part; the only likely one where left out. */
	readonly member?: string | undefined;
	readonly likeness: Likeness;
	readonly spool?: SpoolOptions | undefined;
	/** Opens what lies beside the archive itself, for names that a member mentions and the user allows. */
	readonly beside?: OpenNeighbour | undefined;
}

/** A file out of an archive, and a way to the members beside it. */
export interface Contained {
	/** Named `archive:member`. */
	readonly source: ByteSource;
	readonly neighbour: OpenNeighbour;
	/** Closes what was opened for it, never the archive. */
	[Symbol.asyncDispose](): Promise<void>;
}

/**
 * Opens a file inside a tar, zip, gzip, xz, zstd, bzip2 or lz4 file, also one inside another; undefined for what is none
 * of these. What can be read in place is; the rest is spooled.
 *
 * @throws `usage` where several members are as likely, `not-found` where none is; `refused` for encrypted members and
 * beyond limits; `damaged`, `unsupported`
 */
export function openContained(_source: ByteSource, _options: ContainedOptions): Promise<Contained | undefined> {
	return Promise.resolve(undefined);
}
