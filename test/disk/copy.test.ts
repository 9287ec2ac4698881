import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ByteSource, bytesSource } from "../../src/bytes/source.js";
import { copyUnits, ONE_UNIT } from "../../src/disk/copy.js";
import type { Disk, Extent } from "../../src/disk/disk.js";
import { trials } from "../support/tools.js";

const SECTOR = 512;
const KIB = 1024;

/** A stretch of a disk, and how much further on in its file it lies than the one before. */
interface Stretch {
	readonly sectors: number;
	readonly kind: "zero" | "data" | "zeros in a file" | "nowhere";
	readonly fill: number;
	readonly gap: number;
}

/** A disk whose data lies in a file, in another order of places than on the disk. */
function storedDisk(stretches: readonly Stretch[]) {
	const size = stretches.reduce((sum, { sectors }) => sum + sectors * SECTOR, 0);
	const content = new Uint8Array(size);
	const file = new Uint8Array(size + stretches.reduce((sum, { gap }) => sum + gap * SECTOR, 0));
	const source = bytesSource(file, "image");
	const extents: Extent[] = [];
	let at = 0;
	let place = file.length;
	for (const { sectors, kind, fill, gap } of stretches) {
		const length = sectors * SECTOR;
		place -= length + gap * SECTOR;
		if (kind === "data" || kind === "nowhere") content.fill(fill, at, at + length);
		file.set(content.subarray(at, at + length), place);
		if (kind === "zero") extents.push({ at, length, kind });
		else extents.push({ at, length, kind: "data", ...(kind !== "nowhere" && { stored: { source, at: place } }) });
		at += length;
	}
	let bytesRead = 0;
	const disk: Disk = {
		name: "disk",
		size,
		format: "raw",
		sectorSize: SECTOR,
		async read(from, into) {
			bytesRead += into.length;
			await Promise.resolve();
			into.set(content.subarray(from, from + into.length));
		},
		async *extents() {
			yield* extents;
		},
	};
	return { disk, content, file, source, bytesRead: () => bytesRead };
}

/** A file in memory on a file system with blocks of 4 KiB, which shares until it is asked for the n-th time. */
function sharingSink(length: number, source: ByteSource, from: Uint8Array, until: number) {
	const memory = new Uint8Array(length);
	let asked = 0;
	let shared = 0;
	let without = 0;
	return {
		memory,
		shared: () => shared,
		calls: () => asked,
		/** Of what was shared, what was said to be holes. */
		holes: () => without,
		sink: {
			name: "out",
			async write(at: number, bytes: Uint8Array) {
				const copy = bytes.slice();
				await new Promise((resolve) => setImmediate(resolve));
				// Memory that is used again while it is being written would show here.
				expect(Buffer.compare(copy, bytes)).toBe(0);
				memory.set(bytes, at);
			},
			async share(at: number, of: ByteSource, place: number, bytes: number, holes = 0) {
				await Promise.resolve();
				if (asked++ >= until || of !== source || [at, place, bytes].some((value) => value % 4096 !== 0)) return false;
				memory.set(from.subarray(place, place + bytes), at);
				shared += bytes;
				without += holes;
				return true;
			},
			commit: () => Promise.resolve(),
			[Symbol.asyncDispose]: () => Promise.resolve(),
		},
	};
}

const stretch = fc.record({
	sectors: fc.oneof(
		fc.integer({ min: 1, max: 40 }),
		fc.integer({ min: 1, max: 200 }).map((n) => n * 8),
	),
	kind: fc.constantFrom("zero", "data", "data", "zeros in a file", "nowhere"),
	fill: fc.integer({ min: 1, max: 255 }),
	gap: fc.constantFrom(0, 0, 0, 1, 8),
});

