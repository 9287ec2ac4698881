import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { isStore, readBytes } from "../../src/bytes/source.js";
import { checksum } from "../../src/volume/md/superblock.js";
import type { Volume } from "../../src/volume/volume.js";
import { memoryStore } from "../filesystem/store.js";
import { because, missing, run, temporaryFolder, trials } from "../support/tools.js";
import { feed } from "./images.js";
import { assembledFrom, numberSectors } from "./lvm.js";
import { dataOf, places, type Version, writeMember } from "./md.js";

process.env["PATH"] += ":/usr/sbin:/sbin";

const KiB = 1024;
const versions = Object.keys(places) as readonly Version[];

/** Members whose sectors are numbered, in the order of their numbers. */
function members(version: Version, sizes: readonly number[], array: Parameters<typeof writeMember>[3]) {
	return sizes.map((size, number) => {
		const image = new Uint8Array(size);
		numberSectors(image, number, 0);
		const at = places[version](size);
		image.fill(0, at, at + 4096);
		writeMember(image, version, number, array);
		return image;
	});
}

const only = (volumes: readonly Volume[]): Volume => {
	const [volume, ...others] = volumes;
	if (volume === undefined || others.length > 0) throw new Error(`${volumes.length} volumes`);
	return volume;
};

/** Which member each chunk of the volume is from, and which of its chunks. */
async function chunksOf({ source, size }: Volume, chunk: number, dataAt: number, most = 24): Promise<string[]> {
	const found: string[] = [];
	for (let at = 0; at < Math.min(size, most * chunk); at += chunk) {
		const bytes = await readBytes(source, at, chunk);
		const view = new DataView(bytes.buffer);
		for (let sector = 0; sector < chunk / 512; sector++) {
			expect(view.getUint32(sector * 512)).toBe(view.getUint32(0) + sector);
			expect(view.getUint32(sector * 512 + 504)).toBe(view.getUint32(504));
		}
		found.push(`${view.getUint32(504)}:${(view.getUint32(0) * 512 - dataAt) / chunk}`);
	}
	return found;
}

describe.skipIf(missing("mdadm"))(`the superblocks of these tests ${because("mdadm")}`, async () => {
	const folder = await temporaryFolder();

	it.each(versions)("are what mdadm takes for version %s", async (version) => {
		const images = members(version, [1 << 20, 1 << 20], { level: 1, count: 2, events: 12 });
		for (const [number, image] of images.entries()) {
			const file = path.join(folder, "member.img");
			await writeFile(file, image);
			const report = await run("mdadm", "--examine", file);
			expect(report).toMatch(/Checksum : [0-9a-f]+ - correct/);
			expect(report).toMatch(new RegExp(`Version : ${version.replace(/^1\..*/, version === "1.0" ? "1.0" : version)}`));
			expect(report).toMatch(/Raid Level : raid1/);
			expect(report).toMatch(/Events : 12/);
			expect(report).toMatch(
				version === "0.90" ? new RegExp(`this +${number}`) : new RegExp(`Device Role : Active device ${number}`),
			);
			const [, uuid = ""] = /UUID : ([0-9a-f:]+)/.exec(report) ?? [];
			const { volumes } = await assembledFrom(images);
			expect(only(volumes).assembled?.devices).toContain(`/dev/disk/by-id/md-uuid-${uuid}`);
		}
	});
});

