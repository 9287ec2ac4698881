import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { FileHoles, LEAST } from "../../src/disk/file-holes.js";

interface Run {
	readonly length: number;
	readonly kind: "data" | "zero";
}

/** Runs are counted in steps of half the smallest hole that is of interest. */
const STEP = LEAST / 2;

/** A file of those runs, and for each step whether it lies in a hole that is large enough. */
function fileOf(runs: readonly Run[]) {
	const steps = runs.reduce((sum, { length }) => sum + length, 0);
	const inHole = runs.flatMap(({ length, kind }) => Array.from({ length }, () => kind === "zero" && length > 1));
	async function* extents() {
		let at = 0;
		for (const { length, kind } of runs) {
			yield { at: at * STEP, length: length * STEP, kind };
			at += length;
		}
	}
	const source = { name: "file", size: steps * STEP, read: () => Promise.resolve(), extents };
	return { source, inHole };
}

const run = fc.record({ length: fc.integer({ min: 1, max: 9 }), kind: fc.constantFrom("data", "zero") });

describe("FileHoles", () => {
	it("cuts any range where holes begin and end; what lies behind the file is none", async () => {
		await fc.assert(
			fc.asyncProperty(
				fc.array(run, { maxLength: 12 }),
				fc.array(fc.tuple(fc.nat(60), fc.nat(60)), { minLength: 1, maxLength: 8 }),
				async (runs, ranges) => {
					const { source, inHole } = fileOf(runs);
					const holes = await FileHoles.of(source);
					expect(holes === undefined).toBe(!inHole.includes(true));
					for (const [offset, length] of holes === undefined ? [] : ranges) {
						const said: boolean[] = [];
						for (const piece of holes?.cut(offset * STEP, length * STEP) ?? []) {
							expect(piece.at).toBe((offset + said.length) * STEP);
							expect(piece.length).toBeGreaterThan(0);
							for (let i = 0; i < piece.length / STEP; i++) said.push(piece.hole);
						}
						expect(said).toEqual(Array.from({ length }, (_, i) => inHole[offset + i] ?? false));
					}
				},
			),
		);
	});

	it("knows nothing of sources that know nothing of holes", async () => {
		expect(await FileHoles.of(bytesSource(new Uint8Array(9)))).toBeUndefined();
	});
});
