import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cached } from "../../src/bytes/cache.js";
import type { AnyvisorError } from "../../src/bytes/errors.js";
import { overlay } from "../../src/bytes/overlay.js";
import {
	type ByteSource,
	type ByteStore,
	bytesSource,
	isStore,
	readBytes,
	readUpTo,
	slice,
} from "../../src/bytes/source.js";

/** Some chunks of 64 KiB, the last one short. */
const SIZE = 5 * 65_536 - 1234;
const original = new Uint8Array(SIZE).map((_, i) => (i >> 8) ^ i);

/** Answers later, and not always in the order of the questions; counts what it is asked. */
function slow(bytes: Uint8Array) {
	const asked: [at: number, length: number][] = [];
	const store: ByteStore & { asked: typeof asked } = {
		asked,
		name: "slow",
		size: bytes.length,
		async read(at, into) {
			asked.push([at, into.length]);
			for (let turns = at % 3; turns >= 0; turns--) await Promise.resolve();
			into.set(bytes.subarray(at, at + into.length));
		},
		async write(at, piece) {
			for (let turns = at % 3; turns >= 0; turns--) await Promise.resolve();
			bytes.set(piece, at);
		},
	};
	return store;
}

const ranges = fc
	.tuple(fc.nat(SIZE), fc.oneof(fc.nat(300), fc.nat(200_000)))
	.map(([at, length]) => ({ at, length: Math.min(length, SIZE - at) }));

const steps = fc.array(fc.record({ range: ranges, write: fc.boolean(), value: fc.nat(255) }), { maxLength: 12 });

/** Does `steps` one after the other and compares with a plain array. */
async function agreesWithArray(store: ByteStore, all: typeof steps extends fc.Arbitrary<infer T> ? T : never) {
	const model = original.slice();
	for (const { range, write, value } of all) {
		if (write) {
			const piece = new Uint8Array(range.length).fill(value);
			await store.write(range.at, piece);
			piece.fill(0);
			model.fill(value, range.at, range.at + range.length);
		} else {
			const read = await readBytes(store, range.at, range.length);
			if (Buffer.compare(read, model.subarray(range.at, range.at + range.length)) !== 0) {
				throw new Error(`wrong bytes at ${range.at}`);
			}
		}
	}
	return { model, agrees: Buffer.compare(await readBytes(store, 0, SIZE), model) === 0 };
}

describe("overlay", () => {
	test("reads like an array that was written to, and tells what may differ", async () => {
		await fc.assert(
			fc.asyncProperty(steps, async (all) => {
				const source = original.slice();
				const view = overlay(bytesSource(source));
				const { model, agrees } = await agreesWithArray(view, all);
				expect(agrees).toBe(true);
				expect(Buffer.compare(source, original)).toBe(0);

				const changed = view.changed();
				const rest = model.slice();
				let end = -1;
				for (const { at, length } of changed) {
					// Ascending, and apart: neighbours would have been one range.
					expect(at).toBeGreaterThan(end);
					end = at + length;
					rest.set(original.subarray(at, end), at);
				}
				expect(Buffer.compare(rest, original)).toBe(0);
				expect(view.inMemory).toBe(changed.reduce((sum, { length }) => sum + length, 0));
			}),
			{ numRuns: 60 },
		);
	});

	test("writes that overlap in time all arrive", async () => {
		await fc.assert(
			fc.asyncProperty(fc.array(fc.nat(SIZE - 10), { maxLength: 40 }), async (places) => {
				const view = overlay(slow(original.slice()));
				const writes = places.map((at) =>
					view.write(
						at - (at % 10),
						Uint8Array.from({ length: 10 }, (_, i) => at + i),
					),
				);
				const whole = view.write(65_536, new Uint8Array(65_536).fill(9));
				await Promise.all([...writes, whole, readBytes(view, 0, SIZE)]);
				const model = original.slice();
				model.fill(9, 65_536, 131_072);
				const result = await readBytes(view, 0, SIZE);
				for (const at of places) {
					const start = at - (at % 10);
					// Two writes of the same ten bytes: either may be the last one, but not a mixture.
					const written = result.subarray(start, start + 10);
					if (start >= 65_536 - 10 && start < 131_072) continue;
					expect(places.some((other) => other - (other % 10) === start && written[0] === (other & 0xff))).toBe(true);
					model.set(written, start);
				}
				expect(Buffer.compare(result.subarray(0, 65_526), model.subarray(0, 65_526))).toBe(0);
				expect(Buffer.compare(result.subarray(131_072), model.subarray(131_072))).toBe(0);
			}),
			{ numRuns: 30 },
		);
	});

	test("a chunk that is written whole is not read before", async () => {
		const source = slow(original.slice());
		const view = overlay(source);
		await view.write(65_536, new Uint8Array(2 * 65_536));
		await view.write(4 * 65_536, new Uint8Array(65_536 - 1234));
		expect(source.asked).toEqual([]);
		await view.write(1, Uint8Array.of(1));
		expect(source.asked).toEqual([[0, 65_536]]);
	});

	test("its limit is refused, and what was there before stays readable", async () => {
		const view = overlay(bytesSource(original), { limit: 2 * 65_536 });
		await view.write(0, new Uint8Array(65_537).fill(1));
		await expect(view.write(3 * 65_536, Uint8Array.of(1))).rejects.toMatchObject({ kind: "refused" });
		await view.write(70_000, Uint8Array.of(5));
		expect((await readBytes(view, 65_536, 1))[0]).toBe(1);
	});

	test("a failed read of the source does not count as memory", async () => {
		const failing: ByteSource = { name: "bad", size: SIZE, read: () => Promise.reject(new Error("bad sector")) };
		const view = overlay(failing);
		await expect(view.write(1, Uint8Array.of(1))).rejects.toThrow("bad sector");
		expect([view.inMemory, view.changed()]).toEqual([0, []]);
	});

	test("writing outside is an error, not growth", async () => {
		const view = overlay(bytesSource(original));
		await expect(view.write(SIZE - 1, Uint8Array.of(1, 2))).rejects.toMatchObject({ kind: "damaged" });
		await expect(view.read(-1, new Uint8Array(1))).rejects.toMatchObject({ kind: "damaged" });
	});
});

