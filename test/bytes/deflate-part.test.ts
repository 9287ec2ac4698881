import { inflateRawSync } from "node:zlib";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { DEFLATE_END } from "../../src/bytes/codec/deflate-part.js";
import { deflatePart as onNode } from "../../src/bytes/codec/node/deflate-part.js";
import { deflatePart as portable } from "../../src/bytes/codec/portable/deflate-part.js";

test.each([
	["zlib", onNode],
	["pako", portable],
] as const)("parts made by %s, in whatever order, are one stream to zlib", async (_, deflatePart) => {
	const content = fc.oneof(
		fc.uint8Array({ maxLength: 3000 }),
		fc.nat(300_000).map((length) => new Uint8Array(length)),
	);
	await fc.assert(
		fc.asyncProperty(fc.array(content, { maxLength: 5 }), fc.constantFrom(0, 1, 6, 9), async (pieces, level) => {
			const parts = await Promise.all(pieces.map((piece) => deflatePart(piece, level)));
			expect(inflateRawSync(Buffer.concat([...parts, DEFLATE_END])).equals(Buffer.concat(pieces))).toBe(true);
		}),
		{ numRuns: 50 },
	);
});
