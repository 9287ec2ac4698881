import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { deflateSync } from "node:zlib";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { dmg } from "../../src/disk/dmg/index.js";
import { openDisk } from "../../src/disk/registry.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { surviveMutations } from "./mutations.js";
import { fileSink, listExtents, readAll } from "./support.js";

const SECTOR = 512;
const folder = await temporaryFolder();
const same = (one: Uint8Array, other: Uint8Array) => Buffer.compare(one, other) === 0;

type Kind = "zero" | "raw" | "ignored" | "gap" | "zlib" | "bzip2" | "xz";
const TYPES: Readonly<Record<Exclude<Kind, "gap">, number>> = {
	zero: 0,
	raw: 1,
	ignored: 2,
	zlib: 0x8000_0005,
	bzip2: 0x8000_0006,
	xz: 0x8000_0008,
};

interface Layout {
	readonly chunks: readonly { readonly kind: Kind; readonly sectors: number }[];
	/** How many chunks a partition has. */
	readonly perTable: number;
	readonly forkOffset: number;
	readonly changeType?: number;
	readonly segments?: number;
}

function packed(kind: Kind, bytes: Uint8Array): Uint8Array {
	if (kind === "raw") return bytes;
	if (kind === "zlib") return deflateSync(bytes);
	if (kind === "bzip2" || kind === "xz") return execFileSync(kind, ["-c"], { input: bytes });
	return new Uint8Array();
}

