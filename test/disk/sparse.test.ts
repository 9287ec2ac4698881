import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { inOrder } from "../../src/bytes/in-order.js";
import type { Disk, Extent } from "../../src/disk/disk.js";
import { dataBlocks, joined } from "../../src/disk/sparse.js";
import { isZero } from "../../src/disk/zero.js";

/** A disk in memory whose extents are those given. */
function memoryDisk(bytes: Uint8Array, extents: readonly Extent[]): Disk {
	return {
		name: "memory",
		size: bytes.length,
		format: "raw",
		sectorSize: 512,
		async read(at, into) {
			await Promise.resolve();
			into.set(bytes.subarray(at, at + into.length));
		},
		async *extents() {
			yield* extents;
		},
	};
}

const runs = fc.array(
	fc.record({ sectors: fc.integer({ min: 1, max: 40 }), kind: fc.constantFrom("data", "zero"), fill: fc.nat(255) }),
	{ minLength: 1, maxLength: 30 },
);

describe("dataBlocks", () => {
	it("yields every block that is not zero, once, ascending, padded; and reports the whole size as progress", async () => {
		await fc.assert(
			fc.asyncProperty(runs, fc.constantFrom(512, 4096, 65536, 3 * 1024 * 1024), async (runs, blockSize) => {
				const extents: Extent[] = [];
				let size = 0;
				for (const { sectors, kind } of runs) {
					extents.push({ at: size, length: sectors * 512, kind });
					size += sectors * 512;
				}
				const bytes = new Uint8Array(size);
				runs.forEach(({ kind, fill }, i) => {
					const extent = extents[i];
					if (extent !== undefined && kind === "data") bytes.fill(fill, extent.at, extent.at + extent.length);
				});
				let progress = 0;
				const rebuilt = new Uint8Array(Math.ceil(size / blockSize) * blockSize);
				let last = -1;
				const options = { onProgress: (done: number) => (progress += done) };
				for await (const block of dataBlocks(memoryDisk(bytes, extents), blockSize, options)) {
					expect(block.at).toBe(block.index * blockSize);
					expect(block.index).toBeGreaterThan(last);
					expect(block.bytes.length).toBe(blockSize);
					expect(isZero(block.bytes)).toBe(false);
					last = block.index;
					rebuilt.set(block.bytes, block.at);
				}
				expect(Buffer.compare(rebuilt.subarray(0, size), bytes)).toBe(0);
				expect(isZero(rebuilt.subarray(size))).toBe(true);
				expect(progress).toBe(size);
			}),
		);
	});

	it("stops with `interrupted` when the signal is raised", async () => {
		const stop = new AbortController();
		const disk = memoryDisk(new Uint8Array(1 << 20).fill(1), [{ at: 0, length: 1 << 20, kind: "data" }]);
		const reading = (async () => {
			for await (const block of dataBlocks(disk, 65536, { signal: stop.signal })) if (block.index === 3) stop.abort();
		})();
		await expect(reading).rejects.toMatchObject({ name: "AnyvisorError", kind: "interrupted" });
	});
});

describe("inOrder", () => {
	it("keeps the order and the limit whatever each item takes", async () => {
		await fc.assert(
			fc.asyncProperty(
				fc.array(fc.nat(3), { maxLength: 40 }),
				fc.integer({ min: 1, max: 5 }),
				async (delays, limit) => {
					let underWay = 0;
					let most = 0;
					const results: number[] = [];
					const work = async ({ delay, index }: { delay: number; index: number }) => {
						most = Math.max(most, ++underWay);
						for (let i = 0; i < delay; i++) await Promise.resolve();
						underWay--;
						return index;
					};
					const items = delays.map((delay, index) => ({ delay, index }));
					for await (const index of inOrder(items, limit, work)) results.push(index);
					expect(results).toEqual(items.map(({ index }) => index));
					expect(most).toBeLessThanOrEqual(limit);
				},
			),
		);
	});

	it("passes a failure on, and leaves nothing running behind it", async () => {
		let running = 0;
		const work = async (item: number) => {
			running++;
			await new Promise((resolve) => setTimeout(resolve, item));
			running--;
			if (item === 2) throw new Error("no");
			return item;
		};
		const seen: number[] = [];
		const reading = (async () => {
			for await (const item of inOrder([1, 2, 30, 4], 4, work)) seen.push(item);
		})();
		await expect(reading).rejects.toThrow("no");
		expect(seen).toEqual([1]);
		expect(running).toBe(0);
	});

	it("ends its work when the reader leaves", async () => {
		let closed = false;
		function* items() {
			try {
				for (let i = 0; ; i++) yield i;
			} finally {
				closed = true;
			}
		}
		for await (const item of inOrder(items(), 3, (item) => Promise.resolve(item))) if (item === 5) break;
		expect(closed).toBe(true);
	});
});

describe("joined", () => {
	it("merges neighbours of one kind", async () => {
		const extents: Extent[] = [
			{ at: 0, length: 5, kind: "data" },
			{ at: 5, length: 5, kind: "data" },
			{ at: 10, length: 0, kind: "zero" },
			{ at: 10, length: 5, kind: "data" },
			{ at: 15, length: 5, kind: "zero" },
		];
		const merged: Extent[] = [];
		for await (const extent of joined(extents)) merged.push(extent);
		expect(merged).toEqual([
			{ at: 0, length: 15, kind: "data" },
			{ at: 15, length: 5, kind: "zero" },
		]);
	});
});

describe("isZero", () => {
	it("finds the one byte that is not, at any alignment", () => {
		fc.assert(
			fc.property(fc.nat(40), fc.nat(100), fc.nat(200), (start, length, where) => {
				const memory = new Uint8Array(256).fill(255);
				const bytes = memory.subarray(start, start + length).fill(0);
				expect(isZero(bytes)).toBe(true);
				if (where >= length) return;
				bytes[where] = 1;
				expect(isZero(bytes)).toBe(false);
			}),
		);
	});
});
