import { createCipheriv, createHash, pbkdf2Sync } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { portableDigester } from "../../src/bytes/checksum/hasher.js";
import { digester } from "../../src/bytes/checksum/index.js";
import { aes, portableAes } from "../../src/bytes/cipher/aes.js";
import { deriveKey, keyLengths, type SectorMode, sectorCipher, sectorModes } from "../../src/bytes/cipher/index.js";
import { portableKey } from "../../src/bytes/cipher/key-derivation.js";
import { trials } from "../support/tools.js";

const noise = (length: number, seed: number) => {
	const parts = Array.from({ length: Math.ceil(length / 32) }, (_, i) =>
		createHash("sha256").update(`${seed} ${i}`).digest(),
	);
	return Uint8Array.from(Buffer.concat(parts).subarray(0, length));
};

/** A sector as OpenSSL's own modes encrypt it. */
function byOpenSsl(mode: SectorMode, key: Uint8Array, number: bigint, sector: Uint8Array): Uint8Array {
	const iv = Buffer.alloc(16);
	iv.writeBigUInt64LE(mode.endsWith("plain") ? number & 0xffffffffn : number);
	const ivKey = createHash("sha256").update(key).digest();
	const essiv = createCipheriv("aes-256-ecb", ivKey, null).setAutoPadding(false).update(iv);
	const cipher = mode.startsWith("xts") ? "xts" : "cbc";
	const bits = (key.length * 8) / (cipher === "xts" ? 2 : 1);
	return createCipheriv(`aes-${bits}-${cipher}`, key, mode.includes("essiv") ? essiv : iv)
		.setAutoPadding(false)
		.update(sector);
}

describe("sectors are encrypted as OpenSSL's own modes do it", () => {
	const cases = sectorModes.flatMap((mode) => keyLengths(mode).map((length) => [mode, length] as const));
	it.each(cases)("%s, %i bytes of key", async (mode, length) => {
		const sizes = fc.constantFrom(512, 1024, 4096);
		const numbers = fc.oneof(fc.nat(100), fc.constantFrom(2 ** 32 - 8, 2 ** 32, 2 ** 45));
		await fc.assert(
			fc.asyncProperty(
				fc.nat(),
				sizes,
				fc.integer({ min: 1, max: 5 }),
				numbers,
				fc.nat(3),
				async (seed, size, count, first, shift) => {
					const key = noise(length, seed);
					const plain = noise(size * count, seed + 1);
					const expected = Buffer.concat(
						Array.from({ length: count }, (_, i) =>
							byOpenSsl(mode, key, BigInt(first + (i * size) / 512), plain.subarray(i * size, (i + 1) * size)),
						),
					);
					// Where bytes lie in memory makes no difference.
					const work = new Uint8Array(plain.length + shift).subarray(shift);
					work.set(plain);
					const cipher = await sectorCipher(mode, key, size);
					cipher.encrypt(work, first);
					expect(Buffer.compare(work, expected)).toBe(0);
					cipher.decrypt(work, first);
					expect(Buffer.compare(work, plain)).toBe(0);
				},
			),
			{ numRuns: trials(12) },
		);
	});
});

it.each([16, 24, 32])("AES with %i bytes of key is the same everywhere", async (length) => {
	const blocks = noise(160, length);
	const [one, other] = [await aes(noise(length, 1)), await portableAes(noise(length, 1))];
	expect(Buffer.compare(one.encrypt(blocks), other.encrypt(blocks))).toBe(0);
	expect(Buffer.compare(other.decrypt(one.encrypt(blocks)), blocks)).toBe(0);
	expect(Buffer.compare(one.decrypt(other.encrypt(blocks)), blocks)).toBe(0);
});

it("keys are derived the same everywhere", async () => {
	const secret = noise(20, 1);
	for (const hash of ["sha1", "sha256", "sha512"] as const) {
		const kdf = { type: "pbkdf2", hash, iterations: 100, salt: noise(32, 2) } as const;
		const expected = pbkdf2Sync(secret, kdf.salt, 100, 70, hash);
		expect(Buffer.compare(await deriveKey(secret, kdf, 70, ""), expected)).toBe(0);
		expect(Buffer.compare(await portableKey(secret, kdf, 70), expected)).toBe(0);
	}
	for (const type of ["argon2i", "argon2id"] as const) {
		const kdf = { type, time: 3, memory: 64, lanes: 3, salt: noise(32, 2) };
		expect(Buffer.compare(await deriveKey(secret, kdf, 64, ""), await portableKey(secret, kdf, 64))).toBe(0);
	}
});

it.each(["md5", "sha1", "sha256", "sha512"] as const)("%s of pieces is the same everywhere", async (hash) => {
	const parts = [noise(3, 1), noise(90, 2)];
	const digest = createHash(hash).update(Buffer.concat(parts)).digest();
	for (const make of [digester, portableDigester]) expect(Buffer.compare((await make(hash))(...parts), digest)).toBe(0);
});

it("Argon2id is RFC 9106's, but for the secret and the data that nobody gives", async () => {
	// Its parameters without those, by the reference implementation: argon2 with the version 0x13.
	const kdf = {
		type: "argon2id",
		time: 2,
		memory: 65_536,
		lanes: 1,
		salt: new TextEncoder().encode("somesalt"),
	} as const;
	const key = await portableKey(new TextEncoder().encode("password"), kdf, 32);
	expect(Buffer.from(key).toString("hex")).toBe("09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7");
});
