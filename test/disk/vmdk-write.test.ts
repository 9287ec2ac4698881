import { createHash } from "node:crypto";
import { open, readdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ByteSink } from "../../src/bytes/sink.js";
import { bytesSource } from "../../src/bytes/source.js";
import type { Disk } from "../../src/disk/disk.js";
import { flatDescriptor } from "../../src/disk/vmdk/descriptor-text.js";
import { VARIANTS } from "../../src/disk/vmdk/mark.js";
import { writeVmdk } from "../../src/disk/vmdk/write.js";
import { contentId, type VmdkWriteOptions } from "../../src/disk/vmdk/write-options.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { fileSink, readAll, withDisk } from "./support.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
/** How much of a disk VMware puts into one file of those it is split into. */
const SPLIT = 2047 * MIB;

const folder = await temporaryFolder();
const inFolder = (name: string) => path.join(folder, name);
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

const diskOf = (bytes: Uint8Array, sectorSize = 512): Disk => ({
	...bytesSource(bytes),
	format: "raw",
	sectorSize,
	async *extents() {
		yield { at: 0, length: bytes.length, kind: "data" };
	},
});

const siblings = (name: string) => fileSink(inFolder(name));

async function write(disk: Disk, name: string, options?: VmdkWriteOptions): Promise<string> {
	await using sink = await fileSink(inFolder(name));
	const { size } = await writeVmdk(disk, sink, { siblings, ...options });
	await sink.commit(size);
	return inFolder(name);
}

/** Bytes that do not compress. */
function noise(length: number): Uint8Array {
	let state = 0x2545f491;
	return Uint8Array.from({ length }, () => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		return state;
	});
}

const content = new Uint8Array(70 * MIB);
content.set(noise(300 * KIB), 100 * KIB);
content.fill(0x66, 34 * MIB, 35 * MIB);
content.set(noise(512), content.length - 512);

