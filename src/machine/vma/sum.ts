import { digester } from "../../bytes/checksum/index.js";

/** Whether the MD5 at `at` is that of `bytes` with zeros in its place. */
export async function isSummedUp(bytes: Uint8Array, at: number): Promise<boolean> {
	const md5 = await digester("md5");
	const sum = md5(bytes.subarray(0, at), new Uint8Array(16), bytes.subarray(at + 16));
	return sum.every((byte, i) => byte === bytes[at + i]);
}
