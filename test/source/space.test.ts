import { execFileSync } from "node:child_process";
import type * as fs from "node:fs";
import type * as promises from "node:fs/promises";
import { open, readdir, readFile, stat, statfs } from "node:fs/promises";
import path from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { fileSink, outputFolder } from "../../src/source/index.js";
import { temporaryFolder } from "../support/tools.js";
import { attempt, loopMounted, tmpfs } from "./mounts.js";
import { runWriter } from "./writer.js";

const MIB = 1 << 20;
const filled = (length: number) => new Uint8Array(length).fill(1);

/** Writes MiB after MiB until it fails; what it failed with, and what the commit says then. */
async function writeUntilItFails(target: string): Promise<{ write: unknown; commit: unknown }> {
	await using sink = await fileSink(target);
	let write: unknown;
	for (let i = 0; i < 64 && write === undefined; i++) {
		write = await sink.write(i * MIB, filled(MIB)).catch((error: unknown) => error);
	}
	return { write, commit: await sink.commit(MIB).catch((error: unknown) => error) };
}

const small = attempt(() => tmpfs(4 * MIB));

describe.skipIf(small.reason !== "")(`a full file system ${small.reason}`, () => {
	test("is no space, and nothing is left", async () => {
		const target = path.join(small.folder, "disk.raw");
		const { write, commit } = await writeUntilItFails(target);
		expect(write).toMatchObject({
			kind: "no-space",
			file: target,
			message: `writing ${target} failed: no space left on device`,
			hint: expect.any(String),
		});
		// Whatever a caller makes of the failed write, this output does not appear.
		expect(commit).toBe(write);
		expect(await readdir(small.folder)).toEqual([]);
		expect((await statfs(small.folder)).bfree * 4096).toBe(4 * MIB);
	});

	test("takes a sparse output that is larger than it", async () => {
		const target = path.join(small.folder, "sparse.raw");
		await using sink = await fileSink(target);
		await sink.write(500 * MIB, filled(MIB));
		await sink.commit(1000 * MIB);
		expect(await stat(target)).toMatchObject({ size: 1000 * MIB, blocks: MIB / 512 });
	});

	test("fails a folder of outputs, too, and leaves nothing of it", async () => {
		await using output = await outputFolder(path.join(small.folder, "vm"));
		await using sink = await output.file("disk.vmdk");
		const writing = (async () => {
			for (let i = 0; i < 8; i++) await sink.write(i * MIB, filled(MIB));
		})();
		await expect(writing).rejects.toMatchObject({ kind: "no-space" });
		await output[Symbol.asyncDispose]();
		expect(await readdir(small.folder)).not.toContain("vm");
		expect((await readdir(small.folder)).filter((name) => name.startsWith(".vm"))).toEqual([]);
	});
});

/** A disk that takes writes and then loses them: a file system in a sparse file for which there is no room. */
const failing = attempt(() => loopMounted("ext4", tmpfs(2 * MIB)));

test.skipIf(failing.reason !== "")(`what the disk fails to keep fails the commit ${failing.reason}`, async () => {
	const target = path.join(failing.folder, "disk.raw");
	await using sink = await fileSink(target);
	for (let i = 0; i < 4; i++) await sink.write(i * MIB, filled(MIB));
	await expect(sink.commit(4 * MIB)).rejects.toMatchObject({
		kind: expect.stringMatching(/^(io|no-space)$/),
		file: target,
	});
	expect(await readdir(failing.folder)).not.toContain("disk.raw");
});

const readOnly = attempt(() => tmpfs(MIB, "ro"));

test.skipIf(readOnly.reason !== "")(`a read-only file system says so ${readOnly.reason}`, async () => {
	const target = path.join(readOnly.folder, "disk.raw");
	const expected = { kind: "permission", file: target, hint: expect.stringContaining("choose an output elsewhere") };
	await expect(fileSink(target)).rejects.toMatchObject(expected);
	await expect(outputFolder(target)).rejects.toMatchObject(expected);
});