describe("cached", () => {
	test("reads and writes like the array behind it", async () => {
		await fc.assert(
			fc.asyncProperty(steps, fc.constantFrom(512, 4096, 65_536), async (all, blockSize) => {
				const view = cached(slow(original.slice()), { blockSize, blocks: 3 });
				expect(await agreesWithArray(view, all)).toMatchObject({ agrees: true });
			}),
			{ numRuns: 60 },
		);
	});

	test("asks once for a block that many want, and again once it was dropped", async () => {
		const source = slow(original.slice());
		const view = cached(source, { blockSize: 1000, blocks: 2 });
		await Promise.all(Array.from({ length: 20 }, (_, i) => readBytes(view, i * 40, 30)));
		expect(source.asked).toEqual([[0, 1000]]);
		for (const at of [1000, 0, 2000, 0, 1000]) await readBytes(view, at, 10);
		expect(source.asked.map(([at]) => at)).toEqual([0, 1000, 2000, 1000]);
	});

	test("forgets a failed read", async () => {
		let good = false;
		const flaky: ByteSource = {
			name: "flaky",
			size: 10,
			read: () => (good ? Promise.resolve() : Promise.reject(new Error("bad sector"))),
		};
		const view = cached(flaky);
		await expect(readBytes(view, 0, 1)).rejects.toThrow("bad sector");
		good = true;
		await expect(readBytes(view, 0, 1)).resolves.toEqual(Uint8Array.of(0));
	});

	test("is a store exactly where its source is one", () => {
		expect(isStore(cached(bytesSource(original)))).toBe(false);
		expect(isStore(cached(overlay(bytesSource(original))))).toBe(true);
	});
});

describe("slice", () => {
	test("is a window that nobody can look past", async () => {
		await fc.assert(
			fc.asyncProperty(ranges, fc.nat(400), fc.nat(400), async ({ at, length }, from, count) => {
				const window = slice(bytesSource(original), at, length);
				const outcome = await readBytes(window, from, count).catch((error: AnyvisorError) => error.kind);
				expect(outcome).toEqual(from + count > length ? "damaged" : original.slice(at + from, at + from + count));
				expect(await readUpTo(window, from, count)).toEqual(original.slice(at, at + length).slice(from, from + count));
			}),
		);
	});

	test("of a store writes through to it, and not past its end", async () => {
		const store = overlay(bytesSource(original));
		const window = slice(store, 100, 10);
		await window.write(8, Uint8Array.of(1, 2));
		expect(await readBytes(store, 107, 4)).toEqual(Uint8Array.of(original[107] ?? 0, 1, 2, original[110] ?? 0));
		await expect(window.write(9, Uint8Array.of(1, 2))).rejects.toMatchObject({ kind: "damaged" });
	});
});
