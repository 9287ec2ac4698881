import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { damaged } from "../../src/bytes/errors.js";
import { type ByteSource, bytesSource, isStore, readBytes } from "../../src/bytes/source.js";
import { noise } from "../filesystem/ext-images.js";
import { memoryStore } from "../filesystem/store.js";
import { trials } from "../support/tools.js";
import { assembledFrom } from "./lvm.js";
import { dataOf, writeMember } from "./md.js";

const KiB = 1024;
const CHUNK = 4 * KiB;
/** Of each member: more than a round of any layout. */
const USED = 128 * KiB;
const data = noise(3 * USED, 5);

/**
 * What the members hold, chunk by chunk and row by row until it repeats: the row's data by number, P and Q. Behind it the
 * SHA-256 of the data of all members, one after the other, after Linux 6.1 had written `data` to an array of mdadm 4.2:
 * `mdadm --create --level=… --layout=… --chunk=4 --size=128`.
 */
const layouts: readonly (readonly [level: number, layout: number, name: string, rows: string, sha256: string])[] = [
	[4, 0, "parity on the last member", "012P", "c8e7393ad0ec4995703e6c15d765c9ca7877cc96b559d92cc784e07d0e987d20"],
	[5, 0, "left-asymmetric", "012P 01P2 0P12 P012", "0da34befad6e81f02e8e7c5d099b785d67929c47d3b596916aaa8e7f8e873aef"],
	[5, 1, "right-asymmetric", "P012 0P12 01P2 012P", "c968c1717bc1a5d06b9af9dbd686edd898337f869d39df2f047c373cc3719c92"],
	[5, 2, "left-symmetric", "012P 12P0 2P01 P012", "1cce6673a1e58c898948790c33ebeba2c48056ae97aa44f2b502a265976449b1"],
	[5, 3, "right-symmetric", "P012 2P01 12P0 012P", "1d53d20171cbfc0468764dce2f2cd75c7559210299e1d3fdc571f5a63124541c"],
	[5, 4, "parity-first", "P012", "f7f1c3bf4fa5e1003b4e050894b518ab7a2e3264f865980b62345ff7674ba467"],
	[5, 5, "parity-last", "012P", "c8e7393ad0ec4995703e6c15d765c9ca7877cc96b559d92cc784e07d0e987d20"],
	[
		6,
		0,
		"left-asymmetric",
		"Q012P 012PQ 01PQ2 0PQ12 PQ012",
		"6e6e4b263da046d56a90f84cc515e7785abe82e04d002bf016615bac92666375",
	],
	[
		6,
		1,
		"right-asymmetric",
		"PQ012 0PQ12 01PQ2 012PQ Q012P",
		"b40e6e0665e6194b3124eec1115c899bc86e18b05553d2aff79ed5d5ddbc3266",
	],
	[
		6,
		2,
		"left-symmetric",
		"Q012P 012PQ 12PQ0 2PQ01 PQ012",
		"242078edbbe51a548e586beb2a3e1202cb0250477ead604f45a9e562cb95ce31",
	],
	[
		6,
		3,
		"right-symmetric",
		"PQ012 2PQ01 12PQ0 012PQ Q012P",
		"9265f92ab4635afd363f143c917150b6a05a27d29a62085b5e74d8562f043a4d",
	],
	[6, 4, "parity-first", "PQ012", "a9679f1090aa65b08d053404e7e2758f648976c9979cd255f561324df9021b0e"],
	[6, 5, "parity-last", "012PQ", "33340b7405db62bbd61fbadf2f7cb7b5d56713ad7bd7a58abd31360228879554"],
	[
		6,
		8,
		"ddf-zero-restart",
		"PQ012 0PQ12 01PQ2 012PQ Q012P",
		"6a15fda48ad65d569ee2be66b1b7cffb63c9646d7c4a2909297dd1264b8985c8",
	],
	[
		6,
		9,
		"ddf-N-restart",
		"012PQ 01PQ2 0PQ12 PQ012 Q012P",
		"93afb0cc504a087a8d5b02f5affd0e295f98535b737be61dae8ab964e56e90fc",
	],
	[
		6,
		10,
		"ddf-N-continue",
		"012QP 12QP0 2QP01 QP012 P012Q",
		"594dc740ed62b36cc2561e2e312632655b8fd178609fbc81048374e07bb8147f",
	],
	[
		6,
		16,
		"left-asymmetric-6",
		"012PQ 01P2Q 0P12Q P012Q",
		"e1f729db3df9f6b822f737418d562717d9cdcaae88aa17361dbb5edd8ef412e3",
	],
	[
		6,
		17,
		"right-asymmetric-6",
		"P012Q 0P12Q 01P2Q 012PQ",
		"9ca15be3d9a6ae7f411fba4c538c46d0256434997e16398489fefd9a35f48d70",
	],
	[
		6,
		18,
		"left-symmetric-6",
		"012PQ 12P0Q 2P01Q P012Q",
		"64dd250c406d0d55a6edbc02f93c69ce430e1dabe237cc0729cc23fca31d7c83",
	],
	[
		6,
		19,
		"right-symmetric-6",
		"P012Q 2P01Q 12P0Q 012PQ",
		"35f9ed3c0b6ce53cf2ebcdd341e220fa28a91ba8801035a4a478d9d2fc37f4e1",
	],
	[6, 20, "parity-first-6", "P012Q", "46429bdf0ecd55e3b4b0451ab79a55bf6f7157e8460967b2f712b608f8d43ef0"],
];

