import { readFile } from "node:fs/promises";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { isStore, readBytes } from "../../src/bytes/source.js";
import { lvmChecksum } from "../../src/volume/lvm2/layout.js";
import { LogicalVolumes } from "../../src/volume/lvm2/logical-volume.js";
import { parseMetadata } from "../../src/volume/lvm2/metadata-text.js";
import { RaidMetadata } from "../../src/volume/lvm2/raid.js";
import { parseVolumeGroup } from "../../src/volume/lvm2/volume-group.js";
import { memoryStore } from "../filesystem/store.js";
import { corpus, corpusReason, trials } from "../support/tools.js";
import { assembledFrom, Lvm, lastName, linear, logicalVolume, numberSectors, withoutLvm } from "./lvm.js";

const mebibyte = 2 ** 20;
const reason = withoutLvm();

/** `/dev/loop1:0-7` of lvs as the image's index and a range of extents. */
function range(text: string, devices: readonly string[]) {
	const [, device = "", first, last] = /^(.*):(\d+)-(\d+)$/.exec(text) ?? [];
	return { which: devices.indexOf(device), first: Number(first), count: Number(last) - Number(first) + 1 };
}

describe.skipIf(reason !== "")(`LVM2 as its tools write it ${reason}`, () => {
	const extent = mebibyte;
	let lvm: Lvm;
	let images: readonly Uint8Array[];
	let starts: readonly number[];

	beforeAll(async () => {
		lvm = await Lvm.on(20, 24, 16);
		await lvm.command("pvcreate", "-q", ...lvm.devices);
		await lvm.command("vgcreate", "-s", "1m", "the-group", ...lvm.devices.slice(0, 2));
		await lvm.command("vgextend", "the-group", lvm.devices[2] ?? "");
		const create = (...args: string[]) => lvm.command("lvcreate", "-an", "-Zn", "-Wn", "-y", ...args, "the-group");
		await create("-L", "5m", "-n", "root");
		await create("-L", "6m", "-i", "2", "-I", "16k", "-n", "striped-two");
		await create("-L", "9m", "-i", "3", "-I", "64k", "-n", "three");
		await create("-L", "4m", "-i", "2", "-I", "4k", "--type", "raid0", "-n", "raid0");
		await create("-l", "1", "-n", "tiny");
		await lvm.command("lvextend", "-L", "+3m", "the-group/root", lvm.devices[1] ?? "");
		await lvm.command("lvextend", "-L", "+2m", "the-group/root", lvm.devices[0] ?? "");
		starts = (await lvm.report("pvs", "pe_start")).map(({ pe_start }) => Number(pe_start));
		images = await lvm.bytes();
		for (const [i, image] of images.entries()) numberSectors(image, i, starts[i] ?? 0);
	});

	/** The bytes of a volume by what lvs says of its segments: stripe after stripe. */
	async function expected(name: string): Promise<Uint8Array> {
		const segments = await lvm.report(
			"lvs",
			"seg_start,seg_size,stripes,stripesize,seg_pe_ranges",
			`the-group/${name}`,
		);
		const size = segments.reduce((sum, { seg_size }) => sum + Number(seg_size), 0);
		const bytes = new Uint8Array(size);
		for (const segment of segments) {
			const legs = (segment["seg_pe_ranges"] ?? "").split(" ").map((text) => range(text, lvm.devices));
			const chunk = legs.length === 1 ? extent : Number(segment["stripe_size"] ?? segment["stripesize"]);
			const offsets = legs.map(({ which, first }) => (starts[which] ?? 0) + first * extent);
			for (let at = 0; at < Number(segment["seg_size"]); at += chunk) {
				const leg = (at / chunk) % legs.length;
				const from = offsets[leg] ?? 0;
				const image = images[legs[leg]?.which ?? -1] ?? new Uint8Array();
				bytes.set(image.subarray(from, from + chunk), Number(segment["seg_start"]) + at);
				offsets[leg] = from + chunk;
			}
		}
		return bytes;
	}

	it.each(["root", "striped-two", "three", "tiny"])("reads %s where lvs says that it lies", async (name) => {
		const { volumes, problems } = await assembledFrom(images);
		expect(problems.size).toBe(0);
		const found = volumes.find((volume) => lastName(volume) === name);
		if (found === undefined) throw new Error("not found");
		const want = await expected(name);
		expect(found.size).toBe(want.length);
		expect(Buffer.compare(await readBytes(found.source, 0, found.size), want)).toBe(0);
		for (const [at, length] of [
			[4095, 3],
			[extent - 1, 2],
			[want.length - 70_000, 70_000],
		] as const) {
			if (at + length > want.length) continue;
			expect(Buffer.compare(await readBytes(found.source, at, length), want.subarray(at, at + length))).toBe(0);
		}
	});

	it("finds the volumes that lvs lists, in its terms, whatever the order of the disks", async () => {
		const { parts, used, volumes } = await assembledFrom([...images].reverse());
		const listed = await lvm.report("lvs", "lv_name,lv_size,lv_path,lv_dm_path");
		const found = volumes.map((volume) => ({
			lv_name: lastName(volume),
			lv_size: String(volume.size),
			lv_path: volume.assembled?.devices[0],
			lv_dm_path: volume.assembled?.devices[1],
		}));
		const byName = (a: { lv_name?: string }, b: { lv_name?: string }) =>
			(a.lv_name ?? "").localeCompare(b.lv_name ?? "");
		expect(found.sort(byName)).toEqual(listed.sort(byName));
		expect([...used]).toEqual(parts);
	});

	it("reads RAID 0 as dm-raid deals it out", async () => {
		const ranges = await lvm.report("lvs", "lv_name,seg_pe_ranges", "-a", "the-group");
		const legs = [0, 1].map((i) => {
			const found = ranges.find(({ lv_name }) => lv_name === `[raid0_rimage_${i}]`);
			return range(found?.["seg_pe_ranges"] ?? "", lvm.devices);
		});
		const { volumes } = await assembledFrom(images);
		const found = volumes.find((volume) => lastName(volume) === "raid0");
		for (const chunk of [0, 1, 2, 511, 1023]) {
			const leg = legs[chunk % 2];
			const at = (starts[leg?.which ?? -1] ?? 0) + (leg?.first ?? 0) * extent + Math.floor(chunk / 2) * 4096;
			const want = images[leg?.which ?? -1]?.subarray(at, at + 4096);
			expect(found && (await readBytes(found.source, chunk * 4096, 4096))).toEqual(want);
		}
	});

	it("writes where it reads", async () => {
		const copies = images.map((image) => image.slice());
		const { volumes } = await assembledFrom(copies, memoryStore);
		await fc.assert(
			fc.asyncProperty(
				fc.constantFrom(...volumes),
				fc.double({ min: 0, max: 1, noNaN: true }),
				fc.integer({ min: 1, max: 300_000 }),
				async (volume, where, most) => {
					const at = Math.floor(where * (volume.size - 1));
					const bytes = Uint8Array.from({ length: Math.min(most, volume.size - at) }, (_, i) => i * 7);
					if (!isStore(volume.source)) throw new Error("not a store");
					await volume.source.write(at, bytes);
					expect(Buffer.compare(await readBytes(volume.source, at, bytes.length), bytes)).toBe(0);
				},
			),
			{ numRuns: trials(40) },
		);
		// Nothing but extents was touched.
		for (const [i, copy] of copies.entries()) {
			const head = copy.subarray(0, starts[i]);
			expect(Buffer.compare(head, images[i]?.subarray(0, starts[i]) ?? head)).toBe(0);
		}
	});

	it("reads what does not lie on a missing disk, and names the disk where it does", async () => {
		const { volumes, problems } = await assembledFrom(images.slice(0, 1));
		const [pv] = await lvm.report("pvs", "pv_uuid", lvm.devices[1] ?? "");
		const tiny = volumes.find((volume) => lastName(volume) === "tiny");
		expect(tiny && (await readBytes(tiny.source, 0, 512))).toHaveLength(512);
		const striped = volumes.find((volume) => lastName(volume) === "striped-two");
		await expect(striped?.source.read(0, new Uint8Array(1))).rejects.toMatchObject({
			kind: "not-found",
			message: expect.stringContaining(pv?.["pv_uuid"]?.replaceAll("-", "") ?? "?"),
			hint: expect.stringContaining("all disks"),
		});
		expect([...problems.keys()]).toContain(striped);
	});

	it("takes the newest metadata, and survives a member that does not know it yet", async () => {
		const before = await lvm.bytes();
		await lvm.command("lvrename", "the-group", "tiny", "renamed");
		const after = await lvm.bytes();
		await lvm.command("lvrename", "the-group", "renamed", "tiny");
		const stale = [before[0], after[1], before[2]].map((image) => image ?? new Uint8Array());
		const names = (await assembledFrom(stale)).volumes.map(lastName);
		expect(names).toContain("renamed");
		expect(names).not.toContain("tiny");
	});

	it("leaves a physical volume of no group alone", async () => {
		const single = await Lvm.on(4);
		await single.command("pvcreate", "-q", ...single.devices);
		const { volumes, used, problems } = await assembledFrom(await single.bytes());
		expect([volumes.length, used.size, problems.size]).toEqual([0, 0, 0]);
	});

	it("follows the metadata around its ring, and uses the second copy where the first is damaged", async () => {
		const ring = await Lvm.on(8);
		await ring.command(
			"pvcreate",
			"-q",
			"--metadatasize",
			"36k",
			"--dataalignment",
			"4k",
			"--metadatacopies",
			"2",
			...ring.devices,
		);
		await ring.command("vgcreate", "-s", "1m", "ring", ...ring.devices);
		await ring.command("lvcreate", "-an", "-Zn", "-Wn", "-y", "-l", "2", "-n", "lv0", "ring");
		const tags = ["a", "b", "c", "d"].flatMap((tag) => ["--addtag", tag.repeat(1000)]);
		await ring.command("vgchange", ...tags, "ring");
		let wrapped = 0;
		for (let i = 1; i <= 9; i++) {
			await ring.command("lvrename", "ring", `lv${i - 1}`, `lv${i}`);
			const [image = new Uint8Array()] = await ring.bytes();
			const header = new DataView(image.buffer, image.byteOffset + 4096, 512);
			const [size, offset, length] = [32, 40, 48].map((at) => Number(header.getBigUint64(at, true)));
			if ((offset ?? 0) + (length ?? 0) > (size ?? 0)) wrapped++;
			expect((await assembledFrom([image])).volumes.map(lastName)).toEqual([`lv${i}`]);
			image.fill(0xff, 4096 + (offset ?? 0), 4096 + (offset ?? 0) + 20);
			expect((await assembledFrom([image])).volumes.map(lastName)).toEqual([`lv${i}`]);
		}
		expect(wrapped).toBeGreaterThan(0);
	});

	it("survives any change to its label, its headers and its metadata", async () => {
		const [image = new Uint8Array()] = images;
		const head = image.slice(0, starts[0]);
		const ring = new DataView(head.buffer, 4096, 512);
		const textAt = 4096 + Number(ring.getBigUint64(40, true));
		const length = Number(ring.getBigUint64(48, true));
		const place = fc.oneof(
			fc.integer({ min: 512, max: 512 + 136 }),
			fc.integer({ min: 4096, max: 4096 + 64 }),
			fc.integer({ min: textAt, max: textAt + length - 1 }),
		);
		const value = fc.oneof(fc.nat(255), fc.constantFrom(0, 0xff, 0x7b, 0x7d, 0x22, 0x39));
		await fc.assert(
			fc.asyncProperty(
				fc.array(fc.tuple(place, value), { minLength: 1, maxLength: 8 }),
				fc.boolean(),
				async (changes, mend) => {
					const copy = image.slice();
					for (const [at, byte] of changes) copy[at] = byte;
					if (mend) mendChecksums(copy, textAt, length);
					const begin = performance.now();
					const { volumes, problems } = await assembledFrom([copy]);
					for (const problem of problems.values()) expect(problem).toBeInstanceOf(AnyvisorError);
					for (const { source, size } of volumes.slice(0, 20))
						await tolerated(source.read(0, new Uint8Array(Math.min(size, 9000))));
					expect(performance.now() - begin).toBeLessThan(2000);
				},
			),
			{ numRuns: trials(300) },
		);
	});
});

