import { readFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Extent } from "../../src/disk/disk.js";
import { because, missing, run, temporaryFolder, trials } from "../support/tools.js";
import { listExtents, openFileCount, withDisk } from "./support.js";

const MIB = 1 << 20;
const SECTOR = 512;

/** What qemu-io does to an image, and the model with it. */
interface Write {
	readonly sector: number;
	readonly sectors: number;
	/** `pattern`: data; `zero`: a request to make it zero, as cheaply as the format can. */
	readonly kind: "pattern" | "zero";
	readonly pattern: number;
}

interface Subject {
	readonly format: string;
	readonly options?: string;
	/** Images that continue each other, the first write going to the bottom one. */
	readonly layers?: number;
	/** How a layer names the one below. */
	readonly backing?: string;
}

const subjects: readonly Subject[] = [
	{ format: "raw" },
	{ format: "qcow2" },
	{ format: "qcow2", options: "cluster_size=512" },
	{ format: "qcow2", options: "cluster_size=2M,lazy_refcounts=on" },
	{ format: "qcow2", options: "compat=0.10" },
	{ format: "qcow2", options: "extended_l2=on,cluster_size=16k" },
	{ format: "qcow2", layers: 3, backing: "qcow2" },
	{ format: "qcow2", options: "extended_l2=on", layers: 2, backing: "qcow2" },
	{ format: "vdi" },
	{ format: "vdi", options: "static=on" },
	{ format: "vpc", options: "force_size=on" },
	{ format: "vpc", options: "force_size=on,subformat=fixed" },
	{ format: "vhdx", options: "block_size=1M" },
	{ format: "vhdx", options: "block_size=1M,subformat=fixed" },
	{ format: "parallels", options: "cluster_size=64k" },
	{ format: "vmdk" },
	{ format: "vmdk", options: "zeroed_grain=on" },
	{ format: "vmdk", options: "subformat=monolithicFlat" },
	{ format: "vmdk", options: "subformat=twoGbMaxExtentSparse" },
	{ format: "vmdk", layers: 3, backing: "vmdk" },
];

/** Not a whole number of any format's units. */
const SIZE = 9 * MIB + 3 * SECTOR;

const writes = fc.array(
	fc.record({
		// Near the beginning as often as anywhere: writes that meet are the interesting ones.
		sector: fc.oneof(fc.nat(SIZE / SECTOR - 1), fc.nat(300)),
		sectors: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 3000 })),
		kind: fc.constantFrom("pattern", "pattern", "zero"),
		pattern: fc.integer({ min: 1, max: 255 }),
	}),
	{ minLength: 1, maxLength: 12 },
);

/** Applies the writes to the image with qemu-io, and to the model. */
async function apply(file: string, format: string, writes: readonly Write[], model: Uint8Array): Promise<void> {
	const commands = writes.flatMap(({ sector, sectors, kind, pattern }) => {
		const at = sector * SECTOR;
		const length = Math.min(sectors * SECTOR, model.length - at);
		model.fill(kind === "pattern" ? pattern : 0, at, at + length);
		return ["-c", `write ${kind === "pattern" ? `-P ${pattern}` : "-z"} ${at} ${length}`];
	});
	await run("qemu-io", "-f", format, ...commands, file);
}

/** Whether what an extent says is true of the content: zero, or to be found at that place of that file. */
async function agrees({ kind, stored, length }: Extent, content: Uint8Array): Promise<boolean> {
	if (kind === "zero") return content.every((byte) => byte === 0);
	if (stored === undefined || stored.compressed === true) return false;
	const bytes = new Uint8Array(length);
	await stored.source.read(stored.at, bytes);
	return Buffer.compare(bytes, content) === 0;
}

async function expectModel(file: string, model: Uint8Array, reads: readonly [number, number][], format: string) {
	await withDisk(
		file,
		async (disk) => {
			expect(disk.size).toBe(model.length);
			const whole = new Uint8Array(model.length).fill(0xee);
			await disk.read(0, whole);
			expect(Buffer.compare(whole, model)).toBe(0);
			await Promise.all(
				reads.map(async ([first, length]) => {
					const at = first % model.length;
					const part = new Uint8Array(Math.min(length, model.length - at)).fill(0xee);
					await disk.read(at, part);
					expect(Buffer.compare(part, model.subarray(at, at + part.length)), `${part.length} bytes at ${at}`).toBe(0);
				}),
			);
			const wrong: Extent[] = [];
			let next = 0;
			for (const extent of await listExtents(disk)) {
				const { at, length } = extent;
				if (at !== next || !(await agrees(extent, model.subarray(at, at + length)))) wrong.push(extent);
				next = at + length;
			}
			expect(wrong).toEqual([]);
			expect(next).toBe(model.length);
		},
		// Nothing marks a raw disk, and its content may look like anything.
		format === "raw" ? format : undefined,
	);
}

describe.skipIf(missing("qemu-io"))(`what qemu-io writes at random, we read ${because("qemu-io")}`, async () => {
	const folder = await temporaryFolder();

	for (const [number, subject] of subjects.entries()) {
		const { format, options, layers = 1, backing } = subject;
		it(`${format} ${options ?? ""} ${layers > 1 ? `in ${layers} layers` : ""}`, async () => {
			await fc.assert(
				fc.asyncProperty(
					fc.array(writes, { minLength: layers, maxLength: layers }),
					fc.array(fc.tuple(fc.nat(SIZE - 1), fc.integer({ min: 1, max: 200_000 })), { maxLength: 12 }),
					async (written, reads) => {
						const model = new Uint8Array(SIZE);
						let below = "";
						for (const [layer, some] of written.entries()) {
							const name = `${number}-${layer}.${format}`;
							const file = path.join(folder, name);
							const onto = below === "" || backing === undefined ? [] : ["-b", below, "-F", backing];
							const set = options === undefined ? [] : ["-o", options];
							await run("qemu-img", "create", "-q", "-f", format, ...set, ...onto, file, String(SIZE));
							await apply(file, format, some, model);
							below = name;
						}
						await expectModel(path.join(folder, below), model, reads, format);
					},
				),
				{ numRuns: trials(4) },
			);
		});
	}

	it("closes every file", () => {
		expect(openFileCount()).toBe(0);
	});

	it("is judged by a model that qemu-img itself agrees with", async () => {
		const file = path.join(folder, "agreed.qcow2");
		const model = new Uint8Array(2 * MIB);
		await run("qemu-img", "create", "-q", "-f", "qcow2", file, String(model.length));
		const written: Write[] = [
			{ sector: 3, sectors: 700, kind: "pattern", pattern: 9 },
			{ sector: 100, sectors: 200, kind: "zero", pattern: 1 },
		];
		await apply(file, "qcow2", written, model);
		await run("qemu-img", "convert", "-O", "raw", file, path.join(folder, "agreed.raw"));
		expect(Buffer.compare(await readFile(path.join(folder, "agreed.raw")), model)).toBe(0);
	});
});
