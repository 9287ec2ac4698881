import { createCipheriv, createDecipheriv, pbkdf2 } from "node:crypto";
import { promisify } from "node:util";
import { systemLibrary } from "../codec/node/native.js";
import type { BlockCipher } from "./aes.js";
import type { Argon2, Pbkdf2 } from "./key-derivation.js";

/** AES by OpenSSL. Without padding and chaining, one context takes any number of calls. */
export function openSslAes(key: Uint8Array): BlockCipher {
	const mode = `aes-${key.length * 8}-ecb`;
	const encrypting = createCipheriv(mode, key, null).setAutoPadding(false);
	const decrypting = createDecipheriv(mode, key, null).setAutoPadding(false);
	return { encrypt: (blocks) => encrypting.update(blocks), decrypt: (blocks) => decrypting.update(blocks) };
}

const pbkdf2InBackground = promisify(pbkdf2);

export const openSslPbkdf2 = (secret: Uint8Array, { salt, iterations, hash }: Pbkdf2, length: number) =>
	pbkdf2InBackground(secret, salt, iterations, length, hash);

/**
 * Argon2 by libargon2, which uses all cores; undefined where the system has none.
 * https://github.com/P-H-C/phc-winner-argon2#library
 */
export async function libargon2(secret: Uint8Array, kdf: Argon2, length: number): Promise<Uint8Array | undefined> {
	const library = await systemLibrary("libargon2.so.1", "libargon2.1.dylib", "/opt/homebrew/lib/libargon2.1.dylib");
	if (library === undefined) return undefined;
	const hash = library.func(
		`int ${kdf.type}_hash_raw(uint32_t t_cost, uint32_t m_cost, uint32_t parallelism, const uint8_t *pwd, size_t pwdlen, const uint8_t *salt, size_t saltlen, uint8_t *hash, size_t hashlen)`,
	);
	const key = new Uint8Array(length);
	const { time, memory, lanes, salt } = kdf;
	const values = [time, memory, lanes, secret, secret.length, salt, salt.length, key, key.length];
	return (await hash.inBackground(values)) === 0 ? key : undefined;
}