describe.skipIf(reason !== "")(`LVM2 volumes that only a device mapper makes ${reason}`, () => {
	const extent = mebibyte;
	let lvm: Lvm;
	let starts: readonly number[];

	beforeAll(async () => {
		lvm = await Lvm.on(20, 20);
		await lvm.command("vgcreate", "-s", "1m", "vg", ...lvm.devices);
		starts = (await lvm.report("pvs", "pe_start")).map(({ pe_start }) => Number(pe_start));
	});

	/** The group with these volumes, which lvs has to accept as well, and its bytes. */
	async function withVolumes(...volumes: readonly string[]) {
		const text = await lvm.metadata("vg");
		const [head = ""] = text.split(/\n\tlogical_volumes \{/);
		const closed = head.trimEnd().replace(/\}$/, volumes.length > 0 && head === text ? "" : "}");
		await lvm.restore("vg", `${closed}\nlogical_volumes {\n${volumes.join("")}}\n}\n`);
		const images = await lvm.bytes();
		for (const [i, image] of images.entries()) numberSectors(image, i, starts[i] ?? 0);
		const types = await lvm.report("lvs", "lv_name,segtype", "-a", "vg");
		return { images, types: new Map(types.map(({ lv_name, segtype }) => [lv_name, segtype])) };
	}

	const imagesOf = (name: string, part: string, at: number) => [
		logicalVolume(`${name}_${part}_0`, false, 3, linear("pv0", at)),
		logicalVolume(`${name}_${part}_1`, false, 3, linear("pv1", at)),
	];
	const metadataOf = (name: string, at: number) => [
		logicalVolume(`${name}_rmeta_0`, false, 1, linear("pv0", at)),
		logicalVolume(`${name}_rmeta_1`, false, 1, linear("pv1", at)),
	];
	const raids = (name: string) =>
		`raids = ["${name}_rmeta_0", "${name}_rimage_0", "${name}_rmeta_1", "${name}_rimage_1"]`;

	it("mirrors, old and new, from whichever half is there", async () => {
		const { images, types } = await withVolumes(
			logicalVolume(
				"old",
				true,
				3,
				'type = "mirror" mirror_count = 2 region_size = 1024 mirrors = ["old_mimage_0", 0, "old_mimage_1", 0]',
			),
			logicalVolume("new", true, 3, `type = "raid1" device_count = 2 region_size = 1024 ${raids("new")}`),
			...imagesOf("old", "mimage", 0),
			...imagesOf("new", "rimage", 4),
			...metadataOf("new", 8),
		);
		expect([types.get("old"), types.get("new")]).toEqual(["mirror", "raid1"]);
		for (const lost of [undefined, 0, 1]) {
			const { volumes } = await assembledFrom(images.filter((_, i) => i !== lost));
			expect(volumes.map(lastName)).toEqual(["old", "new"]);
			const half = lost === 0 ? 1 : 0;
			for (const [i, at] of [0, 4].entries()) {
				const from = (starts[half] ?? 0) + at * extent + 777;
				const source = volumes[i]?.source;
				expect(source && (await readBytes(source, 777, 5000))).toEqual(images[half]?.slice(from, from + 5000));
			}
		}
		const { volumes } = await assembledFrom(images, memoryStore);
		for (const [i, at] of [0, 4].entries()) {
			const source = volumes[i]?.source;
			if (!source || !isStore(source)) throw new Error("not a store");
			await source.write(3, Uint8Array.of(9, 9, 9));
			for (const [half, image] of images.entries()) {
				const from = (starts[half] ?? 0) + at * extent + 3;
				expect([...image.subarray(from, from + 3)]).toEqual([9, 9, 9]);
			}
		}
	});

	it("a mirror whose first half fell behind is read from the second", async () => {
		const { images } = await withVolumes(
			logicalVolume("new", true, 3, `type = "raid1" device_count = 2 region_size = 1024 ${raids("new")}`),
			...imagesOf("new", "rimage", 4),
			...metadataOf("new", 8),
		);
		for (const [i, image] of images.entries()) {
			const at = (starts[i] ?? 0) + 8 * extent;
			image.fill(0, at, at + extent);
			const events = i === 0 ? 5 : 9;
			const failed = i === 0 ? 0n : 1n;
			const values = { magic: 0x64526d44, num_devices: 2, array_position: i, events, failed_devices: failed };
			image.set(RaidMetadata.build({ ...values, disk_recovery_offset: 2n ** 64n - 1n }), at);
		}
		const [volume] = (await assembledFrom(images)).volumes;
		const from = (starts[1] ?? 0) + 4 * extent;
		expect(volume && (await readBytes(volume.source, 0, 5000))).toEqual(images[1]?.slice(from, from + 5000));
	});

	it.each([
		["raid5", `type = "raid5" device_count = 2 stripe_size = 128 region_size = 1024 ${raids("x")}`, "a RAID 5 volume"],
		["cache", 'type = "cache" cache_pool = "pool" origin = "origin"', "a cached volume"],
		["writecache", 'type = "writecache" origin = "origin" writecache = "pool"', "a cached volume"],
		["vdo", 'type = "vdo" vdo_pool = "pool"', "a VDO volume"],
		["what nobody knows", 'type = "later"', 'of the type "later"'],
		["a circle", 'type = "striped" stripe_count = 1 stripes = ["x", 0]', "nest too deep"],
	])("refuses %s by name", (_, segment, what) => {
		const text = `vg { id = "v" seqno = 1 extent_size = 8 logical_volumes { ${logicalVolume("x", true, 2, segment)} } }`;
		const volumes = new LogicalVolumes(parseVolumeGroup(text, "t"), new Map(), "t");
		const name = what.replace(
			"a cached volume",
			segment.includes('type = "writecache"') ? "a volume with a write cache" : what,
		);
		return expect(volumes.open("x")).rejects.toMatchObject({ message: expect.stringContaining(name) });
	});

	it("reads the origin of a snapshot, and refuses the snapshot", async () => {
		const { images, types } = await withVolumes(
			logicalVolume("origin", true, 2, linear("pv0", 0)),
			logicalVolume("snap", true, 1, linear("pv0", 2)),
			logicalVolume("snapshot0", false, 2, 'type = "snapshot" chunk_size = 8 origin = "origin" cow_store = "snap"'),
		);
		expect(types.has("snap")).toBe(true);
		const { volumes } = await assembledFrom(images);
		expect(volumes.map(lastName)).toEqual(["origin"]);
		const from = starts[0] ?? 0;
		expect(volumes[0] && (await readBytes(volumes[0].source, 0, 512))).toEqual(images[0]?.slice(from, from + 512));
		const group = parseVolumeGroup(await lvm.metadata("vg"), "t");
		await expect(new LogicalVolumes(group, new Map(), "t").open("snap")).rejects.toMatchObject({
			kind: "unsupported",
			message: expect.stringContaining("vg/snap is a snapshot"),
		});
	});
});

