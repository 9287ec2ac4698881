import { execFileSync } from "node:child_process";
import { copyFile, type FileHandle, mkdir, open, readFile, rm, unlink, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { type ByteStore, bytesSource } from "../../src/bytes/source.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import {
	debugfsTree,
	filesystemTree,
	folderTree,
	mkfs,
	mutated,
	noise,
	openExtImage,
	readAll,
	withoutLinkTimes,
} from "./ext-images.js";
import { memoryStore } from "./store.js";
import { mounted } from "./xfs-images.js";

const tools = ["mke2fs", "debugfs", "e2fsck"];
const JOURNAL_MAGIC = [0xc0, 0x3b, 0x39, 0x98];
const BLOCK = 1024;
const COMMIT = 2;

/** A block of the file system whose journal holds a newer copy that begins like a block of the journal itself. */
const escaped = (seed: number) => Uint8Array.of(...JOURNAL_MAGIC, ...noise(BLOCK - 4, seed));

describe.skipIf(missing(...tools))(`the journal of an unclean ext file system ${because(...tools)}`, async () => {
	const folder = await temporaryFolder();
	const image = path.join(folder, "fs.img");
	const names = ["a", "b", "c"];

	/** The blocks of a file of `image`. */
	const blocksOf = async (name: string) =>
		(await run("debugfs", "-R", `blocks /${name}`, image)).trim().split(/\s+/).map(Number);

	/**
	 * A file system with three files of four blocks, and a journal with three transactions that replace blocks of them:
	 * copied once, copied twice, copied and revoked, revoked and copied again.
	 */
	async function unclean(options: readonly string[], journal: string): Promise<Uint8Array> {
		const tree = path.join(folder, "tree");
		await mkdir(tree, { recursive: true });
		for (const [i, name] of names.entries()) await writeFile(path.join(tree, name), noise(4 * BLOCK, i));
		await mkfs(image, 8, ["-t", "ext4", "-b", `${BLOCK}`, ...options], tree);
		const [a, b, c] = [await blocksOf("a"), await blocksOf("b"), await blocksOf("c")];
		const copies = async (name: string, ...blocks: Uint8Array[]) => {
			await writeFile(path.join(folder, name), Buffer.concat(blocks));
			return path.join(folder, name);
		};
		const first = await copies("first", noise(BLOCK, 10), escaped(11), noise(BLOCK, 12), noise(BLOCK, 13));
		const second = await copies("second", escaped(20), noise(BLOCK, 21));
		const third = await copies("third", noise(BLOCK, 30));
		const script = path.join(folder, "orders");
		const orders = [
			`jo ${journal}`,
			`jw -b ${a[0]},${a[1]},${b[0]},${c[0]} ${first}`,
			`jw -r ${b[0]},${c[0]}`,
			`jw -b ${a[0]},${a[2]} ${second}`,
			`jw -b ${c[0]} ${third}`,
			"jc",
		];
		await writeFile(script, orders.join("\n"));
		await run("debugfs", "-w", "-f", script, image);
		return new Uint8Array(await readFile(image));
	}

	/** The three files as they are after e2fsck has written the journal back. */
	async function recovered(bytes: Uint8Array): Promise<Buffer> {
		const copy = path.join(folder, "recovered.img");
		await writeFile(copy, bytes);
		await run("e2fsck", "-fy", copy).catch((error: { code?: number }) => {
			// 1: it corrected something.
			if (error.code !== 1) throw error;
		});
		const out = path.join(folder, "out");
		const contents: Buffer[] = [];
		for (const name of names) {
			await run("debugfs", "-R", `dump /${name} ${out}`, copy);
			contents.push(await readFile(out));
		}
		return Buffer.concat(contents);
	}

	async function read(bytes: Uint8Array): Promise<Buffer> {
		const filesystem = await openExtImage(bytesSource(bytes, "unclean.img"));
		return Buffer.concat(await Promise.all(names.map(async (name) => readAll(await filesystem.open(`/${name}`)))));
	}

	/** The blocks of the journal: its superblock, then the log. */
	const journalBlocks = async () => (await run("debugfs", "-R", "blocks <8>", image)).trim().split(/\s+/).map(Number);

	const journals: [string, string[], string][] = [
		["without checksums", ["-O", "^metadata_csum,^64bit"], ""],
		["without checksums, 64 bits", ["-O", "^metadata_csum,64bit"], ""],
		["with checksums of each block", ["-O", "metadata_csum,^64bit"], "-c"],
		["with checksums of each block, 64 bits", ["-O", "metadata_csum,64bit"], "-c"],
	];
	// debugfs miscounts a revoke block into these, so that the log breaks off there: e2fsck finds the same.
	const perTransaction: [string, string[], string] = [
		"with checksums of each transaction",
		["-O", "^metadata_csum,^64bit"],
		"-c",
	];

	it.each(journals)("is applied for reading: %s", async (_, options, journal) => {
		const bytes = await unclean(options, journal);
		const before = bytes.slice();
		const contents = await read(bytes);
		expect(contents.equals(await recovered(bytes))).toBe(true);
		// Each kind of replacement had its effect.
		const block = (n: number) => new Uint8Array(contents.subarray(n * BLOCK, (n + 1) * BLOCK));
		expect(block(0)).toEqual(escaped(20));
		expect(block(1)).toEqual(escaped(11));
		expect(block(2)).toEqual(noise(BLOCK, 21));
		expect(block(4)).toEqual(noise(4 * BLOCK, 1).subarray(0, BLOCK));
		expect(block(8)).toEqual(noise(BLOCK, 30));
		expect(Buffer.compare(bytes, before)).toBe(0);
	});

	it.each(journals)("is written back for editing: %s", async (_, options, journal) => {
		const bytes = await unclean(options, journal);
		const expected = await recovered(bytes);
		const store = memoryStore(bytes);
		await editNothingElse(store);
		await writeFile(image, bytes);
		await run("e2fsck", "-fn", image);
		expect(await run("dumpe2fs", "-h", image)).not.toContain("needs_recovery");
		expect(await run("debugfs", "-R", "cat /new", image)).toBe("new");
		// Read by itself and by debugfs; the log, which is still there, is not replayed once more.
		expect((await read(bytes)).equals(expected)).toBe(true);
		expect((await recovered(bytes)).equals(expected)).toBe(true);
		expect(await run("debugfs", "-R", "logdump -S", image)).toMatch(/start: 0$|Start: 0$|Journal start: +0/m);
	});

	it("that is damaged, or replaces its own blocks, is not written back, and nothing is changed", async () => {
		const options = ["-O", "metadata_csum,64bit"];
		const bytes = await unclean(options, "-c");
		const log = await journalBlocks();
		const flipped = bytes.slice();
		// A copy, behind the superblock and the first descriptor.
		const at = (log[2] ?? 0) * BLOCK + 100;
		flipped[at] = (flipped[at] ?? 0) ^ 1;
		const before = flipped.slice();
		await expect(editNothingElse(memoryStore(flipped))).rejects.toMatchObject({
			kind: "refused",
			message: expect.stringContaining("damaged"),
		});
		expect(Buffer.compare(flipped, before)).toBe(0);

		const plain = await unclean(["-O", "^metadata_csum,^64bit"], "");
		const blocks = await journalBlocks();
		const [, descriptor = 0, copy = 0] = blocks;
		new DataView(plain.buffer).setUint32(descriptor * BLOCK + 12, copy, false);
		const untouched = plain.slice();
		await expect(editNothingElse(memoryStore(plain))).rejects.toMatchObject({ kind: "damaged" });
		expect(Buffer.compare(plain, untouched)).toBe(0);
	});

	it.each([...journals, perTransaction])("breaks off where e2fsck does: %s", async (_, options, journal) => {
		const bytes = await unclean(options, journal);
		const log = await journalBlocks();
		const hasChecksums = journal !== "";
		const change = fc.record({
			block: fc.integer({ min: 1, max: 14 }),
			// Without checksums only the headers of blocks tell what is wrong.
			at: hasChecksums ? fc.integer({ min: 0, max: BLOCK - 1 }) : fc.integer({ min: 0, max: 11 }),
			flip: fc.integer({ min: 1, max: 255 }),
		});
		await fc.assert(
			fc.asyncProperty(change, async ({ block, at, flip }) => {
				const damaged = bytes.slice();
				const start = (log[block] ?? 0) * BLOCK;
				damaged[start + at] = (damaged[start + at] ?? 0) ^ flip;
				const judged = damaged.slice();
				// Of a descriptor or revoke block with a wrong checksum e2fsck concludes that the whole journal is worthless;
				// what was completed before is not, so it is shown a log that ends there.
				const type = new DataView(bytes.buffer).getUint32(start + 4, false);
				const isHeader = JOURNAL_MAGIC.every((byte, i) => bytes[start + i] === byte);
				if (hasChecksums && isHeader && type !== COMMIT) judged.fill(0, start, start + BLOCK);
				expect((await read(damaged)).equals(await recovered(judged))).toBe(true);
			}),
			{ numRuns: 6 },
		);
	});

	it("a damaged superblock of the journal is an error, not a file system without its last changes", async () => {
		const bytes = await unclean(["-O", "metadata_csum"], "-c");
		const [superblock = 0] = await journalBlocks();
		await fc.assert(
			fc.asyncProperty(fc.integer({ min: 0, max: 251 }), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
				// 4 becomes 3: a superblock of version 1, which has no checksum.
				fc.pre(at !== 7 || flip !== 7);
				const position = superblock * BLOCK + at;
				const outcome = await openExtImage(mutated(bytes, [[position, (bytes[position] ?? 0) ^ flip]])).catch(
					(error: unknown) => error,
				);
				expect(outcome).toBeInstanceOf(AnyvisorError);
			}),
			{ numRuns: 60 },
		);
	});

	it("survives any change to the log", async () => {
		const bytes = await unclean(["-O", "^metadata_csum,^64bit"], "");
		const log = await journalBlocks();
		const change = fc.tuple(fc.integer({ min: 0, max: 11 }), fc.nat(255), fc.nat(255));
		await fc.assert(
			fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
				const places = changes.map(([block, at, byte]): [number, number] => [(log[block] ?? 0) * BLOCK + at, byte]);
				const outcome = await openExtImage(mutated(bytes, places))
					.then(filesystemTree)
					.then(
						() => "read",
						(error: unknown) => (error instanceof AnyvisorError ? "error" : error),
					);
				expect(outcome).toMatch(/^(read|error)$/);
			}),
			{ numRuns: 100 },
		);
	});

	it("an external journal is unsupported, and so are fast commits; old fast commits mean nothing", async () => {
		const bytes = await unclean(["-O", "^metadata_csum,^64bit"], "");
		const external = bytes.slice();
		new DataView(external.buffer).setUint32(1024 + 0xe0, 0, true);
		await expect(openExtImage(bytesSource(external))).rejects.toMatchObject({ kind: "unsupported" });

		const log = await journalBlocks();
		const superblock = log[0] ?? 0;
		const withFastCommits = (transaction: number) => {
			const fast = bytes.slice();
			const view = new DataView(fast.buffer);
			const incompat = superblock * BLOCK + 0x28;
			view.setUint32(incompat, view.getUint32(incompat, false) | 0x20, false);
			const last = view.getUint32(superblock * BLOCK + 0x10, false) - 256;
			const area = (log[last] ?? 0) * BLOCK;
			view.setUint16(area, 9, true);
			view.setUint32(area + 8, transaction, true);
			return bytesSource(fast);
		};
		await expect(openExtImage(withFastCommits(5))).rejects.toMatchObject({
			kind: "unsupported",
			message: expect.stringContaining("fast commits"),
		});
		expect((await openExtImage(withFastCommits(3))).kind).toBe("ext4");
	});
});

