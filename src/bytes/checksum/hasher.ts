import { onNode } from "../platform.js";

export type HashAlgorithm = DigestAlgorithm | "xxh64" | "blake2b-256";

/** The hashes of {@link digester}. */
export type DigestAlgorithm = "md5" | "sha1" | "sha256" | "sha512";

/** A hash of bytes that arrive piece by piece. */
export interface Hasher {
	/** Takes the next bytes; they may be reused once this returns. */
	update(bytes: Uint8Array): void;
	/** The hash of all bytes, in lower-case hexadecimal (XXH64: as a big-endian number, seed 0). Call once. */
	digest(): string;
}

/** Starts a hash: OpenSSL's on Node, WebAssembly elsewhere and for XXH64 and BLAKE2b. */
export async function hasher(algorithm: HashAlgorithm): Promise<Hasher> {
	if (algorithm === "xxh64") return (await import("hash-wasm")).createXXHash64();
	if (algorithm === "blake2b-256") return (await import("hash-wasm")).createBLAKE2b(256);
	return onNode ? (await import("./node.js")).openSslHasher(algorithm) : portableHasher(algorithm);
}

/** In WebAssembly; {@link hasher} is the one to call. */
export const portableHasher: (algorithm: DigestAlgorithm) => Promise<Hasher> = portableHash;

async function portableHash(algorithm: DigestAlgorithm) {
	const { createMD5, createSHA1, createSHA256, createSHA512 } = await import("hash-wasm");
	return { md5: createMD5, sha1: createSHA1, sha256: createSHA256, sha512: createSHA512 }[algorithm]();
}

/** A function that hashes small pieces one by one, many of them. */
export async function digester(algorithm: DigestAlgorithm): Promise<(...parts: readonly Uint8Array[]) => Uint8Array> {
	return onNode ? (await import("./node.js")).openSslDigester(algorithm) : portableDigester(algorithm);
}

/** In WebAssembly; {@link digester} is the one to call. */
export async function portableDigester(
	algorithm: DigestAlgorithm,
): Promise<(...parts: readonly Uint8Array[]) => Uint8Array> {
	const hash = await portableHash(algorithm);
	return (...parts) => {
		hash.init();
		for (const part of parts) hash.update(part);
		return hash.digest("binary");
	};
}
