import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Appender, WriteQueue } from "../../src/disk/write-behind.js";

const MIB = 1 << 20;

/** A sink in memory that takes its time, and fails at the write of that number. */
function slowSink(failAt = Number.POSITIVE_INFINITY) {
	const memory = new Uint8Array(8 * MIB);
	let underWay = 0;
	let writes = 0;
	const seen = { most: 0, largest: 0 };
	return {
		memory,
		seen,
		sink: {
			name: "slow",
			async write(at: number, bytes: Uint8Array) {
				seen.most = Math.max(seen.most, ++underWay);
				seen.largest = Math.max(seen.largest, bytes.length);
				const failing = writes++ === failAt;
				await new Promise((resolve) => setTimeout(resolve, 1));
				underWay--;
				if (failing) throw new Error("full");
				memory.set(bytes, at);
			},
			commit: () => Promise.resolve(),
			[Symbol.asyncDispose]: () => Promise.resolve(),
		},
	};
}

describe("Appender", () => {
	it("puts records of any length one after the other, holes included, in large writes, one at a time", async () => {
		const record = fc.record({ length: fc.integer({ min: 0, max: 300_000 }), gap: fc.nat(5000), fill: fc.nat(255) });
		await fc.assert(
			fc.asyncProperty(fc.array(record, { maxLength: 12 }), fc.nat(100), async (records, start) => {
				const { memory, seen, sink } = slowSink();
				const expected = new Uint8Array(memory.length);
				const appender = new Appender(sink, start);
				let at = start;
				for (const { length, gap, fill } of records) {
					if (gap > 2500) appender.skipTo((at += gap));
					expect(appender.position).toBe(at);
					const bytes = new Uint8Array(length).fill(fill);
					await appender.append(bytes);
					expected.set(bytes, at);
					// It was copied: what happens to it now is of no interest.
					bytes.fill(0xee);
					at += length;
				}
				await appender.finish();
				expect(Buffer.compare(memory, expected)).toBe(0);
				expect(seen.most).toBeLessThanOrEqual(1);
				expect(seen.largest).toBeLessThanOrEqual(MIB);
			}),
			{ numRuns: 30 },
		);
	});

	it("fails with what a write failed with, and leaves nothing under way", async () => {
		const { sink } = slowSink(1);
		const appender = new Appender(sink);
		const appending = (async () => {
			for (let i = 0; i < 7; i++) await appender.append(new Uint8Array(MIB));
			await appender.finish();
		})();
		await expect(appending).rejects.toThrow("full");
		await appender.settle();
		await expect(appender.finish()).rejects.toThrow("full");
	});
});

describe("WriteQueue", () => {
	it("does not begin a write after one has failed, but lets go of every one", async () => {
		const queue = new WriteQueue();
		const begun: number[] = [];
		const released: number[] = [];
		for (const i of [0, 1, 2]) {
			queue.add(
				() => {
					begun.push(i);
					return i === 1 ? Promise.reject(new Error("full")) : Promise.resolve();
				},
				() => released.push(i),
			);
		}
		await expect(queue.finish()).rejects.toThrow("full");
		expect(begun).toEqual([0, 1]);
		expect(released).toEqual([0, 1, 2]);
		expect(() => queue.check()).toThrow("full");
	});
});
