import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { openRaw } from "../../src/disk/raw/read.js";
import { resized } from "../../src/disk/resize.js";
import { listExtents, readAll } from "./support.js";

const original = openRaw(bytesSource(new Uint8Array(2048).fill(7), "small.raw"));

describe("resized", () => {
	it("has zeros behind the old end, without anything being stored there", async () => {
		const disk = resized(original, 5120);
		expect(disk.size).toBe(5120);
		expect(await readAll(disk)).toEqual(Uint8Array.from({ length: 5120 }, (_, i) => (i < 2048 ? 7 : 0)));
		const across = new Uint8Array(1024).fill(1);
		await disk.read(1536, across);
		expect(across).toEqual(Uint8Array.from({ length: 1024 }, (_, i) => (i < 512 ? 7 : 0)));
		expect((await listExtents(disk)).map(({ at, length, kind }) => [at, length, kind])).toEqual([
			[0, 2048, "data"],
			[2048, 3072, "zero"],
		]);
		await expect(disk.read(4608, new Uint8Array(1024))).rejects.toMatchObject({ kind: "damaged" });
	});

	it("may be the size that it was, and as large as can be counted", async () => {
		expect(await readAll(resized(original, 2048))).toHaveLength(2048);
		const huge = resized(original, 2 ** 50);
		expect(await listExtents(huge)).toHaveLength(2);
	});

	it("never cuts off, and has whole sectors", () => {
		for (const size of [1536, 0, 2049, 2048.5, 2 ** 54]) {
			expect(() => resized(original, size)).toThrow(expect.objectContaining({ kind: "usage" }));
		}
	});
});
