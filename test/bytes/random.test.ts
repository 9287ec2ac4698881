import { createCipheriv, randomBytes } from "node:crypto";
import { deflateRawSync, gzipSync, inflateRawSync, inflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { FAILED } from "../../src/bytes/codec/bulk.js";
import { looksRandom } from "../../src/bytes/codec/node/random.js";
import { zlibDirect } from "../../src/bytes/codec/node/zlib-direct.js";

const GRAIN = 64 << 10;
/** The same noise every time. */
const noise = (length: number, seed = 1) =>
	createCipheriv("aes-128-ctr", Buffer.alloc(16, seed), Buffer.alloc(16)).update(Buffer.alloc(length));
const words = Buffer.from(Array.from({ length: 40_000 }, (_, i) => `word ${(i * 7919) % 1009} `).join(""));

describe("looksRandom", () => {
	it("is true of noise, and of what has been compressed", () => {
		for (let seed = 0; seed < 50; seed++) expect(looksRandom(noise(GRAIN, seed))).toBe(true);
		const packed = gzipSync(Buffer.from(noise(1 << 20).toString("base64")));
		for (let at = GRAIN; at + GRAIN < packed.length; at += GRAIN) {
			expect(looksRandom(packed.subarray(at, at + GRAIN))).toBe(true);
		}
	});

	it.each([
		["text", words.subarray(0, GRAIN)],
		["base64", Buffer.from(noise(GRAIN).toString("base64")).subarray(0, GRAIN)],
		["a gradient", Buffer.alloc(GRAIN).map((_, i) => i)],
		["a shuffled gradient", Buffer.alloc(GRAIN).map((_, i) => (i * 167) & 255)],
		["noise with a hole", Buffer.concat([noise(GRAIN / 2), Buffer.alloc(GRAIN / 2)])],
		[
			"noise with text in its middle",
			Buffer.concat([noise(GRAIN / 4), words.subarray(0, GRAIN / 2), noise(GRAIN / 4)]),
		],
		["noise again and again", Buffer.concat(Array.from({ length: GRAIN / 512 }, () => noise(512)))],
		["noise twice", Buffer.concat([noise(GRAIN / 2), noise(GRAIN / 2)])],
		["little noise", noise(4000)],
	])("is false of %s", (_, bytes) => {
		expect(looksRandom(bytes)).toBe(false);
	});

	it("is false of nothing that zlib makes smaller by a tenth, over changing mixtures", () => {
		for (let part = 1; part < 16; part++) {
			const mixed = Buffer.concat([noise((GRAIN / 16) * part), words.subarray(0, (GRAIN / 16) * (16 - part))]);
			expect(deflateRawSync(mixed).length < mixed.length * 0.9 && looksRandom(mixed), `${part} of 16`).toBe(false);
		}
	});
});

describe("zlib on the thread that calls it", () => {
	const judges = { deflate: inflateRawSync, zlib: inflateSync };

	it.each(["deflate", "zlib"] as const)("%s encodes as its judge decodes, and stores noise", (format) => {
		const zlib = zlibDirect(format);
		for (const input of [words.subarray(0, GRAIN), noise(GRAIN), Buffer.alloc(0), randomBytes(10)]) {
			const output = Buffer.alloc(input.length + 1000);
			const length = zlib.encode({ input, output }, undefined);
			expect(Buffer.compare(judges[format](output.subarray(0, length)), input)).toBe(0);
			const back = Buffer.alloc(input.length + 1);
			expect(zlib.decode({ input: output.subarray(0, length), output: back })).toBe(input.length);
			expect(Buffer.compare(back.subarray(0, input.length), input)).toBe(0);
		}
		expect(zlib.encode({ input: noise(GRAIN), output: Buffer.alloc(2 * GRAIN) }, undefined)).toBeGreaterThan(GRAIN);
	});

	it("says what failed", () => {
		const zlib = zlibDirect("deflate");
		const packed = deflateRawSync(words);
		expect(zlib.encode({ input: words, output: Buffer.alloc(10) }, 5)).toBe(FAILED);
		expect(zlib.decode({ input: packed, output: Buffer.alloc(words.length - 1) })).toBe(FAILED);
		expect(zlib.decode({ input: packed.subarray(0, 100), output: Buffer.alloc(words.length) })).toBe(FAILED);
		expect(zlib.decode({ input: Buffer.alloc(100, 0xff), output: Buffer.alloc(100) })).toBe(FAILED);
	});
});
