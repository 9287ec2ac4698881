import { copyFile, mkdir, readFile, stat, truncate, unlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import type { ByteSink } from "../../src/bytes/sink.js";
import { bytesSource } from "../../src/bytes/source.js";
import type { Disk } from "../../src/disk/disk.js";
import { writeRaw } from "../../src/disk/raw/write.js";
import { openDisk } from "../../src/disk/registry.js";
import { fileSink as outputFile } from "../../src/source/sink.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { listExtents, openFileCount, readAll, withDisk } from "./support.js";

const MIB = 1024 * 1024;

const folder = await temporaryFolder();
const same = (one: Uint8Array, other: Uint8Array) => Buffer.compare(one, other) === 0;

const content = new Uint8Array(5 * MIB);
for (let i = 0; i < content.length; i++) content[i] = i < 2 * MIB || i > 4 * MIB ? (i * 2_654_435_761) >>> 24 : 0;

/** Cuts the disk into pieces in a folder of its own, as coreutils does, and names the first. */
async function pieces(name: string, size: string): Promise<string> {
	const home = path.join(folder, name);
	await mkdir(home);
	await writeFile(path.join(home, "whole"), content);
	const numbered = ["--numeric-suffixes=1", "--suffix-length=3"];
	await run("split", "-b", size, ...numbered, path.join(home, "whole"), path.join(home, "disk."));
	return path.join(home, "disk.001");
}

describe.skipIf(missing("split"))(`a raw disk in pieces ${because("split")}`, () => {
	it("is put together from those beside the first", async () => {
		const first = await pieces("equal", "1M");
		await withDisk(first, async (disk) => {
			expect(disk).toMatchObject({ format: "raw/split", size: content.length, details: { files: 5 } });
			expect(same(await readAll(disk), content)).toBe(true);
			const part = new Uint8Array(1000);
			await disk.read(MIB - 500, part);
			expect(same(part, content.subarray(MIB - 500, MIB + 500))).toBe(true);
			for (const { at, stored } of await listExtents(disk)) {
				const piece = String(Math.floor(at / MIB) + 1).padStart(3, "0");
				expect([path.basename(stored?.source.name ?? ""), stored?.at]).toEqual([`disk.${piece}`, at % MIB]);
			}
		});
		expect(openFileCount()).toBe(0);
	});

	it("knows the holes of its files", async () => {
		const first = await pieces("holes", "1M");
		const hole = first.replace(/1$/, "3");
		await unlink(hole);
		await writeFile(hole, "");
		await truncate(hole, MIB);
		await withDisk(first, async (disk) => {
			const zero = (await listExtents(disk)).filter(({ kind }) => kind === "zero");
			expect(zero).toEqual([{ at: 2 * MIB, length: MIB, kind: "zero", hole: true }]);
		});
	});

	it("may be cut anywhere, and its last piece may be shorter", async () => {
		const first = await pieces("odd", "1234567");
		await withDisk(first, async (disk) => expect(same(await readAll(disk), content)).toBe(true), "raw");
	});

	it("is what lies in the first piece where that is alone, or came without a folder", async () => {
		const first = await pieces("alone", "1M");
		const alone = await openDisk(bytesSource(await readFile(first), "disk.001"));
		expect([alone.format, alone.size]).toEqual(["raw", MIB]);
		await unlink(first.replace(/1$/, "2"));
		await withDisk(first, async (disk) => {
			expect([disk.format, disk.size]).toEqual(["raw", MIB]);
			expect(same(await readAll(disk), content.subarray(0, MIB))).toBe(true);
		});
	});

	it("is only looked for under the name of a first piece", async () => {
		const first = await pieces("second", "1M");
		for (const name of ["disk.002", "disk.0001", "disk001"]) {
			const file = path.join(path.dirname(first), name);
			if (name !== "disk.002") await copyFile(first, file);
			await withDisk(file, async (disk) => {
				expect([disk.format, disk.size]).toEqual(["raw", MIB]);
				return Promise.resolve();
			});
		}
	});

	it("is damaged where pieces are not of one size", async () => {
		const first = await pieces("sizes", "1M");
		for (const [piece, size] of [
			["2", MIB - 512],
			["5", MIB + 512],
		] as const) {
			const file = first.replace(/1$/, piece);
			await truncate(file, size);
			await expect(withDisk(first, readAll)).rejects.toMatchObject({ kind: "damaged", file });
			await truncate(file, MIB);
		}
		expect(openFileCount()).toBe(0);
	});
});

describe("a raw disk", () => {
	/** A disk in memory that says where its data lies. */
	const source = bytesSource(content);
	const disk: Disk = {
		...source,
		format: "raw",
		sectorSize: 512,
		async *extents() {
			yield { at: 0, length: content.length, kind: "data", stored: { source, at: 0 } };
		},
	};

	async function written(name: string, options: Parameters<typeof writeRaw>[2], change: (sink: ByteSink) => ByteSink) {
		const file = path.join(folder, name);
		await using sink = await outputFile(file);
		const { size } = await writeRaw(disk, change(sink), options);
		await sink.commit(size);
		return file;
	}

	/** What a file system without a certain ability offers. */
	const without = (ability: "reserve" | "share") => (sink: ByteSink) =>
		({
			name: sink.name,
			write: (at, bytes) => sink.write(at, bytes),
			...(ability === "share" && { reserve: (size) => sink.reserve?.(size) ?? Promise.resolve(false) }),
			commit: (size) => sink.commit(size),
			[Symbol.asyncDispose]: () => sink[Symbol.asyncDispose](),
		}) satisfies ByteSink;

	it("has holes where it is zero", async () => {
		const file = await written("sparse.raw", {}, (sink) => sink);
		expect((await stat(file)).blocks * 512).toBeLessThan(4 * MIB);
		expect(same(await readFile(file), content)).toBe(true);
	});

	it("has none when its space is asked for, with and without the file system's help", async () => {
		for (const ability of ["share", "reserve"] as const) {
			const file = await written(`full-without-${ability}.raw`, { preallocation: "full" }, without(ability));
			expect((await stat(file)).blocks * 512, ability).toBeGreaterThanOrEqual(content.length);
			expect(same(await readFile(file), content), ability).toBe(true);
		}
	});

	it("shares no blocks that it must own", async () => {
		let shared = 0;
		const sharing = (sink: ByteSink): ByteSink => ({
			...without("reserve")(sink),
			share: () => {
				shared++;
				return Promise.resolve(false);
			},
		});
		await written("shared.raw", {}, sharing);
		expect(shared).toBeGreaterThan(0);
		shared = 0;
		await written("owned.raw", { preallocation: "full" }, sharing);
		expect(shared).toBe(0);
	});
});
