import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, open, rm, symlink, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { DataExtent } from "../../src/bytes/holes.js";
import { readBytes } from "../../src/bytes/source.js";
import { guarded } from "../../src/source/failure.js";
import { lengthByReading } from "../../src/source/file.js";
import { folderNeighbours, openFile } from "../../src/source/index.js";
import { withKoffiAgain, withoutKoffi } from "../support/koffi.js";
import { because, missing, temporaryFolder } from "../support/tools.js";

const folder = await temporaryFolder();
const at = (...parts: string[]) => path.join(folder, ...parts);

describe("openFile", () => {
	test("reads any range, at once and in any order, and not beyond", async () => {
		const content = new Uint8Array(300_000).map((_, i) => (i >> 8) ^ i);
		await writeFile(at("content"), content);
		await using file = await openFile(at("content"));
		expect([file.name, file.size]).toEqual([at("content"), content.length]);
		const starts = [0, 299_990, 65_535, 1, 200_000];
		const read = await Promise.all(starts.map((start) => readBytes(file, start, 10)));
		expect(read).toEqual(starts.map((start) => content.slice(start, start + 10)));
		await expect(readBytes(file, 299_995, 10)).rejects.toMatchObject({ kind: "damaged", offset: 299_995 });
	});

	test("says what is wrong and what to do", async () => {
		await expect(openFile(at("absent"))).rejects.toMatchObject({
			kind: "not-found",
			file: at("absent"),
			message: `opening ${at("absent")} failed: no such file or directory`,
			hint: expect.any(String),
		});
		await writeFile(at("plain"), "");
		await expect(openFile(at("plain", "below"))).rejects.toMatchObject({ kind: "not-found" });
		await expect(openFile(folder)).rejects.toMatchObject({ kind: "unsupported", file: folder });
	});

	test.skipIf(missing("mkfifo"))(`does not wait at a pipe ${because("mkfifo")}`, async () => {
		execFileSync("mkfifo", [at("pipe")]);
		await expect(openFile(at("pipe"))).rejects.toMatchObject({ kind: "unsupported" });
	});

	const root = process.getuid?.() === 0;
	test.skipIf(root)(`without permission says so ${root ? "(skipped: root may read everything)" : ""}`, async () => {
		await writeFile(at("secret"), "x", { mode: 0 });
		await expect(openFile(at("secret"))).rejects.toMatchObject({ kind: "permission" });
	});

	test("a file that shrinks while it is read is an I/O error", async () => {
		await writeFile(at("shrinking"), new Uint8Array(1000));
		await using file = await openFile(at("shrinking"));
		await truncate(at("shrinking"), 10);
		await expect(readBytes(file, 5, 100)).rejects.toMatchObject({ kind: "io", offset: 10 });
	});

	const noDevice = existsSync("/dev/full") ? "" : "(skipped: this system has no /dev/full)";
	test.skipIf(noDevice !== "")(`a full device is no space, as the kernel says it ${noDevice}`, async () => {
		const full = await open("/dev/full", "w");
		const writing = guarded("writing", "a.ova", () => full.write(new Uint8Array(10)));
		await expect(writing).rejects.toMatchObject({ kind: "no-space", file: "a.ova", hint: expect.any(String) });
		await full.close();
	});
});

test("the length of a device is found by reading it", () => {
	fc.assert(
		fc.property(
			fc.oneof(
				fc.nat(20_000),
				fc.maxSafeNat().map((size) => Math.floor(size / 4)),
			),
			(size) => {
				let reads = 0;
				const read = (into: Uint8Array, at: number) => {
					reads++;
					return Math.max(0, Math.min(into.length, size - at));
				};
				expect(lengthByReading(read)).toBe(size);
				expect(reads).toBeLessThan(100);
			},
		),
	);
});

async function collect(extents: AsyncIterable<DataExtent>): Promise<DataExtent[]> {
	const all: DataExtent[] = [];
	for await (const extent of extents) all.push(extent);
	return all;
}

/** Python asks the kernel the same question by its own way. */
const LSEEK = `
import os, sys
f = os.open(sys.argv[1], os.O_RDONLY); size = os.fstat(f).st_size; at = 0
while at < size:
    try: data = os.lseek(f, at, os.SEEK_DATA)
    except OSError: data = size
    if data > at: print(at, data - at, "zero")
    if data == size: break
    at = os.lseek(f, data, os.SEEK_HOLE)
    print(data, at - data, "data")
`;

describe("extents", () => {
	afterEach(() => {
		withKoffiAgain();
		vi.resetModules();
	});

	const layouts: [string, size: number, data: number[]][] = [
		["nothing", 0, []],
		["one hole", 10_000_000, []],
		["data at both ends", 10_000_000, [0, 9_990_000]],
		["data in the middle", 10_000_000, [5_000_000]],
		["a dense file", 70_000, [0, 65_536]],
	];

	describe.skipIf(missing("python3"))(`${because("python3")} of a sparse file`, () => {
		test.each(layouts)("with %s are the kernel's", async (name, size, data) => {
			const handle = await open(at(name), "w");
			for (const start of data)
				await handle.write(new Uint8Array(9000).fill(1), 0, Math.min(9000, size - start), start);
			await handle.truncate(size);
			await handle.close();
			const judged = execFileSync("python3", ["-c", LSEEK, at(name)], { encoding: "utf8" });
			await using file = await openFile(at(name));
			const extents = await collect(file.extents());
			expect(extents.map(({ at, length, kind }) => `${at} ${length} ${kind}\n`).join("")).toBe(judged);
		});
	});

	test("without koffi are one run of data", async () => {
		withoutKoffi();
		vi.resetModules();
		const fresh = await import("../../src/source/index.js");
		await writeFile(at("sparse"), "");
		await truncate(at("sparse"), 1_000_000);
		await using file = await fresh.openFile(at("sparse"));
		expect(await collect(file.extents())).toEqual([{ at: 0, length: 1_000_000, kind: "data" }]);
	});
});

describe("folderNeighbours", async () => {
	await mkdir(at("vm", "snapshots"), { recursive: true });
	await writeFile(at("vm", "disk-flat.vmdk"), "flat");
	await writeFile(at("vm", "snapshots", "base.qcow2"), "base");
	await writeFile(at("vm2"), "outside");
	await symlink("disk-flat.vmdk", at("vm", "inside"));
	await symlink("../vm2", at("vm", "outside"));
	await symlink(folder, at("vm", "up"));
	const neighbour = folderNeighbours(at("vm"));

	test.each(["disk-flat.vmdk", "./disk-flat.vmdk", "snapshots/base.qcow2", "inside"])("opens %s", async (name) => {
		const file = await neighbour(name);
		expect(new TextDecoder().decode(await readBytes(file, 0, 4))).toMatch(/^(flat|base)$/);
		await file[Symbol.asyncDispose]?.();
	});

	test.each(["../vm2", "outside", "up/vm2", "snapshots/../../vm2", at("vm2"), "", "C:\\x", "\\\\host\\x", "a\0b"])(
		"refuses %j",
		async (name) => {
			await expect(neighbour(name)).rejects.toMatchObject({ kind: "refused", hint: expect.any(String) });
		},
	);

	test("says what is missing", async () => {
		await expect(neighbour("absent.vmdk")).rejects.toMatchObject({ kind: "not-found", file: at("vm", "absent.vmdk") });
		await rm(at("vm"), { recursive: true });
		await expect(neighbour("disk-flat.vmdk")).rejects.toMatchObject({ kind: "not-found" });
	});
});
