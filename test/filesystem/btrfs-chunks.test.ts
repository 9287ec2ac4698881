import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { ChunkMap, parseChunk } from "../../src/filesystem/btrfs/chunks.js";
import { Chunk, Profile, Stripe } from "../../src/filesystem/btrfs/layout.js";

const KIB = 1024;
const STRIPE = 64 * KIB;

/** Four devices; the bytes of each tell the device and the number of the stripe in it. */
const devices = new Map(
	[1, 2, 3, 4].map((id) => [
		id,
		{
			source: bytesSource(
				new Uint8Array(8 * STRIPE).map((_, i) => id * 16 + Math.floor(i / STRIPE)),
				`device ${id}`,
			),
			// The fourth one was left behind.
			generation: id === 4 ? 6 : 7,
		},
	]),
);

function mapped(type: bigint, devids: readonly number[], sub = 1): ChunkMap {
	const fields = {
		length: 4 * STRIPE,
		owner: 2,
		stripe_len: STRIPE,
		type,
		num_stripes: devids.length,
		sub_stripes: sub,
	};
	const bytes = Buffer.concat([Chunk.build(fields), ...devids.map((devid) => Stripe.build({ devid, offset: STRIPE }))]);
	const map = new ChunkMap("x.img", devices);
	map.replace([parseChunk("x.img", 2 ** 40, bytes, 0)]);
	return map;
}

/** The first byte of each of the chunk's four stripes, and one byte across the end of the first. */
async function seen(map: ChunkMap, copy: number): Promise<readonly number[]> {
	const all = new Uint8Array(4 * STRIPE);
	await map.read(2 ** 40, all, copy, 0);
	return [0, 1, 2, 3].map((i) => all[i * STRIPE] ?? -1);
}

describe("where chunks lie on devices", () => {
	it.each([
		["SINGLE", 1n, [2], 1, [[0x21, 0x22, 0x23, 0x24]]],
		[
			"DUP",
			1n | Profile.DUP,
			[1, 1],
			1,
			[
				[0x11, 0x12, 0x13, 0x14],
				[0x11, 0x12, 0x13, 0x14],
			],
		],
		[
			"RAID1",
			1n | Profile.RAID1,
			[1, 3],
			1,
			[
				[0x11, 0x12, 0x13, 0x14],
				[0x31, 0x32, 0x33, 0x34],
			],
		],
		[
			"RAID1C3",
			1n | Profile.RAID1C3,
			[1, 3, 4],
			1,
			[
				[0x11, 0x12, 0x13, 0x14],
				[0x31, 0x32, 0x33, 0x34],
				[0x41, 0x42, 0x43, 0x44],
			],
		],
		[
			"RAID1 whose first device was left behind",
			1n | Profile.RAID1,
			[4, 3],
			1,
			[
				[0x31, 0x32, 0x33, 0x34],
				[0x41, 0x42, 0x43, 0x44],
			],
		],
		["RAID5", 1n | Profile.RAID5, [1, 2, 3], 1, [[0x11, 0x21, 0x22, 0x32]]],
		["RAID6", 1n | Profile.RAID6, [1, 2, 3, 4], 1, [[0x11, 0x21, 0x22, 0x32]]],
		["RAID0", 1n | Profile.RAID0, [1, 2, 3], 1, [[0x11, 0x21, 0x31, 0x12]]],
		[
			"RAID10",
			1n | Profile.RAID10,
			[1, 2, 3, 4],
			2,
			[
				[0x11, 0x31, 0x12, 0x32],
				[0x21, 0x41, 0x22, 0x42],
			],
		],
	])("%s", async (_, type, devids, sub, expected) => {
		const map = mapped(type, devids, sub);
		expect(map.copies(2 ** 40)).toBe(expected.length);
		for (const [copy, bytes] of expected.entries()) expect(await seen(map, copy)).toEqual(bytes);
		expect(map.copies(2 ** 40 - 1)).toBe(0);
		expect(map.copies(2 ** 40 + 4 * STRIPE)).toBe(0);
		await expect(map.read(2 ** 40 + 4 * STRIPE - 1, new Uint8Array(2), 0, 77)).rejects.toMatchObject({
			kind: "damaged",
			offset: 77,
		});
	});

	it("what lies on a device that is not there is not found, by its number", async () => {
		const map = mapped(1n, [9]);
		await expect(seen(map, 0)).rejects.toMatchObject({
			kind: "not-found",
			message: expect.stringContaining("device 9") as string,
		});
		expect(map.missing()).toMatchObject([{ devid: 9, spared: false }]);
		const mirror = mapped(Profile.RAID1, [9, 2]);
		expect(await seen(mirror, 0)).toEqual([0x21, 0x22, 0x23, 0x24]);
		expect(mirror.missing()).toMatchObject([{ devid: 9, spared: true }]);
	});

	it.each([
		["RAID5 of parity only", Profile.RAID5, [1], 1, "damaged"],
		["RAID6 of parity only", Profile.RAID6, [1, 2], 1, "damaged"],
		["two profiles", Profile.RAID1 | Profile.DUP, [1, 2], 1, "damaged"],
		["no stripes", 0n, [], 1, "damaged"],
		["SINGLE on two devices", 0n, [1, 2], 1, "damaged"],
		["RAID1 of three copies", Profile.RAID1, [1, 2, 3], 1, "damaged"],
		["RAID1C4 of three copies", Profile.RAID1C4, [1, 2, 3], 1, "damaged"],
		["RAID0 twice on a device", Profile.RAID0, [1, 2, 1], 1, "damaged"],
		["RAID10 without copies", Profile.RAID10, [1, 2], 0, "damaged"],
		["RAID10 of an odd number", Profile.RAID10, [1, 2, 3], 2, "damaged"],
	])("%s is an error", (_, type, devids, sub, kind) => {
		expect(() => mapped(type, devids, sub)).toThrow(expect.objectContaining({ kind }));
	});
});
