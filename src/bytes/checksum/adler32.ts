const MODULUS = 65521;
/** How many bytes can be summed before the second sum could leave 32 bits (zlib's NMAX). */
const RUN = 5552;

/**
 * Adler-32, the checksum of zlib streams (RFC 1950 section 8.2), 0 to 2^32 - 1.
 *
 * @param previous the result for the bytes that come before these
 */
export function adler32(bytes: Uint8Array, previous = 1): number {
	let a = previous & 0xffff;
	let b = previous >>> 16;
	for (let start = 0; start < bytes.length; start += RUN) {
		for (const byte of bytes.subarray(start, start + RUN)) {
			a += byte;
			b += a;
		}
		a %= MODULUS;
		b %= MODULUS;
	}
	return ((b << 16) | a) >>> 0;
}
