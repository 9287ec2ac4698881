import { copyFile, open, truncate } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { bytesSource } from "../../src/bytes/source.js";
import { checkImage } from "../../src/disk/check.js";
import { TakenRanges } from "../../src/disk/check-overlaps.js";
import type { Finding } from "../../src/disk/disk.js";
import { confinedNeighbours } from "../../src/disk/neighbours.js";
import { openFile } from "../../src/source/file.js";
import { folderNeighbours } from "../../src/source/neighbours.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";

describe("TakenRanges", () => {
	const SIZE = 200;

	/** Which bytes are taken more than once, counted one by one. */
	const twice = (ranges: readonly { at: number; length: number }[]) => {
		const count = new Uint8Array(SIZE);
		for (const { at, length } of ranges) for (let i = at; i < at + length; i++) count[i] = (count[i] ?? 0) + 1;
		return [...count].map((times) => times > 1);
	};

	it("finds exactly the bytes that are taken twice, in whatever order and whenever they are compared", () => {
		const range = fc
			.record({ at: fc.nat(SIZE - 1), length: fc.integer({ min: 1, max: 40 }), settle: fc.boolean() })
			.map(({ at, length, settle }) => ({ at, length: Math.min(length, SIZE - at), settle }));
		fc.assert(
			fc.property(fc.array(range, { maxLength: 30 }), (ranges) => {
				const taken = new TakenRanges();
				const found = ranges.flatMap((each) => [...taken.add(each), ...(each.settle ? taken.settle() : [])]);
				found.push(...taken.settle());
				const seen = Array.from({ length: SIZE }, (_, i) => found.some(({ at, length }) => i >= at && i < at + length));
				expect(seen).toEqual(twice(ranges));
			}),
		);
	});

	it("keeps a scattered disk of a hundred thousand runs in little time", () => {
		const taken = new TakenRanges();
		const runs = 200_000;
		const started = performance.now();
		// A permutation that never continues where it was.
		let overlaps = 0;
		for (let i = 0; i < runs; i++) overlaps += taken.add({ at: ((i * 77_773) % runs) * 8192, length: 4096 }).length;
		expect(overlaps + taken.settle().length).toBe(0);
		expect(taken.add({ at: 8192 * 5 + 4000, length: 200 })).toEqual([]);
		expect(taken.settle()).toEqual([{ at: 8192 * 5 + 4000, length: 96 }]);
		expect(taken.complete).toBe(true);
		expect(performance.now() - started).toBeLessThan(2000);
	});
});

describe.skipIf(missing("qemu-img"))(`checkImage on qcow2 ${because("qemu-img")}`, async () => {
	const folder = await temporaryFolder();
	const at = (name: string) => path.join(folder, name);
	const MIB = 2 ** 20;

	beforeAll(async () => {
		const file = await open(at("disk.raw"), "w");
		for (let i = 0; i < 8; i++) await file.write(Buffer.alloc(256 * 1024, `block ${i}, `), 0, 256 * 1024, i * 2 * MIB);
		await file.close();
		await truncate(at("disk.raw"), 32 * MIB);
		await run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", at("disk.raw"), at("good.qcow2"));
		await run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", at("disk.raw"), at("packed.qcow2"));
	});

	async function check(name: string, read = false) {
		const findings: Finding[] = [];
		await using source = await openFile(at(name));
		const neighbours = confinedNeighbours(folderNeighbours(folder));
		let progress = 0;
		const onProgress = (bytes: number) => (progress += bytes);
		const summary = await checkImage(source, {
			neighbours,
			read,
			onProgress,
			onFinding: (each) => findings.push(each),
		});
		return { summary, findings, progress };
	}

	/** The first L2 table: through the L1 table that the header points at. */
	async function patchL2(name: string, patch: (l2: Buffer) => void): Promise<void> {
		await using file = await open(at(name), "r+");
		const read = async (offset: number, length: number) =>
			(await file.read(Buffer.alloc(length), 0, length, offset)).buffer;
		const l1 = Number((await read(40, 8)).readBigUInt64BE());
		const offset = Number((await read(l1, 8)).readBigUInt64BE() & 0x00ff_ffff_ffff_fe00n);
		const l2 = await read(offset, 65_536);
		patch(l2);
		await file.write(l2, 0, l2.length, offset);
	}

	it("tells how much is kept, and where it lies together", async () => {
		const plain = await check("good.qcow2", true);
		expect(plain.findings).toEqual([]);
		expect(plain.summary).toMatchObject({ format: "qcow2", size: 32 * MIB, data: 2 * MIB, compressed: 0 });
		expect(plain.progress).toBe(32 * MIB);
		const packed = await check("packed.qcow2", true);
		expect(packed.findings).toEqual([]);
		expect(packed.summary).toMatchObject({ data: 2 * MIB, compressed: 2 * MIB });
	});

	it("finds two places of the disk that are kept in one of the file", async () => {
		await copyFile(at("good.qcow2"), at("twice.qcow2"));
		// Cluster 1 shares the place of cluster 0.
		await patchL2("twice.qcow2", (l2) => l2.copy(l2, 8, 0, 8));
		const { findings, summary } = await check("twice.qcow2");
		expect(summary.findings.error).toBeGreaterThan(0);
		expect(findings).toContainEqual(
			expect.objectContaining({
				severity: "error",
				message: expect.stringMatching(/65536 bytes .* more than one place/),
			}),
		);
	});

	it("finds data beyond the end of the file", async () => {
		await copyFile(at("good.qcow2"), at("beyond.qcow2"));
		await patchL2("beyond.qcow2", (l2) => l2.writeBigUInt64BE(0x8000_0000_4000_0000n, 0));
		const { findings } = await check("beyond.qcow2");
		expect(findings).toContainEqual(expect.objectContaining({ severity: "error" }));
	});

	it("finds by --read what does not decompress, and goes on", async () => {
		await copyFile(at("packed.qcow2"), at("garbled.qcow2"));
		let offset = 0;
		await patchL2("garbled.qcow2", (l2) => {
			offset = Number(l2.readBigUInt64BE(0) & ((1n << 54n) - 1n));
		});
		const file = await open(at("garbled.qcow2"), "r+");
		await file.write(Buffer.alloc(16, 0xff), 0, 16, offset);
		await file.close();
		expect((await check("garbled.qcow2")).findings.filter(({ message }) => /compress/.test(message))).toEqual([]);
		const { findings, progress } = await check("garbled.qcow2", true);
		expect(findings).toContainEqual(expect.objectContaining({ severity: "error", file: at("garbled.qcow2") }));
		expect(progress).toBe(32 * MIB);
	});

	it("takes an image that does not open for damaged, and one that it cannot read for itself", async () => {
		await copyFile(at("good.qcow2"), at("cut.qcow2"));
		await truncate(at("cut.qcow2"), 150_000);
		const { summary } = await check("cut.qcow2");
		expect(summary.size).toBeNull();
		expect(summary.findings.error).toBe(1);

		const neighbours = confinedNeighbours(() => Promise.reject(new AnyvisorError("not-found", "none")));
		const version1 = bytesSource(Buffer.concat([Buffer.from("QFI\xfb\0\0\0\x01", "latin1"), Buffer.alloc(1016)]));
		await expect(checkImage(version1, { neighbours, onFinding() {} })).rejects.toMatchObject({ kind: "unsupported" });
	});
});
