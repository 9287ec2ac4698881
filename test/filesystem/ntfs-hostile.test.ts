import { readFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { type ByteSource, bytesSource } from "../../src/bytes/source.js";
import { ntfs } from "../../src/filesystem/ntfs/index.js";
import { decodeLznt1 } from "../../src/filesystem/ntfs/lznt1.js";
import { temporaryFolder, trials } from "../support/tools.js";
import { explore, tolerate } from "./explore.js";
import { noise } from "./ext-images.js";
import { fill, mkntfs, mounted, openNtfs, unmountable } from "./ntfs-images.js";

/** How long it took to see all that can be seen, in milliseconds. */
async function explored(source: ByteSource): Promise<number> {
	const begin = performance.now();
	const filesystem = await tolerate(ntfs.open(source));
	if (filesystem !== undefined) await explore(filesystem);
	return performance.now() - begin;
}

const folder = await temporaryFolder();
const reason = unmountable(folder);

describe.skipIf(reason !== "")(`damaged and hostile NTFS ${reason}`, () => {
	let bytes = new Uint8Array();
	/** Where records of files and blocks of indices begin. */
	let records: number[] = [];

	beforeAll(async () => {
		const image = await mkntfs(path.join(folder, "fs.img"), "", 8);
		await mounted(image, path.join(folder, "mounted"), () =>
			fill(path.join(folder, "mounted"), { many: 60, fragments: 200 }),
		);
		bytes = new Uint8Array(await readFile(image));
		const view = Buffer.from(bytes.buffer);
		for (let at = 0; at < bytes.length; at += 1024) {
			if (["FILE", "INDX"].includes(view.toString("latin1", at, at + 4)) && view.readUInt16LE(at + 22) !== 0)
				records.push(at);
		}
	});

	it("any change to records and indices that looks written whole is an error or harmless", async () => {
		expect(records.length).toBeGreaterThan(100);
		/** Headers and attributes stand at the beginning; the ends of a field as likely as any bit of it. */
		const offset = fc.oneof(fc.integer({ min: 16, max: 80 }), fc.integer({ min: 48, max: 509 }));
		const value = fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x7f, 0x80, 0xfe, 0xff));
		await fc.assert(
			fc.asyncProperty(
				fc.array(fc.tuple(fc.nat(), offset, value), { minLength: 1, maxLength: 12 }),
				async (changes) => {
					const before = changes.map(([which, at, byte]) => {
						const place = (records[which % records.length] ?? 0) + at;
						const old = bytes[place] ?? 0;
						bytes[place] = byte;
						return [place, old] as const;
					});
					try {
						expect(await explored(bytesSource(bytes, "mutated.img"))).toBeLessThan(10_000);
					} finally {
						for (const [place, old] of before.reverse()) bytes[place] = old;
					}
				},
			),
			{ numRuns: trials(40) },
		);
	});

	it("any boot sector is an error or harmless", async () => {
		const change = fc.tuple(
			fc.integer({ min: 11, max: 80 }),
			fc.oneof(fc.nat(255), fc.constantFrom(0, 0x7f, 0x80, 0xff)),
		);
		await fc.assert(
			fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
				const before = bytes.slice(0, 512);
				for (const [at, byte] of changes) bytes[at] = byte;
				try {
					expect(await explored(bytesSource(bytes, "mutated.img"))).toBeLessThan(10_000);
				} finally {
					bytes.set(before);
				}
			}),
			{ numRuns: trials(25) },
		);
	});

	it("a record that was not written whole is damage with its place and the way out", async () => {
		const view = Buffer.from(bytes.buffer);
		const record = view.lastIndexOf("FILE", view.indexOf("holes", 0, "utf16le"));
		const changed = bytes.slice();
		changed[record + 510] = (changed[record + 510] ?? 0) ^ 1;
		await expect((await openNtfs(bytesSource(changed, "x.img"))).stat("/holes")).rejects.toMatchObject({
			...{ kind: "damaged", file: "x.img", offset: record + 510, hint: expect.stringContaining("chkdsk") },
		});
	});

	it("a name that would lead elsewhere is never listed", async () => {
		const changed = bytes.slice();
		const view = Buffer.from(changed.buffer);
		for (let at = view.indexOf("holes", 0, "utf16le"); at >= 0; at = view.indexOf("holes", at + 1, "utf16le")) {
			view.write("ho/es", at, "utf16le");
		}
		await expect((await openNtfs(bytesSource(changed))).list("/")).rejects.toMatchObject({ kind: "damaged" });
	});

	it("a volume that was cut short reads as far as it goes", async () => {
		for (const length of [0, 40, 512, 20_000, 100_000, 4 << 20]) {
			expect(await explored(bytesSource(bytes.subarray(0, length)))).toBeLessThan(10_000);
		}
	});
});

it("LZNT1 that is anything decodes or does not, and never leaves its bounds", () => {
	// A byte, and a copy of it that is longer than the distance.
	const out = new Uint8Array(16);
	expect(decodeLznt1(Uint8Array.of(0x03, 0xb0, 0x02, 0x61, 0x06, 0x00, 0, 0), out)).toBe(true);
	expect(new TextDecoder().decode(out)).toBe(`${"a".repeat(10)}\0\0\0\0\0\0`);
	for (let i = 0; i < 3000; i++) {
		const packed = noise(2 + (i % 300), i);
		packed[1] = 0xb0;
		packed[0] = packed.length - 3;
		decodeLznt1(packed, new Uint8Array(8192));
	}
});