async function editNothingElse(store: ByteStore): Promise<void> {
	const editor = await (await openExtImage(store)).edit?.();
	if (editor === undefined) throw new Error("it cannot be edited");
	await editor.writeFile("/new", new TextEncoder().encode("new"), {
		mode: 0o644,
		uid: 0,
		gid: 0,
		mtime: 1_750_000_000,
	});
	await editor.close();
}

/** Whether this machine lets its tests mount images. */
function canMount(): boolean {
	if (missing("mke2fs", "mount", "losetup")) return false;
	try {
		execFileSync("losetup", ["-f"], { stdio: "ignore" });
		return process.getuid?.() === 0;
	} catch {
		return false;
	}
}

const mountable = canMount();
const mountReason = mountable ? "" : "(skipped: mounting images needs root and loop devices)";

describe.skipIf(!mountable || missing(...tools))(`journals that the kernel wrote ${mountReason}`, async () => {
	const folder = await temporaryFolder();

	it.each([
		["-t ext4", "defaults"],
		["-t ext4 -b 1024", "data=journal"],
		["-t ext4 -O ^metadata_csum", "journal_async_commit,data=writeback"],
		["-t ext4 -O ^metadata_csum,^64bit", "journal_checksum"],
		["-t ext3 -b 1024", "defaults"],
		["-t ext4 -b 1024 -O orphan_file", "defaults"],
	])("mke2fs %s, mount -o %s", async (options, mountOptions) => {
		const image = path.join(folder, "mounted.img");
		const point = path.join(folder, "mnt");
		await mkdir(point, { recursive: true });
		await mkfs(image, 32, options.split(" "));
		const copy = path.join(folder, "copy.img");
		try {
			await run("mount", "-o", `loop,${mountOptions}`, image, point);
		} catch (error) {
			throw new Error(`this kernel does not mount ${options} with ${mountOptions}`, { cause: error });
		}
		try {
			await changeAndCopy(point, image, copy);
		} finally {
			await run("umount", point);
		}
		const [edited, unedited] = [path.join(folder, "edited.img"), path.join(folder, "unedited.img")];
		await copyFile(copy, unedited);
		const bytes = new Uint8Array(await readFile(copy));
		const filesystem = await openExtImage(bytesSource(bytes, "copy.img"));
		const ours = withoutLinkTimes(await filesystemTree(filesystem));
		const told = await run("e2fsck", "-fy", copy).catch((error: { code?: number; stdout?: string }) => {
			if (error.code !== 1) throw error;
			return error.stdout ?? "";
		});
		expect(told.match(/orphaned inode/g)?.length).toBe(70);
		const theirs = withoutLinkTimes(await debugfsTree(copy, path.join(folder, "extracted")));
		expect(ours).toEqual(theirs);

		await editNothingElse(memoryStore(bytes));
		await writeFile(edited, bytes);
		await run("e2fsck", "-fn", edited);
		const [kernels, kernelsOfEdited] = [
			await mounted(unedited, point, () => folderTree(point)),
			await mounted(edited, point, () => folderTree(point)),
		];
		expect(kernelsOfEdited["/new"]).toContain("file 644 0:0 1750000000 3 ");
		delete kernelsOfEdited["/new"];
		expect(kernelsOfEdited).toEqual(kernels);
		expect(Object.keys(ours).length).toBeGreaterThan(60);
	});
});

