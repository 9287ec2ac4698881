import { damaged } from "./errors.js";

/**
 * Random-access, read-only bytes: a file, a partition, a file inside a file system, a member of an archive. Every layer
 * hands the next one of these.
 */
export interface ByteSource {
	/** For messages: how a person would name these bytes, for example `app.ova:disk1.vmdk`. */
	readonly name: string;
	/** Length in bytes, 0 to 2^53 - 1, fixed while the source is open. */
	readonly size: number;
	/**
	 * Fills all of `into` with the bytes that start at `at`, or throws: a `damaged` error when the range leaves the
	 * source. Concurrent reads are allowed.
	 */
	read(at: number, into: Uint8Array): Promise<void>;
	/** Closes what the source itself opened; sources that only look through another one have no such member. */
	[Symbol.asyncDispose]?(): PromiseLike<void>;
}

/** Bytes that can also be overwritten in place. `size` never changes. */
export interface ByteStore extends ByteSource {
	/** Overwrites the bytes at `at`; throws when the range leaves the store. */
	write(at: number, bytes: Uint8Array): Promise<void>;
}

export const isStore = (source: ByteSource): source is ByteStore => "write" in source;

/** Throws `damaged` unless `[at, at + length)` lies inside `source`. */
export function checkRange(source: { name: string; size: number }, at: number, length: number): void {
	if (!(Number.isSafeInteger(at) && at >= 0 && length >= 0 && at + length <= source.size)) {
		throw damaged(
			`${source.name} ends at byte ${source.size}, but ${length} bytes at ${at} are needed: it is truncated or damaged`,
			{
				file: source.name,
				offset: at,
				hint: "Compare the file's size with the original's, and copy it again if they differ.",
			},
		);
	}
}

/** Reads `length` bytes at `at` into a new array. */
export async function readBytes(source: ByteSource, at: number, length: number): Promise<Uint8Array> {
	checkRange(source, at, length);
	const bytes = new Uint8Array(length);
	await source.read(at, bytes);
	return bytes;
}

/** Reads up to `length` bytes at `at`: fewer where the source ends. */
export function readUpTo(source: ByteSource, at: number, length: number): Promise<Uint8Array> {
	const start = Math.min(at, source.size);
	return readBytes(source, start, Math.min(length, source.size - start));
}

/** As {@link readUpTo}, into `buffer`, of which the result is a view. */
export async function readInto(source: ByteSource, at: number, buffer: Uint8Array): Promise<Uint8Array> {
	const start = Math.min(at, source.size);
	const bytes = buffer.subarray(0, source.size - start);
	await source.read(start, bytes);
	return bytes;
}

/** Bytes held in memory. */
export function bytesSource(bytes: Uint8Array, name = "memory"): ByteSource {
	const source = {
		name,
		size: bytes.length,
		async read(at: number, into: Uint8Array) {
			checkRange(source, at, into.length);
			into.set(bytes.subarray(at, at + into.length));
		},
	};
	return source;
}

/** A window on `source`. The window of a {@link ByteStore} is a store as well. */
export function slice(source: ByteStore, at: number, length: number, name?: string): ByteStore;
export function slice(source: ByteSource, at: number, length: number, name?: string): ByteSource;
export function slice(source: ByteSource, at: number, length: number, name = source.name): ByteSource {
	checkRange(source, at, length);
	const window = {
		name,
		size: length,
		async read(offset: number, into: Uint8Array) {
			checkRange(window, offset, into.length);
			await source.read(at + offset, into);
		},
	};
	if (!isStore(source)) return window;
	return Object.assign(window, {
		async write(offset: number, bytes: Uint8Array) {
			checkRange(window, offset, bytes.length);
			await source.write(at + offset, bytes);
		},
	});
}
