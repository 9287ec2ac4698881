import { copyFile, open, readFile, stat, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import type { Disk } from "../../src/disk/disk.js";
import { openDisk } from "../../src/disk/registry.js";
import { geometryOf } from "../../src/disk/vhd/geometry.js";
import { vhd } from "../../src/disk/vhd/index.js";
import { Footer } from "../../src/disk/vhd/layout.js";
import { type VhdWriteOptions, writeVhd } from "../../src/disk/vhd/write.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { fileSink, listExtents, readAll, withDisk } from "./support.js";
import { inMemory } from "./vhd-chains.js";

const MIB = 1024 * 1024;
const folder = await temporaryFolder();
const at = (name: string) => path.join(folder, name);

function zeros(size: number): Disk {
	return {
		name: "zeros",
		size,
		format: "raw",
		sectorSize: 512,
		read: (_, into) => Promise.resolve(void into.fill(0)),
		async *extents() {
			yield { at: 0, length: size, kind: "zero" };
		},
	};
}

async function patch(name: string, offset: number, bytes: readonly number[]): Promise<void> {
	const file = await open(at(name), "r+");
	await file.write(Uint8Array.from(bytes), 0, bytes.length, offset);
	await file.close();
}

describe("VHD geometry", () => {
	it("is what Hyper-V and QEMU wrote for disks of these sizes", () => {
		// Bytes, and the geometry in the footers of real files.
		const known = [
			[10_485_760, 10_479_616],
			[4_194_304, 4_177_920],
			[136_365_211_648, 136_363_130_880],
		] as const;
		for (const [size, inGeometry] of known) {
			const { cylinders, heads, sectorsPerTrack } = geometryOf(size / 512);
			expect(cylinders * heads * sectorsPerTrack * 512).toBe(inGeometry);
		}
		expect(geometryOf(2 ** 33)).toEqual({ cylinders: 65535, heads: 16, sectorsPerTrack: 255 });
	});
});

describe("writing VHD", () => {
	const write = async (name: string, options: VhdWriteOptions) => {
		await using sink = await fileSink(at(name));
		const { size } = await writeVhd(zeros(9 * MIB), sink, options);
		await sink.commit(size);
		return readFile(at(name));
	};

	it("looks at no clock: the same disk gives the same file, two empty disks have two ids", async () => {
		const first = await write("same.vhd", {});
		vi.useFakeTimers({ now: Date.UTC(2040, 0, 1), toFake: ["Date"] });
		expect(Buffer.compare(await write("same.vhd", {}), first)).toBe(0);
		vi.useRealTimers();
		const idOf = (image: Uint8Array) => Footer.parse(image).uniqueId;
		expect(idOf(await write("other.vhd", {}))).not.toBe(idOf(first));
		expect(Footer.parse(first).timeStamp).toBe(0);
	});

	it("dates the disk when the caller does", async () => {
		const image = await write("dated.vhd", { timeStamp: Date.UTC(2026, 5, 1) / 1000, variant: "fixed" });
		const { details } = await vhd.open(bytesSource(image), inMemory({}));
		expect(details).toMatchObject({ created: "2026-06-01T00:00:00.000Z", uniqueId: expect.stringMatching(/-8/) });
		expect(Footer.parse(await write("older.vhd", { timeStamp: 5, variant: "fixed" }), 9 * MIB).timeStamp).toBe(0);
	});

	it("has no holes in a fixed file when its space is asked for, whether the file system reserves it or not", async () => {
		const options = { variant: "fixed", preallocation: "full" } as const;
		for (const [name, reserve] of [
			["reserved.vhd", undefined],
			["filled.vhd", () => Promise.resolve(false)],
		] as const) {
			await using sink = await fileSink(at(name));
			const bare = reserve === undefined ? sink : { ...sink, name: sink.name, write: sink.write.bind(sink), reserve };
			const { size } = await writeVhd(zeros(9 * MIB), bare, options);
			await sink.commit(size);
			expect((await stat(at(name))).blocks * 512, name).toBeGreaterThanOrEqual(9 * MIB);
		}
	});

	it("refuses blocks, sectors and preallocation that the format does not have", async () => {
		const wrong = [{ unitSize: MIB }, { preallocation: "full" }] as const;
		for (const options of wrong) {
			await expect(write("never.vhd", options)).rejects.toMatchObject({ kind: "usage", hint: expect.any(String) });
		}
		await expect(write("never.vhd", { sectorSize: 4096 })).rejects.toMatchObject({
			kind: "unsupported",
			hint: expect.any(String),
		});
		const large = { ...zeros(9 * MIB), sectorSize: 4096 };
		await using sink = await fileSink(at("never.vhd"));
		await expect(writeVhd(large, sink, {})).rejects.toMatchObject({ kind: "unsupported" });
		await expect(writeVhd(large, sink, { sectorSize: 512 })).resolves.toMatchObject({ size: expect.any(Number) });
	});

	it("reads footers of 511 bytes, as they were before Virtual PC 2004", async () => {
		const image = await write("old.vhd", { variant: "fixed" });
		const old = bytesSource(image.subarray(0, -1), "old.vhd");
		const disk = await openDisk(old);
		expect(disk).toMatchObject({ format: "vhd/fixed", size: 9 * MIB });
	});
});

describe.skipIf(missing("qemu-img", "qemu-io"))(`VHD ${because("qemu-img", "qemu-io")}`, () => {
	const create = async (name: string, size: string, options = "force_size=on") => {
		await run("qemu-img", "create", "-q", "-f", "vpc", "-o", options, at(name), size);
		await run("qemu-io", "-f", "vpc", "-c", "write -P 5 2M 64k", at(name));
	};

	beforeAll(() => create("intact", "8M"));

	it("takes the size that QEMU takes, rounded to the geometry or not", async () => {
		await create("rounded", "1000000000", "subformat=dynamic");
		await create("exact", "1000000000");
		for (const name of ["rounded", "exact"]) {
			const info = JSON.parse(await run("qemu-img", "info", "-f", "vpc", "--output=json", at(name)));
			expect(await withDisk(at(name), (disk) => Promise.resolve(disk.size))).toBe(info["virtual-size"]);
		}
	});

	it("gives a disk of Virtual PC the size of its geometry, as QEMU does", async () => {
		await create("vpc", "100M");
		const bytes = await readFile(at("vpc"));
		const footer = bytes.subarray(-512);
		footer.set(Buffer.from("vpc "), Footer.offsets.creatorApplication);
		footer.set([0, 192, 16, 63], Footer.offsets.cylinders);
		footer.fill(0, Footer.offsets.checksum, Footer.offsets.checksum + 4);
		footer.writeUInt32BE(~footer.reduce((sum, byte) => sum + byte, 0) >>> 0, Footer.offsets.checksum);
		footer.copy(bytes, 0);
		await writeFile(at("vpc"), bytes);
		const info = JSON.parse(await run("qemu-img", "info", "-f", "vpc", "--output=json", at("vpc")));
		expect(await withDisk(at("vpc"), (disk) => Promise.resolve(disk.size))).toBe(info["virtual-size"]);
		expect(info["virtual-size"]).toBe(192 * 16 * 63 * 512);
	});

	it("opens by the copy of a footer that is damaged or cut off", async () => {
		const original = await withDisk(at("intact"), readAll);
		const { length } = await readFile(at("intact"));
		for (const name of ["bad-footer", "no-footer", "bad-copy"]) await copyFile(at("intact"), at(name));
		await patch(
			"bad-footer",
			length - 500,
			Array.from({ length: 100 }, () => 0xff),
		);
		await truncate(at("no-footer"), length - 512);
		await patch("bad-copy", 12, [1, 2, 3]);
		for (const name of ["bad-footer", "no-footer", "bad-copy"]) {
			expect(Buffer.compare(await withDisk(at(name), readAll), original), `of ${name}`).toBe(0);
		}
	});

	it("says what is damaged, where, and what to do", async () => {
		const cases: [string, () => Promise<void>, string, RegExp][] = [
			["truncated", () => truncate(at("truncated"), 100_000), "damaged", /truncated: block 1 should end at/],
			["header", () => patch("header", 512, [0]), "damaged", /dynamic disk header is missing/],
			["checksum", () => patch("checksum", 700, [9]), "damaged", /checksum is wrong/],
			["bat", () => patch("bat", 1536, [0x7f]), "damaged", /truncated: block 0/],
			["short", () => truncate(at("short"), 700), "damaged", /ends at byte 700/],
		];
		for (const [name, damage, kind, message] of cases) {
			await copyFile(at("intact"), at(name));
			await damage();
			const error = await withDisk(at(name), readAll).catch((error: unknown) => error);
			expect(error, `of ${name}`).toMatchObject({
				kind,
				message: expect.stringMatching(message),
				file: at(name),
				offset: expect.any(Number),
				hint: expect.any(String),
			});
		}
	});

	it("writes the largest disk there can be in no time, and refuses a larger one", async () => {
		{
			await using sink = await fileSink(at("largest.vhd"));
			const written = await vhd.write?.(zeros(2040 * 1024 ** 3), sink, {});
			await sink.commit(written?.size ?? 0);
		}
		const info = JSON.parse(await run("qemu-img", "info", "-f", "vpc", "--output=json", at("largest.vhd")));
		expect(info["virtual-size"]).toBe(2040 * 1024 ** 3);
		expect(await withDisk(at("largest.vhd"), listExtents)).toHaveLength(1);
		await using sink = await fileSink(at("larger.vhd"));
		await expect(vhd.write?.(zeros(2040 * 1024 ** 3 + 512), sink, {})).rejects.toMatchObject({ kind: "refused" });
	});

	it("knows the holes of a fixed disk, and ends it where the footer begins", async () => {
		{
			await using sink = await fileSink(at("fixed.vhd"));
			const written = await vhd.write?.(zeros(64 * MIB), sink, { variant: "fixed" });
			await sink.commit(written?.size ?? 0);
		}
		const extents = await withDisk(at("fixed.vhd"), listExtents);
		expect(extents.at(-1)).toMatchObject({ length: expect.any(Number) });
		expect(extents.reduce((all, { length }) => all + length, 0)).toBe(64 * MIB);
	});
});
