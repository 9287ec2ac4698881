import { sameBytes } from "../bytes/platform.js";

/** True when every byte is zero. Costs what comparing memory costs; data ends it early. */
export function isZero(bytes: Uint8Array): boolean {
	if (bytes.length === 0) return true;
	if (bytes[0] !== 0) return false;
	// Each byte equals the one before it.
	if (sameBytes !== undefined) return sameBytes(bytes.subarray(1), bytes.subarray(0, -1));
	return bytes.every((byte) => byte === 0);
}

const PIECE = 512;

/** How many bytes at the beginning are zero. */
export function zeroPrefix(bytes: Uint8Array): number {
	if (isZero(bytes)) return bytes.length;
	let at = 0;
	while (isZero(bytes.subarray(at, at + PIECE))) at += PIECE;
	while (bytes[at] === 0) at++;
	return at;
}
