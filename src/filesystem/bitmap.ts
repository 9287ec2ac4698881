import { type ByteSource, readUpTo } from "../bytes/source.js";

/** How much of a bitmap is read at once, in bytes. */
const PIECE = 1 << 20;

/** How many of the first `count` bits of a bitmap, the lowest of each byte first, are not set. */
export async function clearBits(bitmap: ByteSource, count: number): Promise<number> {
	let clear = 0;
	for (let first = 0; first < count; first += PIECE * 8) {
		const bytes = await readUpTo(bitmap, first / 8, PIECE);
		for (let i = 0; i < Math.min(bytes.length * 8, count - first); i++) {
			if (!((bytes[i >>> 3] ?? 0) & (1 << (i & 7)))) clear++;
		}
		if (bytes.length < PIECE) break;
	}
	return clear;
}
