import { copyFile, open, readFile, stat, truncate } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { qed } from "../../src/disk/qed/index.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { surviveMutations } from "./mutations.js";
import { listExtents, openFileCount, readAll, withDisk } from "./support.js";

const MIB = 1024 * 1024;
const TIB = 1024 ** 4;
const SIZE = 5 * MIB + 3 * 512;
const folder = await temporaryFolder();
const at = (name: string) => path.join(folder, name);

const read = (name: string) => withDisk(at(name), readAll);

/** The bytes as qemu-img sees them. */
async function judged(name: string): Promise<Uint8Array> {
	await run("qemu-img", "convert", "-f", "qed", "-O", "raw", at(name), at("judged.raw"));
	return withDisk(at("judged.raw"), readAll, "raw");
}

async function patched(from: string, to: string, offset: number, bytes: readonly number[]): Promise<void> {
	await copyFile(at(from), at(to));
	await using file = await open(at(to), "r+");
	await file.write(Uint8Array.from(bytes), 0, bytes.length, offset);
}

const writes = fc.array(
	fc.record({
		sector: fc.nat(SIZE / 512 - 1),
		sectors: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 3000 })),
		zero: fc.boolean(),
	}),
	{ minLength: 3, maxLength: 20 },
);

describe.skipIf(missing("qemu-img", "qemu-io"))(`QED ${because("qemu-img", "qemu-io")}`, () => {
	// With tables of one cluster, QEMU makes images that it does not open again.
	for (const options of ["cluster_size=4k,table_size=2", "cluster_size=16k,table_size=16", "cluster_size=1M"]) {
		for (const backed of [false, true]) {
			it(`sees what QEMU sees after any writes: ${options}${backed ? ", backed" : ""}`, async () => {
				await run("sh", "-c", `yes base | head -c ${2 * MIB + 1024} >"$1"`, "sh", at("base.raw"));
				const backing = backed ? ["-F", "raw", "-b", "base.raw"] : [];
				await fc.assert(
					fc.asyncProperty(writes, async (writes) => {
						await run("qemu-img", "create", "-q", "-f", "qed", "-o", options, ...backing, at("image"), String(SIZE));
						const commands = writes.flatMap(({ sector, sectors, zero }, i) => {
							const what = zero ? "-z" : `-P ${i + 1}`;
							return ["-c", `write ${what} ${sector * 512} ${Math.min(sectors * 512, SIZE - sector * 512)}`];
						});
						await run("qemu-io", "-f", "qed", ...commands, at("image"));
						expect(Buffer.compare(await read("image"), await judged("image"))).toBe(0);
					}),
					{ numRuns: 4 },
				);
			});
		}
	}

	it("tells what is special about an image, and takes a raw backing file for raw", async () => {
		await run("qemu-img", "create", "-q", "-f", "qcow2", at("trap"), "1M");
		await run("qemu-img", "create", "-q", "-f", "qed", "-F", "raw", "-b", "trap", at("pinned"));
		expect(Buffer.from((await read("pinned")).subarray(0, 4)).toString("latin1")).toBe("QFI\xfb");
		await expect(withDisk(at("pinned"), (disk) => Promise.resolve(disk.details))).resolves.toEqual({
			clusterSize: 65_536,
			tableSize: 4,
			needsCheck: false,
			backingFile: "trap",
			backingFormat: "raw",
		});
		await run("qemu-img", "create", "-q", "-f", "qed", "-F", "qcow2", "-b", "trap", at("probed"));
		await expect(withDisk(at("probed"), listExtents)).resolves.toEqual([{ at: 0, length: MIB, kind: "zero" }]);
	});

	it("lists the extents of 64 TiB at once", async () => {
		await run("qemu-img", "create", "-q", "-f", "qed", at("huge"), "64T");
		await run("qemu-io", "-f", "qed", "-c", "write -P 1 63T 64k", at("huge"));
		const started = process.cpuUsage();
		const extents = await withDisk(at("huge"), listExtents);
		const { user, system } = process.cpuUsage(started);
		expect(extents.map(({ at, length, kind }) => ({ at, length, kind }))).toEqual([
			{ at: 0, length: 63 * TIB, kind: "zero" },
			{ at: 63 * TIB, length: 65_536, kind: "data" },
			{ at: 63 * TIB + 65_536, length: TIB - 65_536, kind: "zero" },
		]);
		expect((user + system) / 1000, "milliseconds").toBeLessThan(1000);
	});

	it("says what it cannot read, where it says so, and what to do", async () => {
		await run("qemu-img", "create", "-q", "-f", "qed", at("plain"), "1M");
		await run("qemu-io", "-f", "qed", "-c", "write -P 4 0 1M", at("plain"));
		await patched("plain", "dirty", 16, [2]);
		expect(Buffer.compare(await read("dirty"), new Uint8Array(MIB).fill(4))).toBe(0);
		await expect(withDisk(at("dirty"), (disk) => Promise.resolve(disk.details))).resolves.toMatchObject({
			needsCheck: true,
		});

		await patched("plain", "future", 16, [8]);
		await patched("plain", "cluster", 4, [0, 0, 0, 0]);
		await patched("plain", "table", 8, [3]);
		await patched("plain", "size", 48, [1]);
		await patched("plain", "large", 55, [1]);
		await patched("plain", "l1", 40, [1]);
		await patched("plain", "l2-far", 65_536, [0, 0, 0, 1]);
		await patched("plain", "l2-middle", 65_536, [1]);
		const l2 = (await readFile(at("plain"))).readUInt32LE(65_536);
		await patched("plain", "data", l2, [0, 1]);
		await copyFile(at("plain"), at("cut"));
		await truncate(at("cut"), (await stat(at("plain"))).size - 1000);

		const cases = [
			["future", "unsupported", /bits 0x8/, 16],
			["cluster", "damaged", /clusters of 0 bytes/, 4],
			["table", "damaged", /tables of 3 clusters/, 8],
			["size", "damaged", /disk of 1048577 bytes/, 48],
			["large", "damaged", /larger than any real size/, 0],
			["l1", "damaged", /L1 table at 65537/, 40],
			["l2-far", "damaged", /ends at byte/, expect.any(Number)],
			["l2-middle", "damaged", /L2 table cannot lie/, 65_536],
			["data", "damaged", /cannot lie at/, expect.any(Number)],
			["cut", "damaged", /truncated/, expect.any(Number)],
		] as const;
		for (const [name, kind, message, offset] of cases) {
			const error = await read(name).catch((error: unknown) => error);
			expect(error, `of ${name}`).toMatchObject({
				kind,
				message: expect.stringMatching(message),
				offset,
				file: at(name),
			});
		}
	});

	it("survives any mutation of its header and tables", async () => {
		await run("qemu-img", "create", "-q", "-f", "qed", "-o", "cluster_size=4k,table_size=2", at("small"), "4M");
		await run("qemu-io", "-f", "qed", "-c", "write -P 4 0 20k", "-c", "write -z 2M 64k", at("small"));
		const outcomes = await surviveMutations(qed, await readFile(at("small")), [
			{ at: 0, length: 72 },
			{ at: 4096, length: 64 },
			{ at: 4096 * 3, length: 64 },
		]);
		expect(outcomes.read).toBeGreaterThan(0);
		expect(outcomes.refused).toBeGreaterThan(0);
	});

	it("closes every file that it opened", () => {
		expect(openFileCount()).toBe(0);
	});
});
