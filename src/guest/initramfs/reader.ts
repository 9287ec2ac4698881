import { concat } from "../../bytes/concat.js";
import { type ByteSource, readUpTo } from "../../bytes/source.js";

/** Bytes that are read once, from front to back. */
export interface ForwardReader {
	/** How many bytes have been taken or skipped. */
	readonly at: number;
	/** The next `length` bytes, valid until the next call; fewer only where the input ends. */
	take(length: number): Promise<Uint8Array>;
	/** Moves on by `length` bytes; returns by how many, fewer only where the input ends. */
	skip(length: number): Promise<number>;
	/** Moves on over zero bytes; returns the byte that stopped it, which stays to be taken, or `undefined` at the end. */
	skipZeros(): Promise<number | undefined>;
}

const windowSize = 32 * 1024;

/** Reads a source from `start`; what is skipped is never fetched. */
export function sourceReader(source: ByteSource, start: number): ForwardReader {
	let at = 0;
	let window: Uint8Array = new Uint8Array();
	let windowAt = 0;
	const take = async (length: number) => {
		let from = at - windowAt;
		if (from < 0 || from + length > window.length) {
			window = await readUpTo(source, start + at, Math.max(length, windowSize));
			windowAt = at;
			from = 0;
		}
		const bytes = window.subarray(from, from + length);
		at += bytes.length;
		return bytes;
	};
	return {
		get at() {
			return at;
		},
		take,
		skip(length) {
			const skipped = Math.min(length, Math.max(0, source.size - start - at));
			at += skipped;
			return Promise.resolve(skipped);
		},
		async skipZeros() {
			for (;;) {
				const bytes = await take(windowSize);
				const stop = bytes.findIndex((byte) => byte !== 0);
				if (stop >= 0) at -= bytes.length - stop;
				if (stop >= 0 || bytes.length === 0) return bytes[stop];
			}
		},
	};
}

/** Reads a stream of chunks of any size, each of which is valid until the second next is asked for. */
export function streamReader(stream: AsyncIterator<Uint8Array, unknown>): ForwardReader {
	let chunk: Uint8Array = new Uint8Array();
	let used = 0;
	let before = 0;
	/** Makes the next chunk the current one; false at the end. */
	const advance = async () => {
		before += used;
		used = 0;
		const next = await stream.next();
		chunk = next.done ? new Uint8Array() : next.value;
		return !next.done;
	};
	return {
		get at() {
			return before + used;
		},
		async take(length) {
			if (used + length <= chunk.length) {
				used += length;
				return chunk.subarray(used - length, used);
			}
			const parts: Uint8Array[] = [];
			let missing = length;
			do {
				const part = chunk.subarray(used, used + missing);
				used += part.length;
				missing -= part.length;
				// Its chunk may be used again meanwhile.
				parts.push(part.slice());
			} while (missing > 0 && (await advance()));
			return concat(parts);
		},
		async skip(length) {
			let missing = length;
			do {
				const part = Math.min(missing, chunk.length - used);
				used += part;
				missing -= part;
			} while (missing > 0 && (await advance()));
			return length - missing;
		},
		async skipZeros() {
			do {
				while (used < chunk.length && chunk[used] === 0) used++;
				if (used < chunk.length) return chunk[used];
			} while (await advance());
			return undefined;
		},
	};
}
