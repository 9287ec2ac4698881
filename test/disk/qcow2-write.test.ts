import { stat, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import type { Disk, Extent, WriteOptions } from "../../src/disk/disk.js";
import { qcow2 } from "../../src/disk/qcow2/index.js";
import { openDisk } from "../../src/disk/registry.js";
import { openFile } from "../../src/source/file.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { fileSink, listExtents, openFileCount, withDisk } from "./support.js";

const MIB = 1024 * 1024;
const TIB = 1024 ** 4;
const folder = await temporaryFolder();
const at = (name: string) => path.join(folder, name);

async function write(disk: Disk, name: string, options: WriteOptions): Promise<number> {
	await using sink = await fileSink(at(name));
	const written = await qcow2.write?.(disk, sink, options);
	await sink.commit(written?.size ?? 0);
	return written?.size ?? 0;
}

/** Fails where qemu-img finds an error or a leak. */
const expectClean = (name: string) =>
	expect(run("qemu-img", "check", "-q", "-f", "qcow2", at(name)).catch((error) => error.stderr)).resolves.toBe("");

interface Part {
	readonly at: number;
	readonly length: number;
	readonly kind: "noise" | "text" | "zero";
}

/** Parts of a disk in sectors; what lies between is zero. */
const parts = (sectors: number): fc.Arbitrary<Part[]> =>
	fc.array(
		fc.record({
			at: fc.nat(sectors - 1),
			length: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 3000 })),
			kind: fc.constantFrom("noise", "text", "zero"),
		}),
		{ maxLength: 12 },
	);

function paint(bytes: Uint8Array, parts: readonly Part[]): Uint8Array {
	for (const [i, { at, length, kind }] of parts.entries()) {
		const part = bytes.subarray(at * 512, (at + length) * 512);
		if (kind === "zero") part.fill(0);
		else if (kind === "text") part.set(Buffer.alloc(part.length, `part ${i} of a disk `));
		else for (let j = 0; j < part.length; j++) part[j] = (Math.imul(j + i + 1, 0x9e3779b1) >>> 13) & 255;
	}
	return bytes;
}

const raw = (bytes: Uint8Array) => openDisk(bytesSource(bytes, "model"), { format: "raw" });

/** A disk of any size with a little data, which costs nothing but that. */
function sparse(size: number, data: readonly { readonly at: number; readonly length: number }[]): Disk {
	return {
		name: "sparse",
		size,
		format: "raw",
		sectorSize: 512,
		read(at, into) {
			into.fill(0);
			for (const extent of data) {
				into.fill(0xaa, Math.max(0, extent.at - at), Math.max(0, extent.at + extent.length - at));
			}
			return Promise.resolve();
		},
		async *extents(): AsyncGenerator<Extent> {
			let next = 0;
			for (const { at, length } of data) {
				if (at > next) yield { at: next, length: at - next, kind: "zero" };
				yield { at, length, kind: "data" };
				next = at + length;
			}
			if (size > next) yield { at: next, length: size - next, kind: "zero" };
		},
	};
}

const WAYS: readonly WriteOptions[] = [
	{ unitSize: 512 },
	{ unitSize: 4096 },
	{ unitSize: 2 * MIB },
	{ unitSize: 512, variant: "compressed" },
	{ unitSize: 8192, variant: "compressed", compression: "zstd" },
	{ unitSize: MIB, variant: "compressed", level: 1 },
	{ unitSize: 512, preallocation: "metadata" },
	{ preallocation: "metadata" },
];