const quota = attempt(() => {
	const folder = loopMounted("btrfs");
	execFileSync("btrfs", ["quota", "enable", folder], { stdio: "pipe" });
	execFileSync("btrfs", ["qgroup", "limit", "4M", folder], { stdio: "pipe" });
	return folder;
});

test.skipIf(quota.reason !== "")(`a quota that is used up is no space ${quota.reason}`, async () => {
	const target = path.join(quota.folder, "disk.raw");
	const { write } = await writeUntilItFails(target);
	expect(write).toMatchObject({
		kind: "no-space",
		file: target,
		message: `writing ${target} failed: disk quota exceeded`,
		hint: expect.stringContaining("quota"),
	});
	expect(await readdir(quota.folder)).toEqual([]);
});

const noShell = process.platform === "win32" ? "(skipped: this system has no ulimit)" : "";

test.skipIf(noShell !== "")(`a file larger than the process may write is no space ${noShell}`, async () => {
	const folder = await temporaryFolder();
	const answer = runWriter({ target: path.join(folder, "disk.raw"), size: 8 * MIB }, "ulimit -f 4096;");
	expect(answer).toMatch(/^no-space: writing .* failed: file too large/i);
	expect(await readdir(folder)).toEqual([]);
});

const fat = attempt(() => loopMounted("vfat"));

test.skipIf(fat.reason !== "")(`a file system without links and holes ${fat.reason}`, async () => {
	const target = path.join(fat.folder, "disk.raw");
	await using sink = await fileSink(target);
	await sink.write(MIB, filled(10));
	await sink.commit(2 * MIB);
	expect((await readFile(target)).reduce((sum, byte) => sum + byte, 0)).toBe(10);
	await expect(fileSink(target)).rejects.toMatchObject({ kind: "refused" });
	await using late = await fileSink(path.join(fat.folder, "late"));
	await (await open(path.join(fat.folder, "late"), "w")).close();
	await expect(late.commit(0)).rejects.toMatchObject({ kind: "refused" });
});

describe("an I/O error", () => {
	afterEach(() => {
		vi.doUnmock("node:fs/promises");
		vi.doUnmock("node:fs");
		vi.resetModules();
	});

	test.each(["write", "truncate", "sync", "close"] as const)("at %s fails the commit and cleans up", async (call) => {
		vi.doMock("node:fs/promises", async (original) => {
			const fs = await original<typeof promises>();
			return { ...fs, open: async (...args: Parameters<typeof fs.open>) => broken(await fs.open(...args), call) };
		});
		if (call === "write") {
			const writeSync = () => {
				throw failure(call);
			};
			vi.doMock("node:fs", async (original) => ({ ...(await original<typeof fs>()), writeSync }));
		}
		vi.resetModules();
		const fresh = await import("../../src/source/index.js");
		const folder = await temporaryFolder();
		await using sink = await fresh.fileSink(path.join(folder, "disk.raw"));
		// Nobody looks at the result of the write.
		await sink.write(0, filled(10)).catch(() => {});
		await expect(sink.commit(10)).rejects.toMatchObject({
			kind: "io",
			message: `writing ${path.join(folder, "disk.raw")} failed: i/o error`,
		});
		await sink[Symbol.asyncDispose]();
		expect(await readdir(folder)).toEqual([]);
	});
});

const failure = (call: string) => Object.assign(new Error(`EIO: i/o error, ${call}`), { code: "EIO" });

/** The handle with one call that fails; closing it does close it. */
function broken<T extends { close(): Promise<void> }>(handle: T, call: string): T {
	const fail = async () => {
		if (call === "close") await handle.close();
		throw failure(call);
	};
	return new Proxy(handle, {
		get(target, key) {
			if (key === call) return fail;
			const value: unknown = Reflect.get(target, key, target);
			return typeof value === "function" ? value.bind(target) : value;
		},
	});
}
