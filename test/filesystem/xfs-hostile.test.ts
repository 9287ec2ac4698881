import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { crc32c } from "../../src/bytes/checksum/index.js";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { type ByteSource, bytesSource } from "../../src/bytes/source.js";
import type { Filesystem } from "../../src/filesystem/filesystem.js";
import { xfs } from "../../src/filesystem/xfs/index.js";
import { because, missing, run, temporaryFolder, trials } from "../support/tools.js";
import { noise } from "./ext-images.js";
import { fill, inodeField, mkfsXfs, mounted, names, openXfsImage, unmountable } from "./xfs-images.js";

const folder = await temporaryFolder();
const image = path.join(folder, "fs.img");

/** The result, or nothing where it failed the way that damage may. */
async function tolerate<T>(result: Promise<T>): Promise<T | undefined> {
	try {
		return await result;
	} catch (error) {
		if (error instanceof AnyvisorError) return undefined;
		throw error;
	}
}

/** Looks at everything, but not without end: what leads in a circle is left after a while, and files are only begun. */
async function explore(filesystem: Filesystem): Promise<void> {
	const pending = ["/"];
	for (let visits = 0; visits < 40; visits++) {
		const directory = pending.shift();
		if (directory === undefined) return;
		const entries = await tolerate(filesystem.list(directory));
		for (const { name } of (entries ?? []).slice(0, 30)) {
			const at = `${directory === "/" ? "" : directory}/${name}`;
			const stat = await tolerate(filesystem.stat(at));
			if (stat?.type === "directory") pending.push(at);
			const contents = await tolerate(filesystem.open(at));
			const size = contents?.size ?? 0;
			for (const start of [0, Math.floor(size / 2), size - Math.min(size, 4000)]) {
				if (contents) await tolerate(contents.read(start, new Uint8Array(Math.min(4000, size - start))));
			}
		}
	}
}

/** How long it took to see all that can be seen, in milliseconds. */
async function explored(source: ByteSource): Promise<number> {
	const begin = performance.now();
	const filesystem = await tolerate(xfs.open(source));
	if (filesystem !== undefined) await explore(filesystem);
	return performance.now() - begin;
}

/** Where the checksum is, by the magic that a block of metadata begins with. */
const checksums: Readonly<Record<number, number>> = {
	1481003842: 224,
	1480868403: 4,
	1480868915: 4,
	1112363315: 64,
	1481853005: 12,
};

/** Makes the checksums of all that begins in the 4 KiB around `at` right again, so that changes are looked into. */
function reseal(bytes: Uint8Array, at: number) {
	const view = new DataView(bytes.buffer);
	const begin = at - (at % 4096);
	const seal = (start: number, length: number, where: number) => {
		view.setUint32(start + where, 0);
		view.setUint32(start + where, crc32c(bytes.subarray(start, start + length)), true);
	};
	const index = view.getUint16(begin + 8);
	const where = checksums[view.getUint32(begin)] ?? ([0x3df1, 0x3dff, 0x3ebe].includes(index) ? 12 : undefined);
	if (where !== undefined) seal(begin, where === 224 ? 512 : 4096, where);
	for (let i = begin; i < begin + 4096; i += 512) if (view.getUint16(i) === 0x494e) seal(i, 512, 100);
}

/** Words that are not zero, up to where `end` says, in turn. */
function wordsOf(bytes: Uint8Array, begin = 0, end = bytes.length): number[] {
	const view = new DataView(bytes.buffer, bytes.byteOffset);
	const words: number[] = [];
	for (let at = begin; at + 4 <= end; at += 4) if (view.getUint32(at) !== 0) words.push(at);
	return words;
}

/** Changes bytes of `bytes` in places of `words`, and returns the longest that it took to see what came of it. */
async function mutate(bytes: Uint8Array, words: readonly number[], runs: number, mend?: typeof reseal) {
	let longest = 0;
	const place = fc.tuple(fc.nat(words.length - 1), fc.nat(3)).map(([i, byte]) => (words[i] ?? 0) + byte);
	const value = fc.oneof(fc.nat(255), fc.constantFrom(0, 0xff, 0x7f, 0x80));
	await fc.assert(
		fc.asyncProperty(fc.array(fc.tuple(place, value), { minLength: 1, maxLength: 20 }), async (changes) => {
			const copy = bytes.slice();
			for (const [at, byte] of changes) copy[at] = byte;
			for (const [at] of changes) mend?.(copy, at);
			longest = Math.max(longest, await explored(bytesSource(copy, "mutated.img")));
		}),
		{ numRuns: trials(runs) },
	);
	return longest;
}

