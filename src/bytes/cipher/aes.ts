import { onNode } from "../platform.js";

export const BLOCK = 16;

/** AES over any number of whole blocks, each by itself: what every mode can be made of. */
export interface BlockCipher {
	encrypt(blocks: Uint8Array): Uint8Array;
	decrypt(blocks: Uint8Array): Uint8Array;
}

/**
 * OpenSSL's AES on Node, JavaScript elsewhere.
 *
 * @param key 16, 24 or 32 bytes
 */
export async function aes(key: Uint8Array): Promise<BlockCipher> {
	return onNode ? (await import("./node.js")).openSslAes(key) : portableAes(key);
}

/** AES in JavaScript; {@link aes} is the one to call. */
export async function portableAes(key: Uint8Array): Promise<BlockCipher> {
	const { ecb } = await import("@noble/ciphers/aes.js");
	const blockwise = () => ecb(key, { disablePadding: true });
	return { encrypt: (blocks) => blockwise().encrypt(blocks), decrypt: (blocks) => blockwise().decrypt(blocks) };
}
