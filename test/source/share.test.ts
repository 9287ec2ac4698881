import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { open, readFile, statfs, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ByteSource, bytesSource } from "../../src/bytes/source.js";
import { fileSink, openFile } from "../../src/source/index.js";
import { because, missing, temporaryFolder } from "../support/tools.js";
import { attempt, loopMounted, tmpfs } from "./mounts.js";

const BLOCK = 4096;
const MIB = 1 << 20;

/** The mapped extents of a file, by filefrag: the numbers are bytes. */
function extentsOf(file: string): { at: number; length: number; shared: boolean }[] {
	const lines = execFileSync("filefrag", ["-v", "-b1", file], { encoding: "utf8" }).split("\n");
	return lines.flatMap((line) => {
		const match = /^\s*\d+:\s*(\d+)\.\.\s*\d+:\s*\d+\.\.\s*\d+:\s*(\d+):(.*)/.exec(line);
		return match === null
			? []
			: [{ at: Number(match[1]), length: Number(match[2]), shared: /shared/.test(match[3] ?? "") }];
	});
}

const freeBytes = async (folder: string) => {
	execFileSync("sync", ["-f", folder]);
	const { bfree, bsize } = await statfs(folder);
	return bfree * bsize;
};

for (const kind of ["xfs", "btrfs"] as const) {
	const { folder, reason } = attempt(() => loopMounted(kind));
	describe.skipIf(reason !== "" || missing("filefrag"))(`on ${kind} ${reason}${because("filefrag")}`, () => {
		const at = (name: string) => path.join(folder, name);
		const share = async (name: string, source: ByteSource, ...ranges: [at: number, from: number, length: number][]) => {
			await using sink = await fileSink(at(name));
			const answers: boolean[] = [];
			for (const [to, from, length] of ranges) answers.push((await sink.share?.(to, source, from, length)) ?? false);
			await sink.commit(Math.max(0, ...ranges.map(([to, , length]) => to + length)));
			return answers;
		};

		test("a shared range is the same blocks, and a write to either file leaves the other as it was", async () => {
			const content = randomBytes(16 * MIB);
			await writeFile(at("source"), content);
			await using source = await openFile(at("source"));
			const before = await freeBytes(folder);
			expect(await share("copy", source, [MIB, 0, 16 * MIB])).toEqual([true]);
			expect(before - (await freeBytes(folder))).toBeLessThan(MIB);

			const extents = extentsOf(at("copy"));
			expect(extents.every(({ shared }) => shared)).toBe(true);
			expect(extents.reduce((sum, { length }) => sum + length, 0)).toBe(16 * MIB);
			const copy = await readFile(at("copy"));
			expect(Buffer.compare(copy.subarray(0, MIB), Buffer.alloc(MIB))).toBe(0);
			expect(Buffer.compare(copy.subarray(MIB), content)).toBe(0);

			for (const [name, byte] of [["copy", MIB + 5000] as const, ["source", 9 * MIB] as const]) {
				const handle = await open(at(name), "r+");
				await handle.write(Uint8Array.of(~(content[byte] ?? 0)), 0, 1, byte);
				await handle.close();
			}
			expect((await readFile(at("source")))[4904]).toBe(content[4904]);
			expect((await readFile(at("copy")))[10 * MIB]).toBe(content[9 * MIB]);
		});

		test("the last block of the source may be a part of one, at the end of the output only", async () => {
			const size = 5 * BLOCK + 100;
			await writeFile(at("odd"), randomBytes(size));
			await using source = await openFile(at("odd"));
			expect(await share("odd-copy", source, [BLOCK, 0, size])).toEqual([true]);
			expect(Buffer.compare((await readFile(at("odd-copy"))).subarray(BLOCK), await readFile(at("odd")))).toBe(0);
			// Inside of the output that part would take what follows with it; sharing goes on elsewhere.
			const answers = await share("inside", source, [8 * BLOCK, 0, BLOCK], [0, 0, size], [0, 0, 4 * BLOCK]);
			expect(answers).toEqual([true, false, true]);
		});

		test("offsets and lengths that are not whole blocks are not shared, and nothing is written", async () => {
			await writeFile(at("whole"), randomBytes(10 * BLOCK));
			await using source = await openFile(at("whole"));
			const ranges: [number, number, number][] = [
				[512, 0, BLOCK],
				[0, 512, BLOCK],
				[512, 512, BLOCK],
				[0, 0, BLOCK + 512],
				[0, 0, 512],
			];
			expect(await share("none", source, ...ranges)).toEqual(ranges.map(() => false));
			expect((await readFile(at("none"))).every((byte) => byte === 0)).toBe(true);
			expect(extentsOf(at("none"))).toEqual([]);
		});

		test("shared and written ranges together are what was put there last", async () => {
			const content = randomBytes(64 * BLOCK);
			await writeFile(at("model-source"), content);
			await using source = await openFile(at("model-source"));
			const blocks = fc.nat(31);
			const shared = fc.record({ to: blocks, from: blocks, length: fc.integer({ min: 1, max: 32 }) });
			const written = fc.record({ to: fc.nat(40 * BLOCK), bytes: fc.uint8Array({ minLength: 1, maxLength: 9000 }) });
			await fc.assert(
				fc.asyncProperty(
					fc.array(fc.oneof(shared, written), { maxLength: 8 }),
					fc.nat(64 * BLOCK),
					async (all, size) => {
						const model = new Uint8Array(80 * BLOCK);
						const answers: (boolean | undefined)[] = [];
						await using sink = await fileSink(at("model"), { overwrite: true });
						for (const step of all) {
							if ("bytes" in step) {
								await sink.write(step.to, step.bytes);
								model.set(step.bytes, step.to);
							} else {
								const [to, from, length] = [step.to * BLOCK, step.from * BLOCK, step.length * BLOCK];
								answers.push(await sink.share?.(to, source, from, length));
								model.set(content.subarray(from, from + length), to);
							}
						}
						await sink.commit(size);
						expect(answers.every((answer) => answer)).toBe(true);
						expect(Buffer.compare(await readFile(at("model")), model.subarray(0, size))).toBe(0);
					},
				),
				{ numRuns: 30 },
			);
		});

		test("holes are shared as holes", async () => {
			await writeFile(at("sparse"), "x");
			await truncate(at("sparse"), 64 * MIB);
			await using source = await openFile(at("sparse"));
			expect(await share("sparse-copy", source, [0, 0, 64 * MIB])).toEqual([true]);
			expect(extentsOf(at("sparse-copy")).reduce((sum, { length }) => sum + length, 0)).toBeLessThanOrEqual(BLOCK);
		});

		test("what lies on another file system, or in no file, is not shared", async () => {
			const elsewhere = path.join(await temporaryFolder(), "other");
			await writeFile(elsewhere, randomBytes(10 * BLOCK));
			await using source = await openFile(elsewhere);
			expect(await share("from-elsewhere", source, [0, 0, BLOCK], [BLOCK, 0, BLOCK])).toEqual([false, false]);
			expect(await share("from-memory", bytesSource(new Uint8Array(BLOCK)), [0, 0, BLOCK])).toEqual([false]);
			const closed = await openFile(elsewhere);
			await closed[Symbol.asyncDispose]();
			expect(await share("from-closed", closed, [0, 0, BLOCK])).toEqual([false]);
		});

		test("space is reserved, reads as zero, and what is too much is no space", async () => {
			const before = await freeBytes(folder);
			await using sink = await fileSink(at("reserved"));
			expect(await sink.reserve?.(20 * MIB)).toBe(true);
			await sink.write(5, Uint8Array.of(7));
			await sink.commit(20 * MIB);
			expect(before - (await freeBytes(folder))).toBeGreaterThanOrEqual(20 * MIB);
			const content = await readFile(at("reserved"));
			expect(content[5]).toBe(7);
			expect(content.reduce((sum, byte) => sum + byte, 0)).toBe(7);

			await using large = await fileSink(at("large"));
			await expect(large.reserve?.(2 ** 40)).rejects.toMatchObject({ kind: "no-space", file: at("large") });
			await expect(large.commit(0)).rejects.toMatchObject({ kind: "no-space" });
		});
	});
}

const plain = attempt(() => tmpfs(1 << 20));

test.skipIf(plain.reason !== "")(`where nothing is shared, asking again costs nothing ${plain.reason}`, async () => {
	await writeFile(path.join(plain.folder, "source"), randomBytes(10 * BLOCK));
	await using source = await openFile(path.join(plain.folder, "source"));
	await using sink = await fileSink(path.join(plain.folder, "copy"));
	expect(await sink.share?.(0, source, 0, BLOCK)).toBe(false);
	const began = performance.now();
	for (let i = 0; i < 10_000; i++) await sink.share?.(0, source, 0, BLOCK);
	expect(performance.now() - began).toBeLessThan(1000);
});
