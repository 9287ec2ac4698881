/** What one chunk holds when it is decoded. */
const CHUNK = 4096;
const COMPRESSED = 0x8000;

/**
 * Decodes LZNT1 into `out`, and fills what is not said with zeros. False where `packed` is no LZNT1.
 * https://learn.microsoft.com/openspecs/windows_protocols/ms-xca/5655f4a3-6ba4-489b-959f-e1f407c52f15
 */
export function decodeLznt1(packed: Uint8Array, out: Uint8Array): boolean {
	out.fill(0);
	let from = 0;
	for (let to = 0; to < out.length && from + 2 <= packed.length; to += CHUNK) {
		const header = (packed[from] ?? 0) | ((packed[from + 1] ?? 0) << 8);
		if (header === 0) break;
		from += 2;
		const end = from + (header & 0xfff) + 1;
		if (end > packed.length) return false;
		const [chunk, into] = [packed.subarray(from, end), out.subarray(to, to + CHUNK)];
		if (header & COMPRESSED) {
			if (!decodeChunk(chunk, into)) return false;
		} else into.set(chunk.subarray(0, into.length));
		from = end;
	}
	return true;
}

/** A byte of flags tells of the next eight tokens whether each is a byte, or two that copy what stands before. */
function decodeChunk(chunk: Uint8Array, out: Uint8Array): boolean {
	let to = 0;
	/** How many bits of a copy are its length; fewer the further it can reach back. */
	let lengthBits = 12;
	for (let from = 0; from < chunk.length; ) {
		const flags = chunk[from++] ?? 0;
		for (let bit = 0; bit < 8 && from < chunk.length; bit++) {
			if (!(flags & (1 << bit))) {
				if (to >= out.length) return false;
				out[to++] = chunk[from++] ?? 0;
				continue;
			}
			if (from + 2 > chunk.length) return false;
			const token = (chunk[from] ?? 0) | ((chunk[from + 1] ?? 0) << 8);
			from += 2;
			while (to > 2 ** (16 - lengthBits)) lengthBits--;
			const distance = (token >>> lengthBits) + 1;
			const length = (token & (2 ** lengthBits - 1)) + 3;
			if (distance > to || to + length > out.length) return false;
			for (let i = 0; i < length; i++, to++) out[to] = out[to - distance] ?? 0;
		}
	}
	return true;
}
