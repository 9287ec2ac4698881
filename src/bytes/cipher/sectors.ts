import { digester } from "../checksum/index.js";
import { aes, BLOCK, type BlockCipher } from "./aes.js";

/** Sectors are numbered in these, whatever their size: https://docs.kernel.org/admin-guide/device-mapper/dm-crypt.html */
export const IV_UNIT = 512;

/** Bytes that go through the cipher at once: what fits the processor's cache is several times faster. */
const PART = 64 << 10;

/** Encrypts what a disk holds, each sector by itself and in place. */
export interface SectorCipher {
	/** @param number of the first of these sectors, in units of {@link IV_UNIT} */
	decrypt(sectors: Uint8Array, number: number): void;
	encrypt(sectors: Uint8Array, number: number): void;
}

/** As dm-crypt spells them, behind `aes-`. */
export const sectorModes = ["xts-plain64", "xts-plain", "cbc-essiv:sha256", "cbc-plain64", "cbc-plain"] as const;
export type SectorMode = (typeof sectorModes)[number];

/** The lengths of the key that a mode takes, in bytes. XTS has one key for the data, and one for the numbers. */
export const keyLengths = (mode: SectorMode): readonly number[] => (mode.startsWith("xts") ? [32, 64] : [16, 24, 32]);

/** @param key of one of the {@link keyLengths} */
export async function sectorCipher(mode: SectorMode, key: Uint8Array, sectorSize: number): Promise<SectorCipher> {
	const half = key.length / 2;
	const isXts = mode.startsWith("xts");
	const data = await aes(isXts ? key.subarray(0, half) : key);
	const numbers = isXts ? await aes(key.subarray(half)) : await essiv(mode, key);
	const work = isXts ? xts : cbc;
	const part = (sectors: Uint8Array, number: number, decrypting: boolean) => {
		const plain = plainNumbers(sectors.length / sectorSize, number, sectorSize / IV_UNIT, mode.endsWith("plain"));
		const first = wordsOf(numbers?.encrypt(plain) ?? plain);
		const words = wordsOf(sectors);
		work(data, words, first, sectorSize, decrypting);
		// Words that do not lie where words can are a copy.
		if (words.buffer !== sectors.buffer) sectors.set(bytesOf(words));
	};
	const run = (sectors: Uint8Array, number: number, decrypting: boolean) => {
		for (let at = 0; at < sectors.length; at += PART) {
			part(sectors.subarray(at, at + PART), number + at / IV_UNIT, decrypting);
		}
	};
	return {
		decrypt: (sectors, number) => run(sectors, number, true),
		encrypt: (sectors, number) => run(sectors, number, false),
	};
}

/** Encrypted salt-sector initialization vectors: the key for the numbers is a hash of the one for the data. */
async function essiv(mode: SectorMode, key: Uint8Array): Promise<BlockCipher | undefined> {
	if (!mode.endsWith("essiv:sha256")) return undefined;
	return aes((await digester("sha256"))(key));
}

/** The numbers of sectors, one in each block. "plain" keeps 32 bits of them. */
function plainNumbers(count: number, first: number, step: number, short: boolean): Uint8Array {
	const words = new Uint32Array((count * BLOCK) / 4);
	for (let i = 0; i < count; i++) {
		const number = first + i * step;
		words[4 * i] = number % 2 ** 32;
		if (!short) words[4 * i + 1] = Math.floor(number / 2 ** 32);
	}
	return bytesOf(words);
}

/** Words as the processor has them, which is little-endian wherever this runs. */
function wordsOf(bytes: Uint8Array): Uint32Array {
	const whole = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
	return new Uint32Array(whole.buffer, whole.byteOffset, whole.length / 4);
}

const bytesOf = (words: Uint32Array) => new Uint8Array(words.buffer, words.byteOffset, words.byteLength);

/**
 * XEX-based tweaked codebook mode, IEEE 1619: each block is XORed with a tweak before and after. A sector's first tweak
 * is its encrypted number, and the next one is the one before, doubled in GF(2^128).
 */
function xts(data: BlockCipher, words: Uint32Array, first: Uint32Array, sectorSize: number, decrypting: boolean): void {
	const tweaks = new Uint32Array(words.length);
	const perSector = sectorSize / 4;
	for (let at = 0, sector = 0; at < words.length; sector += 4) {
		let [a, b, c, d] = [first[sector] ?? 0, first[sector + 1] ?? 0, first[sector + 2] ?? 0, first[sector + 3] ?? 0];
		for (const end = at + perSector; at < end; at += 4) {
			tweaks[at] = a;
			tweaks[at + 1] = b;
			tweaks[at + 2] = c;
			tweaks[at + 3] = d;
			const carry = d >> 31;
			d = (d << 1) | (c >>> 31);
			c = (c << 1) | (b >>> 31);
			b = (b << 1) | (a >>> 31);
			a = (a << 1) ^ (carry & 0x87);
		}
	}
	xor(words, words, tweaks);
	const done = wordsOf(decrypting ? data.decrypt(bytesOf(words)) : data.encrypt(bytesOf(words)));
	xor(words, done, tweaks);
}

function xor(into: Uint32Array, one: Uint32Array, other: Uint32Array): void {
	for (let i = 0; i < into.length; i++) into[i] = (one[i] ?? 0) ^ (other[i] ?? 0);
}

/** Cipher block chaining, NIST SP 800-38A 6.2, inside of each sector. */
function cbc(data: BlockCipher, words: Uint32Array, first: Uint32Array, sectorSize: number, decrypting: boolean): void {
	const perSector = sectorSize / 4;
	if (decrypting) {
		const done = wordsOf(data.decrypt(bytesOf(words)));
		for (let i = words.length - 1; i >= 0; i--) {
			const within = i % perSector;
			const before = within < 4 ? first[((i - within) / perSector) * 4 + within] : words[i - 4];
			words[i] = (done[i] ?? 0) ^ (before ?? 0);
		}
		return;
	}
	// The first blocks of all sectors at once, then the second ones: each needs the one before it.
	let before = first;
	const count = words.length / perSector;
	for (let block = 0; block < perSector; block += 4) {
		const column = new Uint32Array(4 * count);
		for (let i = 0; i < column.length; i++) {
			column[i] = (words[Math.floor(i / 4) * perSector + block + (i % 4)] ?? 0) ^ (before[i] ?? 0);
		}
		before = wordsOf(data.encrypt(bytesOf(column)));
		for (let i = 0; i < column.length; i++) words[Math.floor(i / 4) * perSector + block + (i % 4)] = before[i] ?? 0;
	}
}