describe.skipIf(missing("mkfs.xfs", "xfs_db"))(`damaged and hostile XFS ${because("mkfs.xfs", "xfs_db")}`, () => {
	const prototype = path.join(folder, "prototype");

	beforeAll(async () => {
		const data = path.join(folder, "data");
		await writeFile(data, noise(9000, 5));
		const children = (count: number, length: number) =>
			names(count, length).map((name) => `${name} ---640 9 9 ${data}`);
		const lines = [
			...["dummy", "0 0", "d--755 3 1", "block d--755 0 0", ...children(30, 20), "$"],
			...["many d--755 0 0", ...names(900, 60).map((name) => `${name} ---640 9 9 /dev/null`), "$"],
			...["short d--755 0 0", ...children(3, 3), `far l--777 0 0 ${"t".repeat(250)}`, "$", "$"],
		];
		await writeFile(prototype, `${lines.join("\n")}\n`);
	});

	it.each([
		["-m crc=0 -n ftype=0 -b size=512 -i size=256", false],
		["-m crc=0 -b size=4096", false],
		["-b size=4096 -i size=512", true],
	])("any change to the metadata is an error or harmless: %s", async (options, sealed) => {
		await mkfsXfs(image, options, 16, prototype);
		const bytes = new Uint8Array(await readFile(image));
		// Data is noise without any zeros; metadata has its magics.
		const metadata = wordsOf(bytes).filter((at) => {
			const block = bytes.subarray(at - (at % 512), at - (at % 512) + 512);
			return block.filter((byte) => byte === 0).length > 100;
		});
		expect(await mutate(bytes, metadata, 40, sealed ? reseal : undefined)).toBeLessThan(10_000);
	});

	it("a block whose checksum is wrong is damage with its place", async () => {
		await mkfsXfs(image, "-b size=4096", 16, prototype);
		const bytes = new Uint8Array(await readFile(image));
		const places: Record<string, number> = {};
		const find = (name: string, magic: string) => {
			places[name] = Buffer.from(bytes.buffer).indexOf(magic);
			return places[name];
		};
		const [inode, block] = [find("inode", "IN"), find("block", "XDB3")];
		bytes[inode + 8] = 0xee;
		await expect((await openXfsImage(bytesSource(bytes, "x.img"))).stat("/block")).rejects.toMatchObject({
			...{ kind: "damaged", file: "x.img", offset: inode, hint: expect.stringContaining("xfs_repair") },
		});
		bytes[inode + 8] = 0;
		bytes[block + 100] = 0xee;
		await expect((await openXfsImage(bytesSource(bytes))).list("/block")).rejects.toMatchObject({ offset: block });
		await expect(xfs.open(bytesSource(bytes.with(108, 0xee)))).rejects.toMatchObject({ kind: "damaged", offset: 0 });
	});

	it.each(["a/b", "a\0b"])("a name that would lead elsewhere (%j) is never listed", async (name) => {
		await mkfsXfs(image, "-m crc=0", 16, prototype);
		const bytes = new Uint8Array(await readFile(image));
		const at = Buffer.from(bytes.buffer).indexOf("far");
		bytes.set(Buffer.from(name), at);
		await expect((await openXfsImage(bytesSource(bytes))).list("/short")).rejects.toMatchObject({ kind: "damaged" });
	});

	it("a volume that was cut short reads as far as it goes", async () => {
		await mkfsXfs(image, "", 16, prototype);
		const bytes = await readFile(image);
		await expect(tolerate(xfs.open(bytesSource(bytes.subarray(0, 600))))).resolves.toBeUndefined();
		for (const length of [0, 512, 4096, 100_000, 8 << 20]) {
			expect(await explored(bytesSource(bytes.subarray(0, length)))).toBeLessThan(10_000);
		}
	});
});

const tools = ["mkfs.xfs", "xfs_db", "xfs_io"];
const reason = missing(...tools) ? because(...tools) : unmountable(folder);

describe.skipIf(reason !== "")(`hostile XFS that the kernel wrote ${reason}`, () => {
	const at = path.join(folder, "mounted");

	it("any change to a tree of extents is an error or harmless", async () => {
		await mkfsXfs(image, "-b size=4096 -i size=512", 32);
		await mounted(image, at, () => fill(at, 300, 700));
		expect(await inodeField(image, "/scattered", "core.format")).toContain("btree");
		const bytes = new Uint8Array(await readFile(image));
		const node = Buffer.from(bytes.buffer).indexOf("BMA3");
		const inode = Number(await inodeField(image, "/scattered", "v3.inumber"));
		const root = Number(
			/\((\d+)\)/.exec(await run("xfs_db", "-r", "-c", `inode ${inode}`, "-c", "addr", image))?.[1] ?? 0,
		);
		const words = [...wordsOf(bytes, node, node + 4096), ...wordsOf(bytes, root * 512, root * 512 + 512)];
		expect(await mutate(bytes, words, 20, reseal)).toBeLessThan(10_000);
	});

	it("any change to a log that was left behind is an error or harmless", async () => {
		await mkfsXfs(image, "", 32);
		await mounted(image, at, async () => {
			await fill(at, 100, 20);
			await mkdir(path.join(at, "more"));
			await symlink("x".repeat(700), path.join(at, "more/link"));
			await run("xfs_io", "-x", "-c", "shutdown -f", at);
		});
		const bytes = new Uint8Array(await readFile(image));
		const records: number[] = [];
		const view = new DataView(bytes.buffer);
		for (let i = 0; i < bytes.length; i += 512) if (view.getUint32(i) === 0xfeedbabe) records.push(i);
		expect(records.length).toBeGreaterThan(2);
		const end = Math.min(bytes.length, (records.at(-1) ?? 0) + (64 << 10));
		/** A record's checksum covers its first header but for padding, further headers, and the rest. */
		const resealRecord = (copy: Uint8Array, changed: number) => {
			const start = records.findLast((record) => record <= changed) ?? 0;
			const [words, header] = [new DataView(copy.buffer), copy.subarray(start, start + 328)];
			const [length, size] = [words.getUint32(start + 12), words.getUint32(start + 320)];
			const headers = Math.min(8, Math.max(1, Math.ceil(size / 32_768)));
			words.setUint32(start + 32, 0);
			let sum = crc32c(header);
			for (let i = 1; i < Math.min(headers, Math.ceil(length / 32_768)); i++) {
				sum = crc32c(copy.subarray(start + i * 512, start + i * 512 + 260), sum);
			}
			const data = start + headers * 512;
			words.setUint32(start + 32, crc32c(copy.subarray(data, data + length), sum), true);
		};
		expect(await explored(bytesSource(bytes))).toBeLessThan(10_000);
		expect(await mutate(bytes, wordsOf(bytes, records[0], end), 25, resealRecord)).toBeLessThan(10_000);
	});
});
