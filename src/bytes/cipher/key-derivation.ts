import { refused } from "../errors.js";
import { onNode } from "../platform.js";

export const kdfHashes = ["sha1", "sha256", "sha512"] as const;
export type KdfHash = (typeof kdfHashes)[number];

/** RFC 8018 section 5.2, with HMAC. */
export interface Pbkdf2 {
	readonly type: "pbkdf2";
	readonly hash: KdfHash;
	readonly iterations: number;
	readonly salt: Uint8Array;
}

/** RFC 9106, version 0x13. */
export interface Argon2 {
	readonly type: "argon2i" | "argon2id";
	/** How often it passes over the memory. */
	readonly time: number;
	/** KiB. */
	readonly memory: number;
	readonly lanes: number;
	readonly salt: Uint8Array;
}

/** How a key is made of a passphrase. */
export type KeyDerivation = Pbkdf2 | Argon2;

/**
 * About how long it takes, in microseconds: a PBKDF2 iteration is two or four hashes of a block, and Argon2 passes over a
 * KiB of memory in as much time.
 */
export const costOf = (kdf: KeyDerivation): number =>
	kdf.type === "pbkdf2" ? kdf.iterations : Math.max(kdf.time, 1) * kdf.memory;

/**
 * Makes a key of `length` bytes. The caller has bounded the cost.
 *
 * @param file for messages
 */
export async function deriveKey(secret: Uint8Array, kdf: KeyDerivation, length: number, file: string) {
	if (kdf.type === "pbkdf2") {
		return onNode ? (await import("./node.js")).openSslPbkdf2(secret, kdf, length) : portableKey(secret, kdf, length);
	}
	const native = onNode ? await (await import("./node.js")).libargon2(secret, kdf, length) : undefined;
	try {
		return native ?? (await portableKey(secret, kdf, length));
	} catch (cause) {
		if (!(cause instanceof RangeError)) throw cause;
		throw refused(`${file}: the memory that its key takes to be made (${kdf.memory} KiB) cannot be had`, {
			file,
			hint: "Where the system's libargon2 is installed, there is room for more than 2 GiB.",
			cause,
		});
	}
}

/** In WebAssembly; {@link deriveKey} is the one to call. */
export async function portableKey(secret: Uint8Array, kdf: KeyDerivation, length: number): Promise<Uint8Array> {
	const library = await import("hash-wasm");
	const common = { password: secret, salt: kdf.salt, hashLength: length, outputType: "binary" } as const;
	if (kdf.type === "pbkdf2") {
		const { hash, iterations } = kdf;
		const functions = { sha1: library.createSHA1, sha256: library.createSHA256, sha512: library.createSHA512 };
		return library.pbkdf2({ ...common, iterations, hashFunction: functions[hash]() });
	}
	const costs = { iterations: kdf.time, memorySize: kdf.memory, parallelism: kdf.lanes };
	return library[kdf.type]({ ...common, ...costs });
}