describe("writing VMDK", () => {
	it("streams: each write begins where the one before ended", async () => {
		let end = 0;
		const sink = {
			name: "stream.vmdk",
			write(at: number, bytes: Uint8Array) {
				expect(at).toBe(end);
				end += bytes.length;
				return Promise.resolve();
			},
			commit: () => Promise.resolve(),
			[Symbol.asyncDispose]: () => Promise.resolve(),
		};
		const { size } = await writeVmdk(diskOf(content), sink);
		expect(size).toBe(end);
		expect(size % 512).toBe(0);
	});

	it("has a descriptor that importers accept", async () => {
		const head = await readFile(await write(diskOf(content), "described.vmdk"), "latin1");
		const text = head.slice(512, head.indexOf("\0", 512));
		expect(text).toMatch(
			/^# Disk DescriptorFile\nversion=1\nCID=[0-9a-f]{8}\nparentCID=ffffffff\ncreateType="streamOpt/,
		);
		expect(text).toContain(`\nRDONLY ${content.length / 512} SPARSE "`);
		expect(text).toContain('\nddb.adapterType = "lsilogic"\n');
		expect(text).toContain('\nddb.toolsVersion = "2147483647"\n');
		expect(text).not.toMatch(/^[ \t]/m);
		// Room to grow: VirtualBox rewrites it where it stands.
		expect(head.slice(512 + text.length, 21 * 512)).toMatch(/^\0{9000,}$/);
	});

	it("gives the same disk the same file, and another disk another content ID", async () => {
		const first = await readFile(await write(diskOf(content), "first.vmdk"));
		const second = await readFile(await write(diskOf(content), "second.vmdk"));
		expect(sha256(second)).toBe(sha256(first));
		expect(await contentId(diskOf(noise(MIB)))).not.toBe(await contentId(diskOf(content)));
	});

	it("refuses disks with sectors of 4096 bytes, which VMDK does not know", async () => {
		await expect(write(diskOf(content, 4096), "never.vmdk")).rejects.toMatchObject({ kind: "unsupported" });
	});

	it("does not write a descriptor that a file name breaks out of", () => {
		expect(() => flatDescriptor('a" 0\nRW 1 FLAT "/etc/passwd', MIB)).toThrow(/cannot name the file/);
	});

	it("names the files beside it as VMware does, and completes them before it is complete itself", async () => {
		const small = diskOf(noise(MIB));
		for (const [variant, names] of [
			["monolithicFlat", ["named-flat.vmdk"]],
			["vmfs", ["named-flat.vmdk"]],
			["twoGbMaxExtentSparse", ["named-s001.vmdk"]],
			["twoGbMaxExtentFlat", ["named-f001.vmdk"]],
		] as const) {
			const events: string[] = [];
			const recorder = (name: string): ByteSink => ({
				name,
				write: () => Promise.resolve(),
				commit: (size) => Promise.resolve(void events.push(`${name} ${size >= MIB}`)),
				[Symbol.asyncDispose]: () => Promise.resolve(void events.push(`closed ${name}`)),
			});
			const siblings = (name: string) => Promise.resolve(recorder(name));
			await writeVmdk(small, recorder("folder/named.vmdk"), { variant, siblings });
			expect(events).toEqual(names.flatMap((name) => [`${name} true`, `closed ${name}`]));
		}
	});

	it("commits none of its files when it fails, and closes all of them", async () => {
		const events: string[] = [];
		const siblings = (name: string): Promise<ByteSink> =>
			Promise.resolve({
				name,
				write: (at) => (at === 0 ? Promise.reject(new Error("full")) : Promise.resolve()),
				commit: () => Promise.resolve(void events.push("commit")),
				[Symbol.asyncDispose]: () => Promise.resolve(void events.push("closed")),
			});
		await using sink = await fileSink(inFolder("failed.vmdk"));
		const written = writeVmdk(diskOf(noise(MIB)), sink, { variant: "twoGbMaxExtentFlat", siblings });
		await expect(written).rejects.toThrow("full");
		expect(events).toEqual(["closed"]);
	});

	it("says so when there is no place for a second file, or no such grain or space", async () => {
		await using sink = await fileSink(inFolder("never.vmdk"));
		const small = diskOf(noise(MIB));
		for (const [options, message] of [
			[{ variant: "vmfs" }, /second file, never-flat\.vmdk/],
			[{ unitSize: 4096 }, /grains of 4096/],
			[{ unitSize: 3 << 16 }, /grains of 196608/],
			[{ preallocation: "full" }, /sparse VMDK/],
			[{ variant: "twoGbMaxExtentSparse", preallocation: "full", siblings }, /sparse VMDK/],
		] as const) {
			await expect(writeVmdk(small, sink, options)).rejects.toMatchObject({ kind: "usage", message });
		}
		const huge = { ...small, size: 1025 * SPLIT };
		const split = writeVmdk(huge, sink, { variant: "twoGbMaxExtentFlat", siblings });
		await expect(split).rejects.toMatchObject({ kind: "refused", hint: /monolithic/ });
	});

	it("lays data out so that file systems can share it", async () => {
		const source = bytesSource(content);
		const disk: Disk = {
			...diskOf(content),
			async *extents() {
				yield { at: 0, length: content.length, kind: "data", stored: { source, at: 0 } };
			},
		};
		for (const variant of ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "vmfs"] as const) {
			let shared = 0;
			const sharing = (name: string): ByteSink => ({
				name,
				write: () => Promise.resolve(),
				share(at, from, offset, length) {
					expect([at % 65536, from, offset % 4096]).toEqual([0, source, 0]);
					shared += length;
					return Promise.resolve(true);
				},
				commit: () => Promise.resolve(),
				[Symbol.asyncDispose]: () => Promise.resolve(),
			});
			await writeVmdk(disk, sharing("shared.vmdk"), { variant, siblings: (name) => Promise.resolve(sharing(name)) });
			expect(shared).toBe(content.length);
		}
	});

	describe.skipIf(missing("vmdkinfo"))(`as libvmdk sees it ${because("vmdkinfo")}`, () => {
		for (const [variant, type] of [
			["streamOptimized", "Stream optimized"],
			["monolithicSparse", "Monolithic sparse"],
			["monolithicFlat", "Monolithic flat"],
			["twoGbMaxExtentSparse", "2GB extent sparse"],
			["twoGbMaxExtentFlat", "2GB extent flat"],
			["vmfs", "VMFS flat"],
		] as const) {
			it(`${variant} is a disk of that kind and size`, async () => {
				const told = await run("vmdkinfo", await write(diskOf(content), `info-${variant}.vmdk`, { variant }));
				expect(told).toContain(type);
				expect(told).toContain(`(${content.length} bytes)`);
				expect(told).toContain(`0x${(await contentId(diskOf(content))).toString(16).padStart(8, "0")}`);
			});
		}
	});

	describe.skipIf(missing("qemu-img"))(`as qemu-img sees it ${because("qemu-img")}`, () => {
		const compare = (raw: string, file: string) => run("qemu-img", "compare", "-f", "raw", "-F", "vmdk", raw, file);

		it("a flat disk is its descriptor and the raw content", async () => {
			const raw = inFolder("disk-flat.vmdk");
			await writeFile(raw, content);
			const file = inFolder("disk.vmdk");
			const options = { adapterType: "ide", contentId: await contentId(diskOf(content)) } as const;
			await writeFile(file, flatDescriptor("disk-flat.vmdk", content.length, options));
			await expect(compare(raw, file)).resolves.toMatch(/identical/);
			const { "format-specific": specific } = JSON.parse(
				await run("qemu-img", "info", "-f", "vmdk", "--output=json", file),
			);
			expect(specific.data).toMatchObject({ "create-type": "monolithicFlat", cid: options.contentId });
		});

		it("streamOptimized is compressed, and its level counts", async () => {
			const text = new Uint8Array(4 * MIB).map((_, i) => (i * i) >>> 11);
			const sizes: number[] = [];
			for (const level of [0, 1, 9]) {
				const file = await write(diskOf(text), `level-${level}.vmdk`, { level });
				const raw = inFolder("level.raw");
				await writeFile(raw, text);
				await expect(compare(raw, file)).resolves.toMatch(/identical/);
				const info = JSON.parse(await run("qemu-img", "info", "-f", "vmdk", "--output=json", file));
				expect(info["format-specific"].data).toMatchObject({
					"create-type": "streamOptimized",
					extents: [{ compressed: true, "cluster-size": 64 * KIB }],
				});
				sizes.push((await readFile(file)).length);
			}
			const [stored = 0, fast = 0, best = 0] = sizes;
			expect(stored).toBeGreaterThan(text.length);
			expect(fast).toBeLessThan(stored);
			expect(best).toBeLessThan(fast);
		});

		it("any layout of data and zeros is identical", async () => {
			const runs = fc.array(fc.record({ sectors: fc.integer({ min: 1, max: 5000 }), fill: fc.nat(3) }), {
				minLength: 1,
				maxLength: 30,
			});
			await fc.assert(
				fc.asyncProperty(
					runs,
					fc.constantFrom(...VARIANTS),
					fc.integer({ min: 13, max: 20 }),
					async (runs, variant, grain) => {
						const bytes = new Uint8Array(runs.reduce((sum, { sectors }) => sum + sectors, 0) * 512);
						let at = 0;
						for (const { sectors, fill } of runs) {
							bytes.fill(fill, at, at + sectors * 512);
							at += sectors * 512;
						}
						const raw = inFolder("any.raw");
						await writeFile(raw, bytes);
						const file = await write(diskOf(bytes), "any.vmdk", { variant, unitSize: 2 ** grain });
						expect(await compare(raw, file)).toMatch(/identical/);
						expect(await run("qemu-img", "check", "-f", "vmdk", file)).toMatch(/No errors/);
						expect(Buffer.compare(await withDisk(file, readAll), bytes)).toBe(0);
					},
				),
				{ numRuns: 30 },
			);
		});

		it("a disk above 2 GiB is split as VMware splits it", async () => {
			const raw = inFolder("large.raw");
			const file = await open(raw, "w");
			// Around both seams, and the last sector.
			for (const at of [0, SPLIT - 70_000, 2 * SPLIT - 512, 5 * GIB - 512]) {
				await file.write(noise(Math.min(140_000, 5 * GIB - at)), 0, undefined, at);
			}
			await file.truncate(5 * GIB);
			await file.close();
			for (const [variant, letter, type] of [
				["twoGbMaxExtentSparse", "s", 'SPARSE "large-'],
				["twoGbMaxExtentFlat", "f", 'FLAT "large-'],
			] as const) {
				const split = await withDisk(raw, (disk) => write(disk, "large.vmdk", { variant }));
				const lines = (await readFile(split, "latin1")).split("\n").filter((line) => line.startsWith("RW "));
				const offset = letter === "f" ? " 0" : "";
				expect(lines).toEqual([
					`RW 4192256 ${type}${letter}001.vmdk"${offset}`,
					`RW 4192256 ${type}${letter}002.vmdk"${offset}`,
					`RW ${5 * 2 ** 21 - 2 * 4_192_256} ${type}${letter}003.vmdk"${offset}`,
				]);
				expect(await compare(raw, split)).toMatch(/identical/);
				const parts = (await readdir(folder)).filter((name) => name.startsWith(`large-${letter}`));
				expect(parts).toHaveLength(3);
				for (const part of parts) expect((await stat(inFolder(part))).size).toBeLessThan(2 ** 31);
			}
		});
	});
});
