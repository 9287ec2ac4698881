import { execFileSync } from "node:child_process";
import { crc32 as nodeCrc32 } from "node:zlib";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { portableCrc32 } from "../../src/bytes/checksum/crc.js";
import { portableHasher } from "../../src/bytes/checksum/hasher.js";
import { adler32, crc32, crc32c, crc32cRaw, hasher } from "../../src/bytes/checksum/index.js";
import { because, missing } from "../support/tools.js";

const ascii = (text: string) => new TextEncoder().encode(text);

/** RFC 3720 appendix B.4, as the bytes on the wire read as a little-endian number. */
const iscsi: [string, Uint8Array, number][] = [
	["32 zeros", new Uint8Array(32), 0x8a9136aa],
	["32 bytes of ff", new Uint8Array(32).fill(0xff), 0x62a8ab43],
	["32 incrementing bytes", Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
	["32 decrementing bytes", Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
];

describe("crc32c", () => {
	test.each(iscsi)("of %s is the RFC's", (_, bytes, expected) => expect(crc32c(bytes)).toBe(expected));

	test("of the check string is the catalogue's, with and without the last inversion", () => {
		expect(crc32c(ascii("123456789"))).toBe(0xe3069283);
		expect(crc32cRaw(0xffffffff, ascii("123456789"))).toBe(~0xe3069283 >>> 0);
	});

	test("continues from what came before", () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 99 }), fc.uint8Array({ maxLength: 99 }), (head, tail) => {
				const whole = Uint8Array.of(...head, ...tail);
				expect(crc32c(tail, crc32c(head))).toBe(crc32c(whole));
				expect(crc32cRaw(crc32cRaw(7, head), tail)).toBe(crc32cRaw(7, whole));
			}),
		);
	});
});

test("crc32 agrees with zlib, in both implementations and from any start", () => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(), (bytes, previous) => {
			const expected = bytes.length === 0 ? previous : nodeCrc32(bytes, previous);
			expect(portableCrc32(bytes, previous)).toBe(expected);
			expect(crc32(bytes, previous)).toBe(expected);
		}),
	);
	expect(crc32(ascii("123456789"))).toBe(0xcbf43926);
});

test("checksums see only the window of a larger buffer", () => {
	const window = ascii("xx123456789yy").subarray(2, 11);
	expect([crc32(window), crc32c(window), adler32(window)]).toEqual([0xcbf43926, 0xe3069283, 0x091e01de]);
});

describe.skipIf(missing("python3"))(`adler32 against Python's zlib ${because("python3")}`, () => {
	test("over runs longer than its modulus allows at once", () => {
		const bytes = new Uint8Array(20_000).map((_, i) => 255 - (i % 7));
		const script = "import sys,zlib; d=sys.stdin.buffer.read(); print(zlib.adler32(d), zlib.adler32(d, 12345))";
		const judged = execFileSync("python3", ["-c", script], { input: bytes, encoding: "utf8" });
		expect(`${adler32(bytes)} ${adler32(bytes, 12345)}`).toBe(judged.trim());
	});
});

const million = new Uint8Array(1_000_000).fill(0x61);

describe.each([
	["sha1", hasher],
	["sha256", hasher],
	["sha1", portableHasher],
	["sha256", portableHasher],
	["sha512", portableHasher],
] as const)("%s by %o", (algorithm, start) => {
	test.skipIf(missing(`${algorithm}sum`))(`is coreutils' ${because(`${algorithm}sum`)}`, async () => {
		const judged = execFileSync(`${algorithm}sum`, { input: million, encoding: "utf8" });
		const hash = await start(algorithm);
		for (let at = 0; at < million.length; at += 70_001) hash.update(million.subarray(at, at + 70_001));
		expect(`${hash.digest()}  -\n`).toBe(judged);
	});

	test("two at once do not disturb each other", async () => {
		const [one, two] = [await start(algorithm), await start(algorithm)];
		one.update(ascii("a"));
		two.update(ascii("b"));
		one.update(ascii("b"));
		two.update(ascii("a"));
		const [ab, ba] = [await start(algorithm), await start(algorithm)];
		ab.update(ascii("ab"));
		ba.update(ascii("ba"));
		expect([one.digest(), two.digest()]).toEqual([ab.digest(), ba.digest()]);
	});
});

/** From the reference implementation's own self test and manual: https://github.com/Cyan4973/xxHash */
test.each([
	["", "ef46db3751d8e999"],
	["a", "d24ec4f1a98c6e5b"],
	["abc", "44bc2cf5ad770999"],
	["Nobody inspects the spammish repetition", "fbcea83c8a378bf1"],
])("xxh64 of %j", async (text, expected) => {
	const hash = await hasher("xxh64");
	hash.update(ascii(text));
	expect(hash.digest()).toBe(expected);
});
