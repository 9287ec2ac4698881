import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareDisks } from "../../src/disk/compare.js";
import type { Disk, Extent } from "../../src/disk/disk.js";

interface Run {
	readonly length: number;
	/** `hole`: not stored. */
	readonly kind: "hole" | "zeros" | "text";
}

/** A disk of runs, which counts what is read of it. */
function disk(runs: readonly Run[]): { disk: Disk; bytes: Uint8Array; read: () => number } {
	const extents: Extent[] = [];
	let size = 0;
	for (const { length, kind } of runs) {
		extents.push({ at: size, length, kind: kind === "hole" ? "zero" : "data" });
		size += length;
	}
	const bytes = new Uint8Array(size);
	for (const [i, { at, length }] of extents.entries()) {
		if (runs[i]?.kind === "text") for (let j = at; j < at + length; j++) bytes[j] = (j % 251) + 1;
	}
	let read = 0;
	return {
		bytes,
		read: () => read,
		disk: {
			name: "model",
			size,
			format: "raw",
			sectorSize: 512,
			read(at, into) {
				read += into.length;
				into.set(bytes.subarray(at, at + into.length));
				return Promise.resolve();
			},
			async *extents() {
				yield* extents;
			},
		},
	};
}

const runs = fc.array(
	fc.record({ length: fc.integer({ min: 1, max: 4 }), kind: fc.constantFrom("hole", "zeros", "text") }),
	{ maxLength: 8 },
);

/** As runs of sectors. */
const sectors = (given: readonly Run[]) => given.map(({ length, kind }) => ({ length: length * 512, kind }));

describe("compareDisks", () => {
	it("finds the first byte that differs, however the disks are stored", async () => {
		await fc.assert(
			fc.asyncProperty(runs, runs, fc.option(fc.nat(8191)), async (one, other, flip) => {
				const a = disk(sectors(one));
				const b = disk(sectors(other));
				if (flip !== null && flip < b.bytes.length && b.bytes[flip] !== 0) b.bytes[flip] = 255;
				const length = Math.max(a.bytes.length, b.bytes.length);
				const expected = Array.from({ length }, (_, i) => i).find((i) => (a.bytes[i] ?? 0) !== (b.bytes[i] ?? 0));
				let progress = 0;
				const result = await compareDisks(a.disk, b.disk, { onProgress: (bytes) => (progress += bytes) });
				expect(result.firstDifference).toBe(expected);
				expect(result.identical).toBe(expected === undefined);
				expect(result.sameSize).toBe(a.bytes.length === b.bytes.length);
				expect(progress === length || !result.identical).toBe(true);
			}),
		);
	});

	it("finds a difference at any offset of a piece", async () => {
		for (const offset of [0, 3, 15, 16, 17, 4095, 2 ** 20 - 1, 2 ** 20, 2 ** 20 + 5, 3 * 2 ** 20 - 512]) {
			const layout = [{ length: 3 * 2 ** 20, kind: "text" }] as const;
			const [a, b] = [disk(layout), disk(layout)];
			b.bytes[offset] = 0;
			expect(await compareDisks(a.disk, b.disk)).toMatchObject({ identical: false, firstDifference: offset });
		}
	});

	it("reads nothing that both know to be zero, and only one of them where only one has data", async () => {
		const huge = { length: 2 ** 40, kind: "hole" } as const;
		const model = (size: number): Disk => ({
			...disk([]).disk,
			size,
			async *extents() {
				yield { at: 0, length: size, kind: "zero" };
			},
		});
		expect(await compareDisks(model(huge.length), model(huge.length / 2))).toMatchObject({
			identical: true,
			sameSize: false,
			compared: 0,
		});
		const zeros = disk([{ length: 8192, kind: "zeros" }]);
		const hole = disk([{ length: 8192, kind: "hole" }]);
		expect(await compareDisks(zeros.disk, hole.disk)).toMatchObject({ identical: true, compared: 8192 });
		expect(zeros.read()).toBe(8192);
		expect(hole.read()).toBe(0);
	});

	it("makes the size count when asked to", async () => {
		const [a, b] = [
			disk([{ length: 512, kind: "text" }]),
			disk([
				{ length: 512, kind: "text" },
				{ length: 512, kind: "zeros" },
			]),
		];
		expect(await compareDisks(a.disk, b.disk)).toMatchObject({ identical: true, sameSize: false });
		expect(await compareDisks(a.disk, b.disk, { strict: true })).toMatchObject({
			identical: false,
			firstDifference: 512,
		});
	});

	it("stops when asked to", async () => {
		const { disk: model } = disk([{ length: 4096, kind: "text" }]);
		const stopping = compareDisks(model, model, { signal: AbortSignal.abort() });
		await expect(stopping).rejects.toMatchObject({ kind: "interrupted" });
	});
});
