import { crc32c } from "../../bytes/checksum/index.js";
import { viewOf } from "../../bytes/struct.js";

const blank = new Uint8Array(4);

/** Whether the CRC-32C that `bytes` keep at `at` is theirs; those four bytes count as zeros. */
export function isSound(bytes: Uint8Array, at: number): boolean {
	const before = crc32c(blank, crc32c(bytes.subarray(0, at)));
	return viewOf(bytes).getUint32(at, true) === crc32c(bytes.subarray(at + blank.length), before);
}