/** The product in the field of RAID 6, bit by bit. */
function product(a: number, b: number): number {
	let [sum, shifted] = [0, a];
	for (let bit = 0; bit < 8; bit++) {
		if ((b >> bit) & 1) sum ^= shifted;
		shifted = (shifted << 1) ^ (shifted & 0x80 ? 0x11d : 0);
	}
	return sum;
}

/** What each member holds. */
function dealt(layout: number, picture: string): readonly Uint8Array[] {
	const rows = picture.split(" ").map((row) => row.split(""));
	const count = rows[0]?.length ?? 0;
	const members = Array.from({ length: count }, () => new Uint8Array(USED));
	const isData = (cell: string | undefined) => cell !== undefined && /\d/.test(cell);
	for (let row = 0, at = 0; row < USED / CHUNK; row++) {
		const cells = rows[row % rows.length] ?? [];
		const chunkOf = (member: number) => members[member]?.subarray(row * CHUNK, (row + 1) * CHUNK) ?? new Uint8Array();
		const inOrder = cells
			.flatMap((cell, i) => (isData(cell) ? [i] : []))
			.toSorted((a, b) => ((cells[a] ?? "") < (cells[b] ?? "") ? -1 : 1));
		for (const member of inOrder) {
			chunkOf(member).set(data.subarray(at, at + CHUNK));
			at += CHUNK;
		}
		const q = cells.indexOf("Q");
		const p = chunkOf(cells.indexOf("P"));
		const behindQ = cells.map((_, i) => (q + 1 + i) % count).filter((i) => isData(cells[i]));
		for (const member of inOrder) {
			// DDF counts all members, the others those with data from Q on.
			const power = layout >= 8 && layout <= 10 ? member : behindQ.indexOf(member);
			const factor = Array.from({ length: power }).reduce((value: number) => product(value, 2), 1);
			const table = Uint8Array.from({ length: 256 }, (_, value) => product(value, factor));
			for (const [i, byte] of chunkOf(member).entries()) {
				p[i] = (p[i] ?? 0) ^ byte;
				if (q >= 0) chunkOf(q)[i] = (chunkOf(q)[i] ?? 0) ^ (table[byte] ?? 0);
			}
		}
	}
	return members;
}

/** Images of the members of an array. */
function imagesOf(members: readonly Uint8Array[], array: Partial<Parameters<typeof writeMember>[3]>) {
	return members.map((member, number) => {
		const image = new Uint8Array(64 * KiB + USED);
		image.set(member, dataOf("1.2", image.length).at);
		writeMember(image, "1.2", number, { level: 5, count: members.length, chunk: CHUNK, ...array });
		return image;
	});
}

async function arrayOf(images: readonly Uint8Array[], open?: typeof bytesSource) {
	const { volumes, problems } = await assembledFrom(images, open);
	const [volume] = volumes;
	if (volume === undefined || volumes.length > 1) throw new Error(`${volumes.length} volumes`);
	return { source: volume.source, problem: [...problems.values()][0] };
}

