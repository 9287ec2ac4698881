import { createHash } from "node:crypto";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { guid, viewOf } from "../../src/bytes/struct.js";
import { vhdx } from "../../src/disk/vhdx/index.js";
import {
	DATA_SIGNATURE,
	DataDescriptor,
	DataSector,
	HEADER_OFFSETS,
	Header,
	KIB,
	LOG_SECTOR,
	LOG_SIGNATURE,
	LogEntryHeader,
	MIB,
	SECTOR_SIGNATURE,
	sealed,
	ZERO_SIGNATURE,
	ZeroDescriptor,
} from "../../src/disk/vhdx/layout.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { surviveMutations } from "./mutations.js";
import { readAll, withDisk } from "./support.js";

const LOG_GUID = "11111111-2222-3333-4444-555555555555";
const STALE_GUID = "99999999-2222-3333-4444-555555555555";

type Update = { readonly at: number; readonly bytes: Uint8Array } | { readonly at: number; readonly zeros: number };

interface EntryOptions {
	readonly sequence: number;
	/** Offset in the log. */
	readonly tail: number;
	readonly fileSize: number;
	readonly logGuid?: string;
}

/** A log entry as [MS-VHDX] 2.3.1 has it. */
function logEntry(
	updates: readonly Update[],
	{ sequence, tail, fileSize, logGuid = LOG_GUID }: EntryOptions,
): Uint8Array {
	const written = updates.filter((update) => "bytes" in update);
	const descriptors = Math.ceil((LogEntryHeader.size + updates.length * DataDescriptor.size) / LOG_SECTOR) * LOG_SECTOR;
	const entry = new Uint8Array(descriptors + written.length * LOG_SECTOR);
	entry.set(
		LogEntryHeader.build({
			signature: LOG_SIGNATURE,
			entryLength: entry.length,
			tail,
			sequenceNumber: sequence,
			descriptorCount: updates.length,
			logGuid,
			flushedFileOffset: fileSize,
			lastFileOffset: fileSize,
		}),
	);
	let sectorAt = descriptors;
	for (const [i, update] of updates.entries()) {
		const at = LogEntryHeader.size + i * DataDescriptor.size;
		const common = { fileOffset: update.at, sequenceNumber: sequence };
		if ("zeros" in update) {
			entry.set(ZeroDescriptor.build({ ...common, signature: ZERO_SIGNATURE, zeroLength: update.zeros }), at);
			continue;
		}
		const leadingBytes = update.bytes.subarray(0, 8);
		const trailingBytes = update.bytes.subarray(4092, 4096);
		entry.set(DataDescriptor.build({ ...common, signature: DATA_SIGNATURE, leadingBytes, trailingBytes }), at);
		const data = update.bytes.subarray(8, 4092);
		entry.set(DataSector.build({ signature: SECTOR_SIGNATURE, sequenceLow: sequence, data }), sectorAt);
		sectorAt += LOG_SECTOR;
	}
	return sealed(entry);
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

describe.skipIf(missing("qemu-img"))(`a VHDX whose log has to be replayed ${because("qemu-img")}`, async () => {
	const folder = await temporaryFolder();
	const clean = path.join(folder, "clean.vhdx");
	let image: Uint8Array;
	let logAt: number;
	let logLength: number;
	/** A sector of the block allocation table, and one that has the places of two blocks exchanged. */
	let bat: { at: number; before: Uint8Array; after: Uint8Array };
	let payloadAt: number;

	beforeAll(async () => {
		const raw = path.join(folder, "content.raw");
		const content = new Uint8Array(4 * MIB);
		for (let i = 0; i < content.length; i += 4 * KIB) content.fill(1 + ((i / (4 * KIB)) % 251), i, i + 4 * KIB);
		await writeFile(raw, content);
		await run("qemu-img", "convert", "-f", "raw", "-O", "vhdx", "-o", "block_size=1M", raw, clean);
		// A Buffer's slice() would not copy.
		image = new Uint8Array(await readFile(clean));
		const header = Header.parse(image, HEADER_OFFSETS[0]);
		logAt = header.logOffset;
		logLength = header.logLength;
		// qemu-img's block allocation table has its place right behind the log; its first entry is the first block's.
		const view = viewOf(image);
		let at = 0;
		for (let place = logAt + logLength; place < image.length && at === 0; place += 64 * KIB) {
			const [first, second] = [view.getBigUint64(place, true), view.getBigUint64(place + 8, true)];
			if ((first & 0xfffffn) === 6n && second - first === BigInt(MIB)) at = place;
		}
		if (at === 0) throw new Error("no block allocation table where qemu-img is known to put it");
		const before = image.slice(at, at + LOG_SECTOR);
		const after = before.slice();
		after.set(before.subarray(0, 8), 8);
		after.set(before.subarray(8, 16), 0);
		bat = { at, before, after };
		payloadAt = Number(view.getBigUint64(at, true) & ~0xfffffn);
	});

	/** The image with `entries` in its log and a header that says so. */
	function dirty(entries: readonly { readonly at: number; readonly entry: Uint8Array }[]): Uint8Array {
		const bytes = image.slice();
		for (const { at, entry } of entries) {
			const fits = Math.min(entry.length, logLength - at);
			bytes.set(entry.subarray(0, fits), logAt + at);
			bytes.set(entry.subarray(fits), logAt);
		}
		for (const at of HEADER_OFFSETS) {
			guid.set(viewOf(bytes), at + Header.offsets.logGuid, LOG_GUID, true);
			sealed(bytes.subarray(at, at + Header.size));
		}
		return bytes;
	}

	const contentOf = (file: string) => withDisk(file, async (disk) => sha256(await readAll(disk)));

	/** What is read without replaying, what qemu-img reads after its own replay, and what was there before. */
	async function replayedTwice(name: string, bytes: Uint8Array) {
		const file = path.join(folder, `${name}.vhdx`);
		await writeFile(file, bytes);
		const ours = await contentOf(file);
		expect(sha256(await readFile(file))).toBe(sha256(bytes));

		const replayed = path.join(folder, `${name}-replayed.vhdx`);
		await copyFile(file, replayed);
		await run("qemu-img", "check", "-q", "-r", "all", "-f", "vhdx", replayed);
		const raw = path.join(folder, `${name}.raw`);
		await run("qemu-img", "convert", "-f", "vhdx", "-O", "raw", replayed, raw);
		return { ours, qemus: sha256(await readFile(raw)), before: await contentOf(clean) };
	}

	const sector = (fill: number) => Uint8Array.from({ length: LOG_SECTOR }, (_, i) => (fill + i) & 0xff);
	const options = (sequence: number, tail: number) => ({ sequence, tail, fileSize: image.length });

	it("has its block allocation table replaced", async () => {
		const entry = logEntry([{ at: bat.at, bytes: bat.after }], options(7, 0));
		const { ours, qemus, before } = await replayedTwice("bat", dirty([{ at: 0, entry }]));
		expect(ours).toBe(qemus);
		expect(ours).not.toBe(before);
	});

	it("has sectors written and zeroed in the order of the log", async () => {
		const first = logEntry(
			[
				{ at: payloadAt, bytes: sector(3) },
				{ at: payloadAt + 8 * KIB, zeros: 64 * KIB },
				{ at: payloadAt + 256 * KIB, bytes: sector(9) },
			],
			options(41, 16 * KIB),
		);
		const second = logEntry([{ at: payloadAt + 16 * KIB, bytes: sector(5) }], options(42, 16 * KIB));
		const third = logEntry([{ at: payloadAt + 256 * KIB, zeros: 4 * KIB }], options(43, 16 * KIB));
		const at = [16 * KIB, 16 * KIB + first.length, 16 * KIB + first.length + second.length] as const;
		const entries = [first, second, third].map((entry, i) => ({ at: at[i] ?? 0, entry }));
		const { ours, qemus, before } = await replayedTwice("ordered", dirty(entries));
		expect(ours).toBe(qemus);
		expect(ours).not.toBe(before);
	});

	it("has a log that goes on at its beginning", async () => {
		const start = logLength - 12 * KIB;
		const first = logEntry([{ at: payloadAt, bytes: sector(1) }], options(5, start));
		const second = logEntry([{ at: bat.at, bytes: bat.after }], options(6, start));
		const entries = [
			{ at: start, entry: first },
			{ at: start + first.length, entry: second },
		];
		const { ours, qemus, before } = await replayedTwice("wrapped", dirty(entries));
		expect(ours).toBe(qemus);
		expect(ours).not.toBe(before);
	});

	it("leaves out what stands before the tail, older sequences, and entries of another log", async () => {
		const stale = logEntry([{ at: payloadAt, bytes: sector(77) }], { ...options(900, 0), logGuid: STALE_GUID });
		const older = logEntry([{ at: payloadAt, bytes: sector(66) }], options(3, 64 * KIB));
		const before = logEntry([{ at: payloadAt, bytes: sector(55) }], options(20, 128 * KIB));
		const tail = 128 * KIB + before.length;
		const active = logEntry([{ at: payloadAt + 4 * KIB, bytes: sector(44) }], options(21, tail));
		const entries = [
			{ at: 0, entry: stale },
			{ at: 64 * KIB, entry: older },
			{ at: 128 * KIB, entry: before },
			{ at: tail, entry: active },
		];
		const bytes = dirty(entries);
		const file = path.join(folder, "tail.vhdx");
		await writeFile(file, bytes);
		await withDisk(file, async (disk) => {
			const block = new Uint8Array(8 * KIB);
			await disk.read(0, block);
			expect(block.subarray(0, 4 * KIB)).toEqual(new Uint8Array(4 * KIB).fill(1));
			expect(block.subarray(4 * KIB)).toEqual(sector(44));
		});
	});

	const damages: Readonly<Record<string, () => readonly Uint8Array[]>> = {
		"it holds no entries": () => [],
		"its only entry is torn": () => {
			const torn = logEntry([{ at: bat.at, bytes: bat.after }], options(7, 0));
			torn[5000] = (torn[5000] ?? 0) ^ 1;
			return [torn];
		},
		"the file was cut off since": () => [
			logEntry([{ at: bat.at, bytes: bat.after }], { sequence: 7, tail: 0, fileSize: image.length + MIB }),
		],
		"it wants the file to have terabytes": () => {
			const greedy = logEntry([{ at: bat.at, bytes: bat.after }], options(7, 0));
			viewOf(greedy).setBigUint64(LogEntryHeader.offsets.lastFileOffset, 1n << 45n, true);
			return [sealed(greedy)];
		},
	};
	for (const [what, entries] of Object.entries(damages)) {
		it(`is damaged when ${what}`, async () => {
			const file = path.join(folder, `${what}.vhdx`);
			await writeFile(file, dirty(entries().map((entry) => ({ at: 0, entry }))));
			await expect(contentOf(file)).rejects.toMatchObject({ kind: "damaged" });
		});
	}

	it("never breaks the reader, whatever stands in the log", async () => {
		const updates = [
			{ at: bat.at, bytes: bat.after },
			{ at: payloadAt, zeros: 64 * KIB },
		];
		const entry = logEntry(updates, options(7, 0));
		const { read, refused } = await surviveMutations(
			vhdx,
			dirty([
				{ at: 0, entry },
				{ at: entry.length, entry: logEntry(updates, options(8, 0)) },
			]),
			[
				{ at: logAt, length: 128 },
				{ at: logAt + LOG_SECTOR, length: 16 },
				{ at: logAt + entry.length, length: 128 },
			],
			(bytes) => {
				for (const at of [0, entry.length]) sealed(bytes.subarray(logAt + at, logAt + at + entry.length));
			},
		);
		expect(read).toBeGreaterThan(0);
		expect(refused).toBeGreaterThan(0);
	});
});
