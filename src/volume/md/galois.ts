/**
 * Arithmetic of RAID 6: bytes are elements of GF(2^8) by x^8 + x^4 + x^3 + x^2 + 1, and 2 generates them. "The
 * mathematics of RAID-6", https://www.kernel.org/pub/linux/kernel/people/hpa/raid6.pdf
 */
const POLYNOMIAL = 0x11d;
/** How many powers 2 has. */
export const ORDER = 255;

const powers = new Uint8Array(ORDER);
const logarithms = new Uint8Array(256);
for (let i = 0, value = 1; i < ORDER; i++) {
	powers[i] = value;
	logarithms[value] = i;
	value = value < 128 ? value * 2 : (value * 2) ^ POLYNOMIAL;
}

/** 2 to the power of `exponent`. */
export const power = (exponent: number): number => powers[exponent % ORDER] ?? 0;

function multiply(a: number, b: number): number {
	return a === 0 || b === 0 ? 0 : power((logarithms[a] ?? 0) + (logarithms[b] ?? 0));
}

/** What `value`, which is not 0, has to be multiplied with for 1. */
export const inverse = (value: number): number => power(ORDER - (logarithms[value] ?? 0));

/** Adds `bytes`, each times `factor`, to `into`. */
export function addProducts(into: Uint8Array, bytes: Uint8Array, factor: number): void {
	if (factor === 1) {
		for (let i = 0; i < into.length; i++) into[i] = (into[i] ?? 0) ^ (bytes[i] ?? 0);
		return;
	}
	const products = Uint8Array.from({ length: 256 }, (_, value) => multiply(value, factor));
	for (let i = 0; i < into.length; i++) into[i] = (into[i] ?? 0) ^ (products[bytes[i] ?? 0] ?? 0);
}
