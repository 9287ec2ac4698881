import { mkdir, readdir, statfs } from "node:fs/promises";
import path from "node:path";
import { PassThrough, Readable } from "node:stream";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { readBytes } from "../../src/bytes/source.js";
import { openStdin, spool } from "../../src/source/index.js";
import { Spooler } from "../../src/source/spool.js";
import { missing, run, temporaryFolder } from "../support/tools.js";

const folder = await temporaryFolder();

async function* chunks(...all: readonly Uint8Array[]) {
	yield* all;
}

const left = () => readdir(folder);

test("what was spooled reads as it came, whatever its pieces", async () => {
	const piece = fc
		.tuple(fc.boolean(), fc.oneof(fc.nat(20_000), fc.constantFrom(4096, 8192, 65_536)))
		.map(([data, length]) => Buffer.alloc(length, data ? "data" : 0));
	await fc.assert(
		fc.asyncProperty(fc.array(piece, { maxLength: 8 }), fc.nat(), async (pieces, somewhere) => {
			const model = Buffer.concat(pieces);
			await using file = await spool(chunks(...pieces), "x", { folder });
			expect(file.size).toBe(model.length);
			expect(model.equals(await readBytes(file, 0, model.length))).toBe(true);
			const at = somewhere % (model.length + 1);
			expect(model.subarray(at).equals(await readBytes(file, at, model.length - at))).toBe(true);
			let end = 0;
			for await (const extent of file.extents()) {
				expect(extent.at).toBe(end);
				end += extent.length;
			}
			expect(end).toBe(model.length);
		}),
	);
});

test("zeros take no space", async () => {
	const before = await freeSpace();
	const mebibyte = new Uint8Array(1 << 20);
	await using file = await spool(chunks(...Array.from({ length: 256 }, () => mebibyte)), "zeros", { folder });
	expect(file.size).toBe(256 << 20);
	expect(before - (await freeSpace())).toBeLessThan(128 << 20);
});

async function freeSpace(): Promise<number> {
	const { bavail, bsize } = await statfs(folder);
	return bavail * bsize;
}

test("nothing of it has a name at any time", async () => {
	const seen: string[] = [];
	const look = async function* () {
		seen.push(...(await left()));
		yield Buffer.from("x");
		seen.push(...(await left()));
	};
	await using file = await spool(look(), "x", { folder });
	expect([...seen, ...(await left())]).toEqual([]);
	expect(file.size).toBe(1);
});

test("the limit is one for all that is open, and given back", async () => {
	const spooler = new Spooler({ folder, limit: 1000 });
	const first = await spooler.spool(chunks(new Uint8Array(600)), "first");
	await expect(spooler.spool(chunks(new Uint8Array(300), new Uint8Array(300)), "second")).rejects.toMatchObject({
		kind: "refused",
		file: "second",
		hint: expect.stringContaining("--spool-limit"),
	});
	await first[Symbol.asyncDispose]();
	await first[Symbol.asyncDispose]();
	await using again = await spooler.spool(chunks(new Uint8Array(1000)), "again");
	expect(again.size).toBe(1000);
	await expect(spooler.spool(chunks(new Uint8Array(1)), "one more")).rejects.toMatchObject({ kind: "refused" });
});

test("what is known to be too long is not begun", async () => {
	let begun = false;
	const never = async function* () {
		begun = true;
		yield new Uint8Array(1);
	};
	const spooler = new Spooler({ folder, limit: 1000 });
	await expect(spooler.spool(never(), "long", 1001)).rejects.toMatchObject({ kind: "refused" });
	expect(begun).toBe(false);
});

test("an endless stream ends at the limit", async () => {
	const endless = async function* () {
		for (;;) yield new Uint8Array(1 << 20);
	};
	await expect(spool(endless(), "endless", { folder, limit: 1 << 28 })).rejects.toMatchObject({ kind: "refused" });
});

test("a folder that is not there, and progress, and failures of the stream", async () => {
	await expect(spool(chunks(), "x", { folder: path.join(folder, "absent") })).rejects.toMatchObject({
		kind: "not-found",
	});
	const progress: number[] = [];
	const broken = async function* () {
		yield new Uint8Array(10);
		yield new Uint8Array(20);
		throw new RangeError("broken");
	};
	await expect(spool(broken(), "x", { folder, onProgress: (bytes) => progress.push(bytes) })).rejects.toThrow("broken");
	expect(progress).toEqual([10, 20]);
	expect(await left()).toEqual([]);
});

test("standard input is spooled; a stop ends the waiting for it", async () => {
	await using file = await openStdin(Readable.from([Buffer.from("abc"), Buffer.from("def")]), { folder });
	expect([file.name, new TextDecoder().decode(await readBytes(file, 1, 4))]).toEqual(["standard input", "bcde"]);

	const stop = new AbortController();
	const silent = new PassThrough();
	silent.write("begin");
	setTimeout(() => stop.abort(), 20);
	await expect(openStdin(silent, { folder, signal: stop.signal })).rejects.toMatchObject({ kind: "interrupted" });

	await expect(openStdin(Object.assign(new PassThrough(), { isTTY: true }), { folder })).rejects.toMatchObject({
		kind: "usage",
	});
});

const root = process.getuid?.() === 0;
const noTmpfs = !root || missing("mount", "umount");
test.skipIf(noTmpfs)(
	`a full folder is said before it is full ${noTmpfs ? "(skipped: only root may mount a small file system)" : ""}`,
	async () => {
		const small = path.join(folder, "small");
		await mkdir(small);
		await run("mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", small);
		try {
			const data = async function* () {
				for (let i = 0; i < 200; i++) yield Buffer.alloc(1 << 20, 1);
			};
			await expect(spool(data(), "x", { folder: small })).rejects.toMatchObject({
				kind: "no-space",
				hint: expect.stringContaining("TMPDIR"),
			});
			const { bfree, blocks } = await statfs(small);
			expect(bfree).toBe(blocks);
		} finally {
			await run("umount", small);
		}
	},
);
