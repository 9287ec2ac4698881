import { crc32c, hasher } from "../../bytes/checksum/index.js";
import { viewOf } from "../../bytes/struct.js";

/** What a file system protects its nodes and data with; it is chosen when it is made. */
export interface Checksum {
	readonly name: string;
	/** In bytes as stored. */
	readonly size: number;
	of(data: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

const castagnoli: Checksum = {
	name: "crc32c",
	size: 4,
	of(data) {
		const sum = new Uint8Array(4);
		viewOf(sum).setUint32(0, crc32c(data), true);
		return sum;
	},
};

async function digest(algorithm: "sha256" | "xxh64" | "blake2b-256", data: Uint8Array): Promise<Uint8Array> {
	const hash = await hasher(algorithm);
	hash.update(data);
	return Uint8Array.from(hash.digest().match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** By `csum_type`: https://btrfs.readthedocs.io/en/latest/Checksumming.html */
export const checksums: readonly Checksum[] = [
	castagnoli,
	{ name: "xxhash64", size: 8, of: async (data) => (await digest("xxh64", data)).reverse() },
	{ name: "sha256", size: 32, of: (data) => digest("sha256", data) },
	{ name: "blake2b", size: 32, of: (data) => digest("blake2b-256", data) },
];

/** Whether `stored`, at its start, is the checksum of `data`. */
export async function sumsTo(checksum: Checksum, data: Uint8Array, stored: Uint8Array): Promise<boolean> {
	const computed = checksum.of(data);
	const sum = computed instanceof Uint8Array ? computed : await computed;
	return sum.every((byte, i) => byte === stored[i]);
}