describe("copyUnits", () => {
	it("puts the disk's content where the format says, shared or copied, each unit placed once and in order", async () => {
		await fc.assert(
			fc.asyncProperty(
				fc.array(stretch, { minLength: 1, maxLength: 14 }),
				fc.constantFrom(4 * KIB, 64 * KIB, 1024 * KIB, 2048 * KIB),
				fc.constantFrom(0, 1, 3, 1000),
				fc.boolean(),
				async (stretches, unit, until, together) => {
					const { disk, content, file, source } = storedDisk(stretches);
					const units = Math.ceil(disk.size / unit);
					const { memory, sink } = sharingSink((units + 1) * unit * 2, source, file, until);
					const places = new Map<number, number>();
					let progress = 0;
					const place = async (index: number) => {
						await Promise.resolve();
						expect(index).toBeGreaterThan(Math.max(-1, ...places.keys()));
						const at = (1 + places.size * (together ? 1 : 2)) * unit;
						places.set(index, at);
						return at;
					};
					await copyUnits(disk, sink, { unit, place }, { onProgress: (bytes) => (progress += bytes) });
					expect(progress).toBe(disk.size);

					const rebuilt = new Uint8Array(units * unit);
					for (const [index, at] of places) rebuilt.set(memory.subarray(at, at + unit), index * unit);
					expect(Buffer.compare(rebuilt.subarray(0, disk.size), content)).toBe(0);
					expect(rebuilt.subarray(disk.size).every((byte) => byte === 0)).toBe(true);
				},
			),
			{ numRuns: trials(200) },
		);
	});

	it("takes along the holes of the file that lie in units with a place, and nothing else that lies between", async () => {
		const run = fc.record({
			blocks: fc.integer({ min: 1, max: 40 }),
			kind: fc.constantFrom("data", "data", "hole", "zeros over something else"),
			fill: fc.integer({ min: 1, max: 255 }),
		});
		await fc.assert(
			fc.asyncProperty(
				fc.array(run, { minLength: 20, maxLength: 60, size: "max" }),
				fc.constantFrom(4 * KIB, 64 * KIB, 1024 * KIB, ONE_UNIT),
				fc.constantFrom(1, 3, 1000),
				async (runs, unit, until) => {
					const linear = unit === ONE_UNIT;
					// The first one shows that sharing works.
					const all = [{ blocks: 1, kind: "data", fill: 7 }, ...runs];
					const size = all.reduce((sum, { blocks }) => sum + blocks * 4 * KIB, 0);
					const [content, file] = [new Uint8Array(size), new Uint8Array(size)];
					const source = bytesSource(file, "image");
					const extents: Extent[] = [];
					let at = 0;
					let data = 0;
					for (const { blocks, kind, fill } of all) {
						const length = blocks * 4 * KIB;
						if (kind === "data") extents.push({ at, length, kind, stored: { source, at } });
						else extents.push({ at, length, kind: "zero", ...(kind === "hole" && { hole: true }) });
						if (kind === "data") data += length;
						if (kind === "data") content.fill(fill, at, at + length);
						if (kind !== "hole") file.fill(fill, at, at + length);
						at += length;
					}
					const read: Disk["read"] = async (from, into) => into.set(content.subarray(from, from + into.length));
					const disk: Disk = {
						name: "disk",
						size,
						format: "raw",
						sectorSize: SECTOR,
						read,
						extents: async function* () {
							yield* extents;
						},
					};
					const room = linear ? size : Math.ceil(size / unit) * unit;
					const { memory, shared, calls, holes, sink } = sharingSink(room, source, file, until);
					const places = new Map<number, number>();
					const place = (index: number) => {
						places.set(index, places.size * unit);
						return places.get(index) ?? 0;
					};
					await copyUnits(disk, sink, { unit, place }, {});
					const rebuilt = new Uint8Array(room);
					for (const [index, from] of places) rebuilt.set(memory.subarray(from, from + unit), index * unit);
					expect(Buffer.compare(rebuilt.subarray(0, size), content)).toBe(0);
					const touched = new Set(
						extents.flatMap(({ kind, at, length }) =>
							kind === "zero"
								? []
								: Array.from(
										{ length: Math.ceil((at + length) / unit) - Math.floor(at / unit) },
										(_, i) => Math.floor(at / unit) + i,
									),
						),
					);
					expect(new Set(places.keys())).toEqual(touched);
					expect(until === 1000 ? shared() - holes() : data).toBe(data);
					// In an output that is one unit nothing but other zeros parts the data, once sharing is known to work.
					const parts = all
						.slice(1)
						.map(({ kind }) => kind)
						.join(",")
						.split("zeros over something else")
						.filter((part) => part.includes("data"));
					expect(until === 1000 && linear ? calls() : 0).toBeLessThanOrEqual(parts.length + 7);
				},
			),
			{ numRuns: trials(200) },
		);
	});

	it("reads nothing that can be shared", async () => {
		const { disk, content, file, source, bytesRead } = storedDisk([
			{ sectors: 4096, kind: "data", fill: 1, gap: 0 },
			{ sectors: 4096, kind: "zero", fill: 0, gap: 0 },
			{ sectors: 128, kind: "data", fill: 2, gap: 8 },
		]);
		const { memory, shared, sink } = sharingSink(content.length, source, file, 1000);
		await copyUnits(disk, sink, { unit: 64 * KIB, place: (index) => index * 64 * KIB }, {});
		expect(Buffer.compare(memory, content)).toBe(0);
		expect(shared()).toBe((4096 + 128) * SECTOR);
		expect(bytesRead()).toBe(0);
	});

	it("fails with what a write failed with, and stops when asked to", async () => {
		const { disk, file, source } = storedDisk([{ sectors: 20_000, kind: "nowhere", fill: 1, gap: 0 }]);
		const placing = { unit: 64 * KIB, place: (index: number) => index * 64 * KIB };
		const { sink } = sharingSink(disk.size, source, file, 0);
		const full = { ...sink, write: () => Promise.reject(new Error("full")) };
		await expect(copyUnits(disk, full, placing, {})).rejects.toThrow("full");
		const signal = AbortSignal.abort();
		await expect(copyUnits(disk, sink, placing, { signal })).rejects.toMatchObject({ kind: "interrupted" });
	});
});