/** An image with the tables of its partitions in a property list, as macOS writes it. */
function build({ chunks, perTable, forkOffset, changeType, segments = 1 }: Layout) {
	const content: Uint8Array[] = [];
	const fork: Uint8Array[] = [Buffer.alloc(forkOffset, 0xaa)];
	const tables: Buffer[] = [];
	let sector = 0;
	let taken = 0;
	for (let first = 0; first < chunks.length; first += perTable) {
		const start = sector;
		const entries: Buffer[] = [];
		const entry = (type: number, count: number, length: number) => {
			const bytes = Buffer.alloc(40);
			bytes.writeUInt32BE(type, 0);
			bytes.writeBigUInt64BE(BigInt(sector - start), 8);
			bytes.writeBigUInt64BE(BigInt(count), 16);
			bytes.writeBigUInt64BE(BigInt(taken), 24);
			bytes.writeBigUInt64BE(BigInt(length), 32);
			entries.push(bytes);
		};
		for (const { kind, sectors } of chunks.slice(first, first + perTable)) {
			const isData = kind !== "zero" && kind !== "ignored" && kind !== "gap";
			const bytes = Buffer.alloc(sectors * SECTOR, isData ? `${kind} ${sector} ` : 0);
			const stored = packed(kind, bytes);
			if (kind !== "gap") entry(changeType ?? TYPES[kind], sectors, stored.length);
			content.push(bytes);
			fork.push(stored);
			taken += stored.length;
			sector += sectors;
		}
		entry(0xffff_ffff, 0, 0);
		const head = Buffer.alloc(204);
		head.write("mish");
		head.writeUInt32BE(1, 4);
		head.writeBigUInt64BE(BigInt(start), 8);
		head.writeBigUInt64BE(BigInt(sector - start), 16);
		head.writeUInt32BE(entries.length, 200);
		tables.push(Buffer.concat([head, ...entries]));
	}
	const data = tables.map((table) => `<dict><key>Data</key><data>\n\t${table.toString("base64")}\n</data></dict>`);
	const list = Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict><key>resource-fork</key><dict><key>blkx</key><array>${data.join("")}</array></dict></dict></plist>
`);
	const trailer = Buffer.alloc(512);
	trailer.write("koly");
	trailer.writeUInt32BE(4, 4);
	trailer.writeUInt32BE(512, 8);
	trailer.writeBigUInt64BE(BigInt(forkOffset), 24);
	trailer.writeBigUInt64BE(BigInt(taken), 32);
	trailer.writeUInt32BE(1, 56);
	trailer.writeUInt32BE(segments, 60);
	trailer.writeBigUInt64BE(BigInt(forkOffset + taken), 216);
	trailer.writeBigUInt64BE(BigInt(list.length), 224);
	trailer.writeUInt32BE(1, 488);
	trailer.writeBigUInt64BE(BigInt(sector), 492);
	return {
		image: new Uint8Array(Buffer.concat([...fork, list, trailer])),
		content: new Uint8Array(Buffer.concat(content)),
		trailerAt: forkOffset + taken + list.length,
		listAt: forkOffset + taken,
	};
}

const layoutOf = (...kinds: Kind[]): fc.Arbitrary<Layout> =>
	fc.record({
		chunks: fc.array(fc.record({ kind: fc.constantFrom(...kinds), sectors: fc.integer({ min: 1, max: 40 }) }), {
			minLength: 1,
			maxLength: 12,
		}),
		perTable: fc.integer({ min: 1, max: 5 }),
		forkOffset: fc.constantFrom(0, 512),
	});

describe("an Apple disk image", () => {
	it.skipIf(missing("bzip2", "xz"))(`reads as its tables say ${because("bzip2", "xz")}`, async () => {
		const layout = layoutOf("zero", "raw", "ignored", "gap", "zlib", "bzip2", "xz");
		const property = fc.asyncProperty(layout, fc.array(fc.tuple(fc.nat(), fc.nat())), async (layout, windows) => {
			const { image, content } = build(layout);
			const disk = await openDisk(bytesSource(image, "built.dmg"));
			expect(disk.format).toBe("dmg");
			expect(same(await readAll(disk), content)).toBe(true);
			for (const [a, b] of windows) {
				const from = a % content.length;
				const bytes = new Uint8Array(Math.min(content.length - from, b % 50_000)).fill(0xee);
				await disk.read(from, bytes);
				expect(same(bytes, content.subarray(from, from + bytes.length))).toBe(true);
			}
			let next = 0;
			for (const { at, length, kind } of await listExtents(disk)) {
				expect(at).toBe(next);
				next += length;
				const zero = content.subarray(at, next).every((byte) => byte === 0);
				expect(zero).toBe(kind === "zero");
			}
			expect(next).toBe(content.length);
		});
		await fc.assert(property, { numRuns: 30 });
	});

	it.skipIf(missing("qemu-img"))(`is what qemu-img reads ${because("qemu-img")}`, async () => {
		const property = fc.asyncProperty(layoutOf("zero", "raw", "ignored", "zlib"), async (layout) => {
			const { image } = build(layout);
			const file = path.join(folder, "judged.dmg");
			const raw = path.join(folder, "judged.raw");
			await writeFile(file, image);
			await using sink = await fileSink(raw);
			const disk = await openDisk(bytesSource(image));
			await sink.write(0, await readAll(disk));
			await expect(run("qemu-img", "compare", "-f", "dmg", "-F", "raw", file, raw)).resolves.toContain("identical");
		});
		await fc.assert(property, { numRuns: 10 });
	});

	it("names what it does not read", async () => {
		const one = { chunks: [{ kind: "zlib", sectors: 8 }], perTable: 1, forkOffset: 0 } as const;
		for (const [message, kind, layout] of [
			[/LZFSE/, "unsupported", { ...one, changeType: 0x8000_0007 }],
			[/ADC/, "unsupported", { ...one, changeType: 0x8000_0004 }],
			[/0x1234/, "unsupported", { ...one, changeType: 0x1234 }],
			[/in 3 files/, "unsupported", { ...one, segments: 3 }],
			[/512 bytes/, "damaged", { ...one, chunks: [{ kind: "zlib", sectors: 1 }], changeType: 1 }],
		] as const) {
			await expect(openDisk(bytesSource(build(layout).image, "a.dmg"))).rejects.toMatchObject({
				kind,
				message: expect.stringMatching(message),
			});
		}
	});

	it("survives damage to its trailer and its tables", async () => {
		const kinds: readonly Kind[] = ["zlib", "zero", "raw", "zlib", "gap"];
		const { image, listAt, trailerAt } = build({
			chunks: kinds.map((kind) => ({ kind, sectors: 8 })),
			perTable: 3,
			forkOffset: 0,
		});
		const outcomes = await surviveMutations(dmg, image, [
			{ at: 0, length: 64 },
			{ at: listAt + 150, length: trailerAt - listAt - 150 },
			{ at: trailerAt, length: 64 },
			{ at: trailerAt + 216, length: 16 },
			{ at: trailerAt + 488, length: 12 },
		]);
		expect(outcomes.read).toBeGreaterThan(0);
		expect(outcomes.refused).toBeGreaterThan(0);
	});
});