const whole = async ({ source }: { source: ByteSource }) => Buffer.from(await readBytes(source, 0, source.size));

/** All ways to leave out up to `most` of `count`. */
const losses = (count: number, most: number): readonly (readonly number[])[] => {
	const all = Array.from({ length: count }, (_, i) => i);
	const pairs = most < 2 ? [] : all.flatMap((a) => all.slice(a + 1).map((b) => [a, b]));
	return [[], ...all.map((a) => [a]), ...pairs];
};

describe("md arrays with parity", () => {
	it.each(layouts)(
		"RAID %i with layout %i, %s, whole and from what is left",
		async (level, layout, _, rows, sha256) => {
			const members = dealt(layout, rows);
			const hash = createHash("sha256");
			for (const member of members) hash.update(member);
			expect(hash.digest("hex")).toBe(sha256);
			const images = imagesOf(members, { level, layout });
			for (const lost of losses(images.length, level === 6 ? 2 : 1)) {
				const array = await arrayOf(images.filter((__, i) => !lost.includes(i)));
				expect(array.source.size).toBe(data.length);
				expect(Buffer.compare(await whole(array), data)).toBe(0);
			}
			const few = await arrayOf(images.slice(level === 6 ? 3 : 2));
			expect(few.problem).toMatchObject({ kind: "not-found", message: expect.stringContaining("lacks") as string });
		},
	);

	const members = dealt(2, "Q012P 012PQ 12PQ0 2PQ01 PQ012");
	const array = { level: 6, layout: 2 };

	it("what cannot be read of one member is made of the others", async () => {
		const images = imagesOf(members, array);
		const [, broken] = images;
		const open = (bytes: Uint8Array, name?: string): ByteSource => {
			const source = bytesSource(bytes, name);
			return {
				...source,
				async read(at, into) {
					if (bytes === broken && at >= 100 * KiB) throw damaged("a sector cannot be read");
					await source.read(at, into);
				},
			};
		};
		expect(Buffer.compare(await whole(await arrayOf(images, open)), data)).toBe(0);
		expect(Buffer.compare(await whole(await arrayOf(images.slice(0, 4), open)), data)).toBe(0);
		await expect(arrayOf(images.slice(0, 3), open).then(whole)).rejects.toMatchObject({ kind: "damaged" });
	});

	it("is not written, since parity would have to change as well", async () => {
		const { source } = await arrayOf(imagesOf(members, array), memoryStore);
		expect(isStore(source)).toBe(false);
	});

	it("is not made of parity that may not fit", async () => {
		const images = imagesOf(members, { ...array, clean: false });
		expect(Buffer.compare(await whole(await arrayOf(images)), data)).toBe(0);
		const { problem } = await arrayOf(images.slice(1));
		expect(problem).toMatchObject({ kind: "unsupported", message: expect.stringContaining("not stopped") as string });
	});

	it.each([
		["a layout that is not known", { level: 5, layout: 6 }, "RAID 5 of 5 members with the layout 6"],
		["a layout of RAID 6", { level: 5, layout: 16 }, "RAID 5 of 5 members with the layout 16"],
		["an array that is being reshaped", { ...array, features: 4 }, "reshaped"],
		["an array with a journal", { ...array, features: 512 }, "journal"],
		["no chunks", { ...array, chunk: 0 }, "RAID 6"],
	])("refuses %s by name", async (_, change, message) => {
		const { problem } = await arrayOf(imagesOf(members, change));
		expect(problem).toMatchObject({ kind: "unsupported", message: expect.stringContaining(message) as string });
	});

	it("any read is a part of the whole, whatever is lost", async () => {
		const range = fc.tuple(fc.nat(data.length), fc.nat(3 * CHUNK));
		const lost = fc.constantFrom(...losses(5, 2));
		await fc.assert(
			fc.asyncProperty(
				fc.constantFrom(...layouts),
				lost,
				range,
				async ([level, layout, , rows], gone, [at, length]) => {
					const images = imagesOf(dealt(layout, rows), { level, layout });
					const { source } = await arrayOf(images.filter((_, i) => (level === 6 ? !gone.includes(i) : i !== gone[0])));
					const end = Math.min(data.length, at + length);
					expect(await readBytes(source, at, end - at)).toEqual(data.slice(at, end));
				},
			),
			{ numRuns: trials(20) },
		);
	});
});
