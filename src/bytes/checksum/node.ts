import { createHash } from "node:crypto";
import type { DigestAlgorithm, Hasher } from "./hasher.js";

/** SHA by OpenSSL: several times the speed of WebAssembly where the processor has instructions for it. */
export function openSslHasher(algorithm: DigestAlgorithm): Hasher {
	const hash = createHash(algorithm);
	return {
		update(bytes) {
			hash.update(bytes);
		},
		digest: () => hash.digest("hex"),
	};
}

export const openSslDigester =
	(algorithm: DigestAlgorithm) =>
	(...parts: readonly Uint8Array[]): Uint8Array => {
		const hash = createHash(algorithm);
		for (const part of parts) hash.update(part);
		return hash.digest();
	};
