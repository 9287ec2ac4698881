import { type ByteSource, checkRange } from "./source.js";

/** Sources one after the other, read as one. */
export function concatenation(parts: readonly ByteSource[], name: string): ByteSource {
	const starts: number[] = [];
	let size = 0;
	for (const part of parts) {
		starts.push(size);
		size += part.size;
	}
	const whole = {
		name,
		size,
		async read(at: number, into: Uint8Array) {
			checkRange(whole, at, into.length);
			let index = partAt(starts, at);
			for (let done = 0; done < into.length; index++) {
				const part = parts[index];
				const from = at + done - (starts[index] ?? 0);
				if (part === undefined) throw new RangeError(`no part ${index}`);
				const piece = into.subarray(done, done + Math.min(into.length - done, part.size - from));
				await part.read(from, piece);
				done += piece.length;
			}
		},
	};
	return whole;
}

/** The last part that does not start behind `at`. */
function partAt(starts: readonly number[], at: number): number {
	let low = 0;
	for (let high = starts.length; high - low > 1; ) {
		const middle = (low + high) >>> 1;
		if ((starts[middle] ?? 0) <= at) low = middle;
		else high = middle;
	}
	return low;
}
