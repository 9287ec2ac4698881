import { readFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { type ByteSource, bytesSource } from "../../src/bytes/source.js";
import { exfat } from "../../src/filesystem/exfat/index.js";
import { run, temporaryFolder, trials } from "../support/tools.js";
import { fill, mkfsExfat, mounted, openExfat, unmountable } from "./exfat-images.js";
import { explore, tolerate } from "./explore.js";
import { filesystemTree, folderTree, noise, openFile } from "./ext-images.js";
import { grow } from "./grow.js";

const folder = await temporaryFolder();
const image = path.join(folder, "fs.img");
const at = path.join(folder, "mounted");
const reason = unmountable(folder);

describe.skipIf(reason !== "")(`exFAT as exfat-fuse writes it ${reason}`, () => {
	it.each([
		["-L Štítek", 512, 500],
		["-c 512", 512, 100],
		["-c 128K", 512, 50],
		["-c 4K -L four", 4096, 50],
	])("mkfs.exfat %s, sectors of %i", async (options, sectorSize, many) => {
		await mkfsExfat(image, options, 64, sectorSize);
		const work = async () => {
			await fill(at, many);
			return folderTree(at);
		};
		const expected = await mounted(image, at, work, sectorSize);
		const { source } = await openFile(image);
		await using _ = source;
		const filesystem = await openExfat(source);
		expect(await filesystemTree(filesystem)).toEqual(expected);
		expect(filesystem.kind).toBe("exfat");
		expect(filesystem.notes).toEqual([]);
		const [uuid, label] = ["UUID", "LABEL"].map((tag) => run("blkid", "-p", "-s", tag, "-o", "value", image));
		expect(filesystem.uuid).toBe((await uuid)?.trim());
		expect(filesystem.label).toBe((await label)?.trim());
		const dump = await run("dump.exfat", image);
		const [, size, free] = /Cluster size:\s+(\d+)[^]*Free Clusters:\s+(\d+)/.exec(dump) ?? [];
		expect(await filesystem.free?.()).toBe(Number(size) * Number(free));
		expect(await filesystem.stat("/ONE/TWO/ŽLUŤOUČKÝ KŮŇ")).toMatchObject({ type: "directory" });
		for (const nothing of ["/no", "/one/no", "/one/file-1/x"]) {
			expect(await filesystem.stat(nothing)).toBeUndefined();
			await expect(filesystem.list(nothing)).rejects.toMatchObject({ kind: "not-found" });
			await expect(filesystem.open(nothing)).rejects.toMatchObject({ kind: "not-found" });
		}
		expect(await run("fsck.exfat", "-n", image)).toContain("clean");
	});
});

describe.skipIf(reason !== "")(`exFAT that grew ${reason}`, () => {
	it.each(Array.from({ length: trials(1) }, (_, i) => i + Number(process.env["FC_SEED"] ?? 1)))(
		"at random, seed %i",
		async (seed) => {
			await mkfsExfat(image, ["-c 512", "-c 4K", "-c 32K"][seed % 3] ?? "", 64);
			const expected = await mounted(image, at, async () => {
				await grow(at, seed, 100, ["a", "b", "a/c"]);
				return folderTree(at);
			});
			expect(await filesystemTree(await openExfat(bytesSource(await readFile(image))))).toEqual(expected);
		},
	);
});

/** How long it took to see all that can be seen, in milliseconds. */
async function explored(source: ByteSource): Promise<number> {
	const begin = performance.now();
	const filesystem = await tolerate(exfat.open(source));
	if (filesystem !== undefined) await explore(filesystem);
	return performance.now() - begin;
}

describe.skipIf(reason !== "")(`damaged and hostile exFAT ${reason}`, () => {
	let bytes = new Uint8Array();
	/** Where sets of entries begin. */
	let sets: number[] = [];

	beforeAll(async () => {
		await mkfsExfat(image, "-c 4K", 8);
		await mounted(image, at, () => fill(at, 40));
		bytes = new Uint8Array(await readFile(image));
		for (let i = 4096; i < bytes.length; i += 32) if (bytes[i] === 0x85 && bytes[i + 32] === 0xc0) sets.push(i);
	});

	/** Makes the checksum of a set right again, so that changes are looked into. */
	function reseal(set: number) {
		let sum = 0;
		const length = ((bytes[set + 1] ?? 0) + 1) * 32;
		for (let i = 0; i < length; i++) {
			if (i !== 2 && i !== 3) sum = (((sum << 15) | (sum >>> 1)) + (bytes[set + i] ?? 0)) & 0xffff;
		}
		new DataView(bytes.buffer).setUint16(set + 2, sum, true);
	}

	it("any change to entries, with checksums that are right, and to the FAT is an error or harmless", async () => {
		expect(sets.length).toBeGreaterThan(40);
		const view = new DataView(bytes.buffer);
		const fat = view.getUint32(80, true) * 512;
		const value = fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 2, 3, 0x7f, 0x80, 0xff));
		const change = fc.tuple(fc.boolean(), fc.nat(), fc.nat(95), value);
		const original = bytes.slice();
		await fc.assert(
			fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 10 }), async (changes) => {
				for (const [inFat, which, offset, byte] of changes) {
					const set = sets[which % sets.length] ?? 0;
					if (inFat) bytes[fat + (which % 1200)] = byte;
					else bytes[set + offset] = byte;
					reseal(set);
				}
				try {
					expect(await explored(bytesSource(bytes, "mutated.img"))).toBeLessThan(10_000);
				} finally {
					bytes.set(original);
				}
			}),
			{ numRuns: trials(80) },
		);
	});

	it("what is damaged is told with its place and the way out", async () => {
		const set = sets.find((i) => bytes[i + 35] === 5 && bytes[i + 66] === 0x65) ?? sets[0] ?? 0;
		const changed = bytes.slice();
		changed[set + 70] = (changed[set + 70] ?? 0) ^ 1;
		const filesystem = await openExfat(bytesSource(changed, "x.img"));
		await expect(filesystemTree(filesystem)).rejects.toMatchObject({
			...{ kind: "damaged", file: "x.img", offset: set, hint: expect.stringContaining("fsck.exfat") },
		});
		const serialChanged = bytes.with(100, (bytes[100] ?? 0) ^ 1);
		await expect(exfat.open(bytesSource(serialChanged, "x.img"))).rejects.toMatchObject({
			...{ kind: "damaged", offset: 11 * 512, message: expect.stringContaining("checksum") },
		});
		expect((await openExfat(bytesSource(bytes.with(106, 2)))).notes).toEqual([
			expect.stringContaining("not unmounted"),
		]);
	});

	it("a volume that was cut short reads as far as it goes, and what is no exFAT is not mine", async () => {
		for (const length of [0, 100, 512, 7000, 3 << 20]) {
			expect(await explored(bytesSource(bytes.subarray(0, length)))).toBeLessThan(10_000);
		}
		expect(await exfat.open(bytesSource(noise(1 << 20, 3)))).toBeUndefined();
	});
});