describe("md arrays", () => {
	it.each(versions)("a mirror of version %s, whole and degraded", async (version) => {
		const [first, second] = members(version, [1 << 20, 1 << 20], { level: 1, count: 2 });
		if (!first || !second) throw new Error("two members");
		const data = dataOf(version, 1 << 20);
		for (const images of [[first, second], [second, first], [second]]) {
			const volume = only((await assembledFrom(images)).volumes);
			const image = images.length === 1 ? second : first;
			expect(await readBytes(volume.source, 0, 5000)).toEqual(image.slice(data.at, data.at + 5000));
			expect(volume).toMatchObject({ scheme: "md", size: Math.floor(data.size / 4096) * 4096 });
			const device = version === "0.90" ? "/dev/md3" : "/dev/md/data";
			expect(volume.assembled?.devices[0]).toBe(device);
		}
	});

	it("does not take a member that was left out, or is being filled, for current", async () => {
		const array = { level: 1, count: 2 };
		const [stale = new Uint8Array(), current = new Uint8Array()] = members("1.2", [1 << 20, 1 << 20], array);
		writeMember(current, "1.2", 1, { ...array, events: 20, roles: [0xfffe, 1] });
		const { volumes, used, parts } = await assembledFrom([stale, current]);
		expect(await chunksOf(only(volumes), 4096, 64 * KiB, 1)).toEqual(["1:0"]);
		expect([...used]).toEqual(parts);
		writeMember(stale, "1.2", 0, { ...array, features: 2 });
		writeMember(current, "1.2", 1, array);
		expect(await chunksOf(only((await assembledFrom([stale, current])).volumes), 4096, 64 * KiB, 1)).toEqual(["1:0"]);
	});

	it.each(["1.0", "0.90"] as const)("a mirror of whole disks, version %s, and its partitions", async (version) => {
		const folder = await temporaryFolder();
		const size = 4 << 20;
		const array = new Uint8Array(dataOf(version, size).size);
		const file = path.join(folder, "array.img");
		await writeFile(file, array);
		await feed("label: dos\nsize=1M, type=83\ntype=83\n", "sfdisk", "-q", file);

		const images = [0, 1].map(() => new Uint8Array(size));
		for (const [number, image] of images.entries()) {
			image.set(await readFile(file));
			writeMember(image, version, number, { level: 1, count: 2, name: "host:7" });
		}
		const { volumes, parts } = await assembledFrom(images, memoryStore);
		expect(parts.map(({ scheme }) => scheme)).toEqual(["whole-disk", "whole-disk"]);
		const minor = version === "0.90" ? 3 : 7;
		expect(volumes.map(({ assembled }) => assembled?.devices[0])).toEqual([`/dev/md${minor}p1`, `/dev/md${minor}p2`]);
		const source = volumes[1]?.source;
		if (!source || !isStore(source)) throw new Error("not a store");
		await source.write(10, Uint8Array.of(1, 2, 3));
		const at = (volumes[1]?.at ?? 0) + 10;
		for (const image of images) expect([...image.subarray(at, at + 3)]).toEqual([1, 2, 3]);
	});

	it("RAID 0 and linear, in the order of their places", async () => {
		const sizes = [1 << 20, 1 << 20, 1 << 20];
		const array = { level: 0, count: 3, chunk: 16 * KiB, roles: [2, 0, 1] };
		const raid0 = only((await assembledFrom(members("1.2", sizes, array))).volumes);
		expect(raid0.size).toBe(3 * (1024 - 64) * KiB);
		expect(await chunksOf(raid0, 16 * KiB, 64 * KiB, 5)).toEqual(["1:0", "2:0", "0:0", "1:1", "2:1"]);
		const linear = only((await assembledFrom(members("1.2", sizes, { ...array, level: -1 }))).volumes);
		const chunks = await chunksOf(linear, 64 * KiB, 64 * KiB, 99);
		expect(chunks.filter((_, i) => i % 15 === 0)).toEqual(["1:0", "2:0", "0:0"]);
	});

	it("RAID 0 over members of different sizes, by the layout that it names", async () => {
		const sizes = [64 + 32, 64 + 16, 64 + 48].map((size) => size * KiB);
		const array = { level: 0, count: 3, chunk: 4 * KiB, features: 4096 };
		// One more than a whole number of stripes of what is left begins the second zone.
		const alternate = only((await assembledFrom(members("1.2", sizes, { ...array, layout: 2 }))).volumes);
		expect((await chunksOf(alternate, 4 * KiB, 64 * KiB)).slice(10)).toEqual([
			"1:3",
			"2:3",
			"0:4",
			"2:4",
			"0:5",
			"2:5",
			"0:6",
			"2:6",
			"0:7",
			"2:7",
			"2:8",
			"2:9",
			"2:10",
			"2:11",
		]);
		const original = only((await assembledFrom(members("1.2", sizes, { ...array, layout: 1 }))).volumes);
		expect(original.size).toBe(alternate.size);
		const unsaid = await assembledFrom(members("1.2", sizes, { ...array, features: 0 }));
		expect([...unsaid.problems.values()]).toMatchObject([{ kind: "unsupported" }]);
	});

	// The figures of md(4): what is in a row of the picture is a chunk of each member.
	it.each([
		["near, 2 copies of 3", 0x102, 3, ["0:0", "2:0", "1:1", "0:2", "2:2", "1:3"]],
		["near, 2 copies of 4", 0x102, 4, ["0:0", "2:0", "0:1", "2:1"]],
		["far, 2 copies of 2", 0x201, 2, ["0:0", "1:0", "0:1", "1:1"]],
		["offset, 2 copies of 3", 0x10201, 3, ["0:0", "1:0", "2:0", "0:2", "1:2", "2:2"]],
	])("RAID 10, %s", async (_, layout, count, want) => {
		const chunk = 16 * KiB;
		const sizes = Array.from({ length: count }, () => 1 << 20);
		const images = members("1.2", sizes, { level: 10, count, chunk, layout });
		const volume = only((await assembledFrom(images)).volumes);
		expect(volume.size).toBe(Math.floor((count * 60) / 2) * chunk);
		expect(await chunksOf(volume, chunk, 64 * KiB, want.length)).toEqual(want);
	});

	it.each([0x102, 0x103, 0x201, 0x301, 0x10201])(
		"RAID 10 of layout %i reads what it wrote, from any half",
		async (layout) => {
			const chunk = 4 * KiB;
			const images = members(
				"1.2",
				[1, 1, 1].map((size) => size * 128 * KiB),
				{ level: 10, count: 3, chunk, layout },
			);
			const volume = only((await assembledFrom(images, memoryStore)).volumes);
			if (!isStore(volume.source)) throw new Error("not a store");
			const bytes = Uint8Array.from({ length: volume.size }, (_, i) => (i * 31) >> 5);
			await volume.source.write(0, bytes);
			for (const lost of [0, 1, 2]) {
				const half = only((await assembledFrom(images.filter((_, i) => i !== lost))).volumes);
				expect(Buffer.compare(await readBytes(half.source, 0, half.size), bytes)).toBe(0);
			}
			const one = await assembledFrom(images.slice(0, 1));
			const lacks = layout === 0x103 || layout === 0x301 ? 0 : 1;
			expect([...one.problems.values()].filter(({ kind }) => kind === "not-found")).toHaveLength(lacks);
		},
	);

	it.each([
		["multipath", { level: -4, count: 2 }, "level -4"],
		["an array that is being reshaped", { level: 1, count: 2, features: 4 }, "reshaped"],
		["far sets", { level: 10, count: 2, chunk: 4096, layout: 0x20201 }, "layout 0x20201"],
	])("refuses %s by name", async (_, array, message) => {
		const images = members(
			"1.2",
			Array.from({ length: array.count }, () => 1 << 18),
			array,
		);
		const { volumes, problems } = await assembledFrom(images);
		expect([...problems.values()]).toMatchObject([{ kind: "unsupported", message: expect.stringContaining(message) }]);
		await expect(only(volumes).source.read(0, new Uint8Array(1))).rejects.toMatchObject({ kind: "unsupported" });
	});

	it("names what is missing", async () => {
		const images = members("1.2", [1 << 18, 1 << 18, 1 << 18], { level: 0, count: 3, chunk: 4096 });
		const { problems } = await assembledFrom(images.slice(0, 1));
		expect([...problems.values()]).toMatchObject([
			{ kind: "not-found", message: expect.stringContaining("lacks 2 of its 3 members (1, 2)") },
		]);
	});

	it.each(versions)("survives any change to superblocks of version %s", async (version) => {
		const levels = fc.constantFrom(
			{ level: 1, count: 2 },
			{ level: 0, count: 2, chunk: 4096 },
			{ level: -1, count: 2 },
			{ level: 10, count: 2, chunk: 4096, layout: 0x201 },
			{ level: 5, count: 3, chunk: 4096, layout: 2 },
			{ level: 6, count: 4, chunk: 4096, layout: 10 },
		);
		const change = fc.tuple(fc.oneof(fc.nat(260), fc.nat(4095)), fc.oneof(fc.nat(255), fc.constantFrom(0, 0x7f, 0xff)));
		await fc.assert(
			fc.asyncProperty(
				levels,
				fc.array(change, { minLength: 1, maxLength: 6 }),
				fc.boolean(),
				async (array, changes, mend) => {
					const images = members(version, [1 << 18, 1 << 18], array);
					const [image = new Uint8Array()] = images;
					const at = places[version](image.length);
					for (const [offset, byte] of changes) if (offset > 3) image[at + offset] = byte;
					if (mend) mendChecksum(image, version);
					const begin = performance.now();
					const { volumes, problems } = await assembledFrom(images);
					for (const problem of problems.values()) expect(problem).toBeInstanceOf(AnyvisorError);
					for (const { source, size } of volumes) {
						for (const where of [0, Math.floor(size / 2)]) {
							try {
								await source.read(where, new Uint8Array(Math.min(size - where, 20_000)));
							} catch (error) {
								if (!(error instanceof AnyvisorError)) throw error;
							}
						}
					}
					expect(performance.now() - begin).toBeLessThan(2000);
				},
			),
			{ numRuns: trials(150) },
		);
	});
});

function mendChecksum(image: Uint8Array, version: Version) {
	const at = places[version](image.length);
	const view = new DataView(image.buffer, at);
	const length = version === "0.90" ? 4096 : 256 + 2 * view.getUint32(220, true);
	const own = version === "0.90" ? 152 : 216;
	if (length <= 4096) view.setUint32(own, checksum(image.subarray(at, at + length), own), true);
}
