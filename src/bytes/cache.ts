import { type ByteSource, type ByteStore, checkRange, isStore, readBytes } from "./source.js";

export interface CacheOptions {
	/** Bytes that are read at once; 64 KiB by default. */
	readonly blockSize?: number;
	/** How many blocks are kept; 256 by default. */
	readonly blocks?: number;
}

/**
 * Keeps the blocks of `source` that were read last. Concurrent reads of a block share one read of the source; reads of
 * more than a block at once pass by, since nobody reads bulk data twice. A store stays one: a write goes to it and drops
 * what it makes stale.
 */
export function cached(source: ByteStore, options?: CacheOptions): ByteStore;
export function cached(source: ByteSource, options?: CacheOptions): ByteSource;
export function cached(source: ByteSource, { blockSize = 64 << 10, blocks = 256 }: CacheOptions = {}): ByteSource {
	// In the order of their last use: a Map iterates in the order of insertion.
	const kept = new Map<number, Promise<Uint8Array>>();

	const block = (index: number): Promise<Uint8Array> => {
		const at = index * blockSize;
		const bytes = kept.get(index) ?? readBytes(source, at, Math.min(blockSize, source.size - at));
		kept.delete(index);
		kept.set(index, bytes);
		bytes.catch(() => kept.get(index) === bytes && kept.delete(index));
		if (kept.size > blocks) for (const oldest of kept.keys()) if (kept.delete(oldest)) break;
		return bytes;
	};

	const view: ByteSource = {
		name: source.name,
		size: source.size,
		async read(at, into) {
			checkRange(source, at, into.length);
			if (into.length > blockSize) return source.read(at, into);
			for (let done = 0; done < into.length; ) {
				const index = Math.floor((at + done) / blockSize);
				const from = at + done - index * blockSize;
				const part = (await block(index)).subarray(from, from + into.length - done);
				into.set(part, done);
				done += part.length;
			}
		},
		...(source[Symbol.asyncDispose] && {
			[Symbol.asyncDispose]: () => source[Symbol.asyncDispose]?.() ?? Promise.resolve(),
		}),
	};
	if (!isStore(source)) return view;

	const drop = (at: number, length: number) => {
		const last = Math.floor((at + length - 1) / blockSize);
		for (let index = Math.floor(at / blockSize); index <= last; index++) kept.delete(index);
	};
	return Object.assign(view, {
		async write(at: number, bytes: Uint8Array) {
			try {
				await source.write(at, bytes);
			} finally {
				// Also when it failed, perhaps half way; and afterwards, since a read may have begun meanwhile.
				drop(at, bytes.length);
			}
		},
	});
}
