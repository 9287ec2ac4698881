import { zlibCrc32 } from "../platform.js";

/** A CRC-32 register before and after some bytes, without the inversions that its users add at either end. */
type Step = (register: number, bytes: Uint8Array) => number;

/**
 * Makes the step function of a reflected CRC-32 by the "slicing by 8" method: eight tables, eight bytes a round.
 * https://web.archive.org/web/20110715114119/http://www.intel.com/technology/comms/perfnet/download/slicing-by-8.pdf
 *
 * @param polynomial with its bits reversed
 */
function slicingBy8(polynomial: number): Step {
	// table[k * 256 + b]: what byte b does to the register when k more bytes follow it.
	const table = new Int32Array(8 * 256);
	// What two bytes do together, exclusive or, they do one after the other: each bit has to be looked at once.
	for (let bit = 128, register = 1; bit > 0; bit >>= 1) {
		register = register & 1 ? (register >>> 1) ^ polynomial : register >>> 1;
		for (let byte = 0; byte < 256; byte += 2 * bit) table[byte + bit] = register ^ (table[byte] ?? 0);
	}
	for (let i = 256; i < table.length; i++) {
		const before = table[i - 256] ?? 0;
		table[i] = (before >>> 8) ^ (table[before & 0xff] ?? 0);
	}
	const entry = (index: number) => table[index] ?? 0;

	return (seed, bytes) => {
		const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
		let register = seed;
		let at = 0;
		for (; at + 8 <= bytes.length; at += 8) {
			const low = register ^ view.getInt32(at, true);
			const high = view.getInt32(at + 4, true);
			register =
				entry(0x700 + (low & 0xff)) ^
				entry(0x600 + ((low >>> 8) & 0xff)) ^
				entry(0x500 + ((low >>> 16) & 0xff)) ^
				entry(0x400 + (low >>> 24)) ^
				entry(0x300 + (high & 0xff)) ^
				entry(0x200 + ((high >>> 8) & 0xff)) ^
				entry(0x100 + ((high >>> 16) & 0xff)) ^
				entry(high >>> 24);
		}
		for (; at < bytes.length; at++) register = (register >>> 8) ^ entry((register ^ view.getUint8(at)) & 0xff);
		return register;
	};
}

/** Tables are built on first use: most runs need one kind only, or none. */
function lazily(polynomial: number): Step {
	let step: Step | undefined;
	return (seed, bytes) => {
		step ??= slicingBy8(polynomial);
		return step(seed, bytes);
	};
}

const ieee = lazily(0xedb88320);
const castagnoli = lazily(0x82f63b78);

/** CRC-32 in JavaScript; {@link crc32} is the one to call. */
export const portableCrc32 = (bytes: Uint8Array, previous = 0): number => ~ieee(~previous, bytes) >>> 0;

/**
 * CRC-32 as zlib, gzip, GPT and ZIP have it (RFC 1952 section 8), 0 to 2^32 - 1.
 *
 * @param previous the result for the bytes that come before these
 */
export function crc32(bytes: Uint8Array, previous = 0): number {
	// Node hands zlib a null pointer for no bytes, for which zlib answers 0 whatever came before.
	if (bytes.length === 0) return previous;
	return zlibCrc32()?.(bytes, previous) ?? portableCrc32(bytes, previous);
}

/**
 * CRC-32C (Castagnoli) as iSCSI and VHDX have it (RFC 3720 appendix B.4), 0 to 2^32 - 1.
 *
 * @param previous the result for the bytes that come before these
 */
export const crc32c = (bytes: Uint8Array, previous = 0): number => ~castagnoli(~previous, bytes) >>> 0;

/**
 * CRC-32C without the inversion at the end: what ext4 stores and chains. ext4 starts from `0xffffffff` or from the seed
 * in its superblock. https://docs.kernel.org/filesystems/ext4/overview.html#checksums
 */
export const crc32cRaw = (seed: number, bytes: Uint8Array): number => castagnoli(seed, bytes) >>> 0;
