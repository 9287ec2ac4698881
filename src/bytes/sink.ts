import type { ByteSource } from "./source.js";

/**
 * Where an output's bytes go. Writes may come in any order and may leave holes (which read as zero). Nothing is visible
 * under the output's name before {@link commit}; disposed without one, nothing is left behind.
 */
export interface ByteSink {
	/** For messages: the output's final name. */
	readonly name: string;
	/** Writes `bytes` at `at`. The array may be reused once the promise resolves. */
	write(at: number, bytes: Uint8Array): Promise<void>;
	/**
	 * Makes `[at, at + length)` share the blocks that hold `[from, from + length)` of `source`, without copying them.
	 * False, and nothing has happened, where that cannot be done: no such file system, no file, offsets that are not
	 * multiples of its blocks.
	 *
	 * @param holes how much of it is known to be holes of the source, which have no blocks
	 */
	share?(at: number, source: ByteSource, from: number, length: number, holes?: number): Promise<boolean>;
	/** Reserves the space of the first `size` bytes, which read as zero; false where the file system cannot. */
	reserve?(size: number): Promise<boolean>;
	/** Sets the final size, syncs, and puts the output under its name. */
	commit(size: number): Promise<void>;
	[Symbol.asyncDispose](): PromiseLike<void>;
}

/** A folder of outputs that appears as a whole or not at all. */
export interface OutputFolder {
	readonly name: string;
	/**
	 * Starts a file; `name` is a plain file name, or one with those of folders in this one before it, each with a "/". Its own
	 * commit completes it inside the folder.
	 */
	file(name: string): Promise<ByteSink>;
	/** Syncs and puts the folder under its name. */
	commit(): Promise<void>;
	[Symbol.asyncDispose](): PromiseLike<void>;
}
