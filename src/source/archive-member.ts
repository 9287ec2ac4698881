import type { ByteSource } from "../bytes/source.js";
import type { Spooler } from "./spool.js";

/** A file in an archive. */
export interface Member {
	/** As the archive has it, hostile or not. */
	readonly name: string;
	readonly size: number;
	/** The first bytes, up to `length` of them. */
	head(length: number): Promise<Uint8Array>;
	open(spooler: Spooler): Promise<ByteSource>;
}

/**
 * How much a file looks like what is searched for: 0 not at all, 3 or more surely; of several files only those with the
 * highest number are considered. Less than {@link NUANCE} more is a reason to take this one of several files that bear
 * one name with different endings, and no other.
 *
 * @param head its first 4096 bytes, or all of it
 * @param size its length in bytes
 * @param path where it is in the archive
 */
export type Likeness = (head: Uint8Array, size: number, path: string) => number;

export const NUANCE = 0.1;

/** What a {@link Likeness} is judged by. */
export const HEAD = 4096;

const MOST_LISTED = 20;

/** Names for a message, not all of them where there are many. */
export function listed(names: readonly string[]): string {
	const more = names.length - MOST_LISTED;
	return names.slice(0, MOST_LISTED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