describe.skipIf(missing("qemu-img", "qemu-io"))(`writing qcow2 ${because("qemu-img", "qemu-io")}`, () => {
	for (const options of WAYS) {
		it(`of any content, with right refcounts: ${JSON.stringify(options)}`, async () => {
			const disk = fc
				.integer({ min: 1, max: 9000 })
				.chain((sectors) => fc.record({ sectors: fc.constant(sectors), parts: parts(sectors) }));
			await fc.assert(
				fc.asyncProperty(disk, async ({ sectors, parts }) => {
					const bytes = paint(new Uint8Array(sectors * 512), parts);
					await writeFile(at("model.raw"), bytes);
					await write(await raw(bytes), "written", options);
					await expectClean("written");
					const compare = run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", at("model.raw"), at("written"));
					await expect(compare).resolves.toContain("identical");
				}),
				{ numRuns: 6 },
			);
		});
	}

	for (const options of [{ unitSize: 512 }, {}, { unitSize: 4096, variant: "compressed" }] satisfies WriteOptions[]) {
		it(`holds only what differs from a backing file: ${JSON.stringify(options)}`, async () => {
			const disks = fc.record({
				sectors: fc.integer({ min: 1, max: 5000 }),
				below: fc.integer({ min: 1, max: 5000 }),
				common: parts(5000),
				own: parts(5000),
			});
			await fc.assert(
				fc.asyncProperty(disks, async ({ sectors, below, common, own }) => {
					const base = paint(new Uint8Array(below * 512), common);
					const bytes = paint(paint(new Uint8Array(sectors * 512), common), own);
					await Promise.all([writeFile(at("model.raw"), bytes), writeFile(at("base.raw"), base)]);
					const backing = { name: "base.raw", format: "raw", disk: await raw(base) };
					await write(await raw(bytes), "overlay", { ...options, backing });
					await expectClean("overlay");
					const compare = run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", at("model.raw"), at("overlay"));
					await expect(compare).resolves.toContain("identical");

					// No cluster that equals the one below is in the image.
					const unit = ("unitSize" in options ? options.unitSize : undefined) ?? 65_536;
					const above = new Uint8Array(bytes.length);
					above.set(base.subarray(0, bytes.length));
					const map = JSON.parse(await run("qemu-img", "map", "-f", "qcow2", "--output=json", at("overlay")));
					const superfluous = (map as { start: number; length: number; depth: number }[])
						.filter(({ depth }) => depth === 0)
						.flatMap(({ start, length }) =>
							Array.from({ length: Math.ceil(length / unit) }, (_, i) => start + i * unit),
						)
						.filter(
							(start) => Buffer.compare(above.subarray(start, start + unit), bytes.subarray(start, start + unit)) === 0,
						)
						// Beyond the end of the backing file, QEMU's map does not tell whose zeros they are.
						.filter((start) => start < base.length);
					expect(superfluous).toEqual([]);
				}),
				{ numRuns: 8 },
			);
		});
	}

	it("names the backing file and its format as QEMU does", async () => {
		await run("qemu-img", "create", "-q", "-f", "vpc", "-o", "force_size=on", at("base.vhd"), "2M");
		await run("qemu-io", "-f", "vpc", "-c", "write -P 5 0 1M", at("base.vhd"));
		await withDisk(at("base.vhd"), async (base) => {
			const bytes = new Uint8Array(base.size).fill(5, 0, MIB).fill(6, MIB, MIB + 512);
			const size = await write(await raw(bytes), "on-vhd", {
				backing: { name: "base.vhd", format: "vhd", disk: base },
			});
			expect(size).toBeLessThan(MIB);
			await writeFile(at("on-vhd.raw"), bytes);
		});
		expect(JSON.parse(await run("qemu-img", "info", "--output=json", at("on-vhd")))).toMatchObject({
			"backing-filename": "base.vhd",
			"backing-filename-format": "vpc",
		});
		await expect(
			run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", at("on-vhd.raw"), at("on-vhd")),
		).resolves.toContain("identical");
	});

	it("preallocates the tables of a sparse file, of which each one's clusters lie side by side", async () => {
		await write(sparse(1024 * MIB, [{ at: 600 * MIB, length: 512 }]), "preallocated", { preallocation: "metadata" });
		await expectClean("preallocated");
		const { size, blocks } = await stat(at("preallocated"));
		expect(size).toBeGreaterThan(1024 * MIB);
		expect(blocks * 512).toBeLessThan(2 * MIB);
		const map = JSON.parse(await run("qemu-img", "map", "-f", "qcow2", "--output=json", at("preallocated")));
		expect((map as { data: boolean; offset?: number }[]).every(({ offset }) => offset !== undefined)).toBe(true);
		await using file = await openFile(at("preallocated"));
		// Seen without the holes that the file system knows of inside of the clusters.
		const disk = await openDisk({ name: file.name, size: file.size, read: (from, into) => file.read(from, into) });
		expect(await listExtents(disk)).toHaveLength(2);
	});

	it("reserves the space of everything where that is asked for and can be had", async () => {
		const asked: number[] = [];
		const disk = await raw(new Uint8Array(MIB).fill(1, 0, 512));
		const writing = async (able: boolean) => {
			await using file = await fileSink(at("reserved"));
			const reserve = (size: number) => {
				asked.push(size);
				return Promise.resolve(able);
			};
			// What is shared is reserved for nobody.
			const share = () => Promise.reject(new Error("asked to share"));
			return await qcow2.write?.(disk, { ...file, reserve, share }, { preallocation: "full" });
		};
		expect(asked).toEqual([(await writing(true))?.size]);
		await expect(writing(false)).rejects.toMatchObject({ kind: "unsupported", hint: expect.any(String) });
		expect(asked[0]).toBeGreaterThan(MIB);
	});

	it("writes 64 TiB with little data in the time of the data", async () => {
		const data = [0, 7 * TIB + 512, 64 * TIB - 512].map((at) => ({ at, length: 512 }));
		for (const [name, unitSize] of [
			["huge", 65_536],
			["huge-2m", 2 * MIB],
		] as const) {
			const started = process.cpuUsage();
			const before = process.memoryUsage().arrayBuffers;
			const size = await write(sparse(64 * TIB, data), name, { unitSize });
			const { user, system } = process.cpuUsage(started);
			expect((user + system) / 1000, "milliseconds").toBeLessThan(1500);
			expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * MIB);
			expect(size).toBeLessThan(32 * MIB);
			await expectClean(name);
			await run("qemu-io", "-r", "-f", "qcow2", "-c", `read -P 0xaa ${64 * TIB - 512} 512`, at(name));
		}
	});

	it("refuses what it cannot write", async () => {
		const disk = await raw(new Uint8Array(MIB));
		const backing = { name: "x", format: "raw", disk };
		const cases: [string, RegExp, Disk, WriteOptions][] = [
			["usage", /clusters of 1000 bytes/, disk, { unitSize: 1000 }],
			["usage", /clusters of 256 bytes/, disk, { unitSize: 256 }],
			["usage", /clusters of 4194304 bytes/, disk, { unitSize: 4 * MIB }],
			["usage", /preallocated/, disk, { variant: "compressed", preallocation: "metadata" }],
			["usage", /preallocated/, disk, { backing, preallocation: "full" }],
			["usage", /too long/, disk, { unitSize: 512, backing: { ...backing, name: "x".repeat(500) } }],
			["refused", /more than the 137438953472/, sparse(TIB, []), { unitSize: 512 }],
		];
		for (const [kind, message, from, options] of cases) {
			await expect(write(from, "impossible", options)).rejects.toMatchObject({
				kind,
				message: expect.stringMatching(message),
				hint: expect.any(String),
			});
		}
	});

	it("closes every file that it opened", () => {
		expect(openFileCount()).toBe(0);
	});
});
