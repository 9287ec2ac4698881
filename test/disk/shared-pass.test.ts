import * as fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Disk } from "../../src/disk/disk.js";
import { sharePass } from "../../src/disk/shared-pass.js";
import { dataBlocks } from "../../src/disk/sparse.js";

const MIB = 1024 * 1024;

const content = new Uint8Array(40 * MIB);
for (let at = 0; at < content.length; at += 512) content.fill(Math.floor(at / 512) % 251, at, at + 512);

/** A disk whose sectors tell where they lie, and which counts what is read. */
function countingDisk(size: number) {
	const counted = { bytes: 0 };
	const disk: Disk = {
		name: "source",
		size,
		format: "raw",
		sectorSize: 512,
		async read(at, into) {
			counted.bytes += into.length;
			await new Promise((resolve) => setImmediate(resolve));
			into.set(content.subarray(at, at + into.length));
		},
		async *extents() {
			yield { at: 0, length: size, kind: "data" };
		},
	};
	return { disk, counted };
}

async function expectRead(disk: Disk, at: number, length: number): Promise<void> {
	const bytes = new Uint8Array(length);
	await disk.read(at, bytes);
	expect(Buffer.compare(bytes, content.subarray(at, at + length))).toBe(0);
}

const pause = (turns: number) =>
	turns === 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, turns));

afterEach(() => {
	vi.useRealTimers();
});

describe("sharePass", () => {
	it("reads the source once, whatever block sizes and speeds its writers have", async () => {
		const { disk, counted } = countingDisk(40 * MIB);
		const consumers = sharePass(disk, 3, 4 * MIB);
		const blockSizes = [65536, 2 * MIB, 512 * 1024];
		const totals = await Promise.all(
			consumers.map(async (consumer, i) => {
				let total = 0;
				for await (const { at, bytes } of dataBlocks(consumer, blockSizes[i] ?? 512)) {
					expect(Buffer.compare(bytes, content.subarray(at, at + bytes.length))).toBe(0);
					total += bytes.length;
					if (i === 1) await pause(1);
				}
				await consumer[Symbol.asyncDispose]?.();
				return total;
			}),
		);
		expect(totals).toEqual([40 * MIB, 40 * MIB, 40 * MIB]);
		expect(counted.bytes).toBe(40 * MIB);
	});

	it("lets nobody wait forever, and everybody read right, with writers of any speed that die and look back", async () => {
		const steps = fc.array(
			fc.record({
				// Where to go from here, in sectors: mostly on, sometimes back, sometimes far ahead.
				move: fc.oneof(fc.constant(0), fc.constant(0), fc.integer({ min: -9000, max: 9000 })),
				length: fc.integer({ min: 1, max: 4000 }),
				pause: fc.nat(2),
			}),
			{ maxLength: 12 },
		);
		const writer = fc.record({ steps, start: fc.nat(3), dies: fc.boolean() });
		await fc.assert(
			fc.asyncProperty(fc.array(writer, { minLength: 1, maxLength: 4 }), async (writers) => {
				const size = 8 * MIB;
				const { disk } = countingDisk(size);
				const consumers = sharePass(disk, writers.length, 2 * MIB);
				const done = Promise.all(
					writers.map(async ({ steps, start, dies }, i) => {
						const consumer = consumers[i] ?? disk;
						await pause(start);
						let at = 0;
						for (const step of steps) {
							const length = step.length * 512;
							at = Math.max(0, Math.min(size - length, at + step.move * 512));
							await expectRead(consumer, at, length);
							at += length;
							await pause(step.pause);
						}
						if (dies) await consumer[Symbol.asyncDispose]?.();
						else await expectRead(consumer, 0, size);
						await consumer[Symbol.asyncDispose]?.();
					}),
				);
				await expect(done).resolves.toHaveLength(writers.length);
			}),
			{ numRuns: 25 },
		);
	});

	it("makes the one that is ahead wait, until the slow one comes or goes", async () => {
		const { disk } = countingDisk(32 * MIB);
		const [fast, slow] = sharePass(disk, 2, 4 * MIB);
		if (fast === undefined || slow === undefined) throw new Error("two were asked for");
		await expectRead(slow, 0, 512);
		let reached = 0;
		const running = (async () => {
			for (; reached < 32; reached++) await expectRead(fast, reached * MIB, MIB);
		})();
		await pause(50);
		expect(reached).toBe(4);
		await expectRead(slow, 512, 3 * MIB);
		await pause(50);
		expect(reached).toBe(7);
		await slow[Symbol.asyncDispose]?.();
		await running;
		await expectRead(slow, 7 * MIB, MIB);
	});

	it("leaves behind who holds others up and does not read, and takes it back when it does", async () => {
		vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
		const { disk } = countingDisk(16 * MIB);
		const [fast, silent] = sharePass(disk, 2, 2 * MIB);
		if (fast === undefined || silent === undefined) throw new Error("two were asked for");
		await expectRead(silent, 0, 512);
		const running = expectRead(fast, 0, 16 * MIB);
		await vi.waitUntil(() => vi.getTimerCount() > 0);
		await vi.advanceTimersByTimeAsync(10_000);
		await expect(running).resolves.toBeUndefined();
		await expectRead(silent, 512, 16 * MIB - 512);
	});

	it("passes a failure of the source to whoever reads there, and tries again", async () => {
		const { disk } = countingDisk(4 * MIB);
		let broken = true;
		const flaky: Disk = {
			...disk,
			read: (at, into) => (broken ? Promise.reject(new Error("bad cable")) : disk.read(at, into)),
		};
		const [one, two] = sharePass(flaky, 2);
		if (one === undefined || two === undefined) throw new Error("two were asked for");
		await expect(expectRead(one, 0, MIB)).rejects.toThrow("bad cable");
		await expect(expectRead(two, 0, MIB)).rejects.toThrow("bad cable");
		broken = false;
		await expectRead(one, 0, 4 * MIB);
		await expectRead(two, 0, 4 * MIB);
	});
});