/** Makes the checksums right again, so that what they would hide is met. */
function mendChecksums(image: Uint8Array, textAt: number, length: number) {
	const view = new DataView(image.buffer, image.byteOffset);
	view.setUint32(4096 + 56, lvmChecksum(image.subarray(textAt, textAt + length)), true);
	view.setUint32(4096, lvmChecksum(image.subarray(4100, 4096 + 512)), true);
	view.setUint32(512 + 16, lvmChecksum(image.subarray(512 + 20, 1024)), true);
}

async function tolerated(action: Promise<unknown>): Promise<void> {
	try {
		await action;
	} catch (error) {
		if (!(error instanceof AnyvisorError)) throw error;
	}
}

describe("LVM2 metadata text", () => {
	it("knows sections, lists, strings, numbers and comments", () => {
		const text =
			'a = 1 # one\n# two {\nb = "x\\"y\\\\" c = ["p", 2,\n"q"]\nempty = []\n"quoted/name" { d = -3 }\n0vg { e { f = 7.5 } }';
		const { values, sections } = parseMetadata(text, "t");
		expect(Object.fromEntries(values)).toEqual({ a: 1, b: 'x"y\\', c: ["p", 2, "q"], empty: [] });
		expect(sections.get("quoted/name")?.values.get("d")).toBe(-3);
		expect(sections.get("0vg")?.sections.get("e")?.values.get("f")).toBe("7.5");
	});

	it.each([
		["an open section", "a {"],
		["a section that was never opened", "}"],
		["an open string", 'a = "b'],
		["an open list", "a = [1, 2"],
		["a name alone", "a"],
		["nothing behind the sign", "a ="],
		["sections without end", "a {".repeat(100_000)],
		["sections that nest", `${"a {".repeat(100)}${"}".repeat(100)}`],
		["blanks without end", `a ${" ".repeat(5_000_000)}`],
		["a long string", `a = "${"\\x".repeat(1_000_000)}`],
		["comments without end", "a = 1".concat("#\n".repeat(1_000_000), "b")],
	])("refuses %s in bounded time", (_, text) => {
		const begin = performance.now();
		expect(() => parseMetadata(text, "t")).toThrow(expect.objectContaining({ kind: "damaged", file: "t" }));
		expect(performance.now() - begin).toBeLessThan(2000);
	});

	const group = (segments: string) =>
		`vg { id = "x" seqno = 1 extent_size = 8 physical_volumes { pv0 { id = "p" pe_start = 8 pe_count = 9 } } logical_volumes { lv { status = ["VISIBLE"] ${segments} } } }`;

	it.each([
		["a gap", 'segment1 { type = "striped" start_extent = 1 extent_count = 1 }'],
		["an empty segment", 'segment1 { type = "striped" start_extent = 0 extent_count = 0 }'],
		["sizes beyond any disk", 'segment1 { type = "striped" start_extent = 0 extent_count = 9007199254740991 }'],
		["numbers that are none", 'segment1 { type = "striped" start_extent = "a" extent_count = 1 }'],
	])("refuses segments with %s", (_, segments) => {
		expect(() => parseVolumeGroup(group(segments), "t")).toThrow(expect.objectContaining({ kind: "damaged" }));
	});
});

describe.skipIf(corpus === undefined)(`LVM2 of others ${corpusReason}`, () => {
	it("reads the volume group of dissect", async () => {
		const file = path.join(corpus ?? "", "fox-it+dissect.volume/tests/data/lvm.bin.gz");
		const { volumes } = await assembledFrom([new Uint8Array(gunzipSync(await readFile(file)))]);
		expect(volumes).toMatchObject([
			{
				size: 4 * mebibyte,
				assembled: { devices: ["/dev/vg_test/lv_test", "/dev/mapper/vg_test-lv_test", expect.anything()] },
			},
		]);
	});
});