/** Writes and deletes; each step is in the journal before the next begins, and the image is copied before it is anywhere else. */
async function changeAndCopy(point: string, image: string, copy: string) {
	const step = async () => {
		const handle = await open(path.join(point, "step"), "w");
		await handle.write("step");
		await handle.sync();
		await handle.close();
	};
	for (let round = 0; round < 4; round++) {
		for (let i = 0; i < 40; i++) {
			const directory = path.join(point, `d${i % 5}`);
			await mkdir(directory, { recursive: true });
			await writeFile(path.join(directory, `f${round}-${i}`), i % 2 ? escaped(i) : noise(3000 + 999 * i, round));
			await mkdir(path.join(point, `t${i}/deep/er`), { recursive: true });
		}
		await step();
		for (let i = 0; i < 40; i++) {
			await rm(path.join(point, `t${i}`), { recursive: true });
			if (i % 3 === 0) await unlink(path.join(point, `d${i % 5}/f${round}-${i}`));
		}
		await step();
	}
	// Without a name, but not gone as long as they are open.
	const orphans: FileHandle[] = [];
	for (let i = 0; i < 70; i++) {
		const file = path.join(point, `orphan-${i}`);
		const handle = await open(file, "wx");
		await handle.write(noise(i % 10 === 0 ? 300_000 : i * 50, i));
		orphans.push(handle);
		await unlink(file);
	}
	await step();
	await copyFile(image, copy);
	for (const handle of orphans) await handle.close();
}
