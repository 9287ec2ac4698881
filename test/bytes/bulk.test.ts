import { inflateRawSync, inflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type * as bulk from "../../src/bytes/codec/bulk.js";
import { codec, codecReport } from "../../src/bytes/codec/index.js";
import { sharedBytes } from "../../src/bytes/shared.js";

/** Workers are loaded by Node itself, which wants what was compiled. */
const { bulkCodec, FAILED } = (await import(
	new URL("../../dist/bytes/codec/bulk.js", import.meta.url).href
)) as typeof bulk;

const native = new Map((await codecReport()).map(({ codec, implementation }) => [codec, implementation]));

const contentOf = (seed: number, length: number) =>
	sharedBytes(length).map((_, i) => (i % 1000 < 600 ? Math.imul(i ^ seed, 2654435761) >>> 24 : seed));

const shared = (bytes: Uint8Array): Uint8Array => {
	const copy = sharedBytes(bytes.length);
	copy.set(bytes);
	return copy;
};

const judges = {
	deflate: (bytes: Uint8Array) => Promise.resolve(inflateRawSync(bytes)),
	zlib: (bytes: Uint8Array) => Promise.resolve(inflateSync(bytes)),
	zstd: async (bytes: Uint8Array) => (await codec("zstd").decode(bytes, { limit: 1 << 20 })).bytes,
};

for (const id of ["deflate", "zlib", "zstd"] as const) {
	const library = id === "zstd" ? "libzstd" : "libdeflate";
	const found = native.get(id)?.startsWith(library) === true;
	describe.skipIf(!found)(`${id} in bulk${found ? "" : ` (skipped: no ${library} on this system)`}`, async () => {
		const threads = await bulkCodec(id);
		const contents = Array.from({ length: 40 }, (_, i) => shared(contentOf(i, 3000 * i)));
		const tasks = () => contents.map((input) => ({ input, output: sharedBytes(input.length + 1000) }));

		it("encodes as its judge decodes, whatever is under way beside it", async () => {
			await Promise.all(
				[undefined, 1, 6].map(async (level) => {
					const under = tasks();
					const lengths = (await threads?.encode(under, level)) ?? [];
					for (const [i, { input, output }] of under.entries()) {
						expect(lengths[i]).toBeGreaterThan(0);
						const decoded = await judges[id](output.slice(0, lengths[i]));
						expect(Buffer.compare(decoded, input)).toBe(0);
					}
				}),
			);
		});

		it("decodes what the codec encodes", async () => {
			const encoded = await Promise.all(contents.map(async (bytes) => shared(await codec(id).encode(bytes))));
			const under = encoded.map((input, i) => ({ input, output: sharedBytes((contents[i]?.length ?? 0) + 7) }));
			const lengths = await threads?.decode(under);
			expect(lengths).toEqual(contents.map(({ length }) => length));
			under.forEach(({ output }, i) =>
				expect(Buffer.compare(output.subarray(0, lengths?.[i]), contents[i] ?? output)).toBe(0),
			);
		});

		it("says which of them failed, and does the others", async () => {
			const good = shared(await codec(id).encode(contents[9] ?? sharedBytes(0)));
			const output = () => sharedBytes(27_000);
			const broken = shared(good).fill(0xff, 10, 60);
			const lengths = await threads?.decode([
				{ input: broken, output: output() },
				{ input: good, output: output() },
				{ input: good.subarray(0, 20), output: output() },
				{ input: good, output: sharedBytes(26_999) },
			]);
			expect(lengths?.slice(1)).toEqual([27_000, FAILED, FAILED]);
			expect(await threads?.encode([{ input: contents[9] ?? good, output: sharedBytes(100) }])).toEqual([FAILED]);
		});

		it("takes no memory that would have to be copied", async () => {
			const unit = { input: new Uint8Array(10), output: sharedBytes(100) };
			await expect(async () => threads?.encode([unit])).rejects.toThrow(TypeError);
		});
	});
}

describe("codecs that have no library", () => {
	it("are not done in bulk", async () => {
		expect(await bulkCodec("bzip2")).toBeUndefined();
	});
});
