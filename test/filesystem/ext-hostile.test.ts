import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { crc32cRaw } from "../../src/bytes/checksum/index.js";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { type ByteSource, bytesSource } from "../../src/bytes/source.js";
import { ext } from "../../src/filesystem/ext/index.js";
import type { Filesystem } from "../../src/filesystem/filesystem.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { makeTree, mkfs, mutated, openExtImage, readAll } from "./ext-images.js";

const tools = ["mke2fs", "debugfs"];
const SUPERBLOCK = 1024;

/** Looks at everything, but not without end: what leads in a circle is left after a while, and files are only begun. */
async function explore(filesystem: Filesystem): Promise<void> {
	const pending = ["/"];
	for (let visits = 0; visits < 60; visits++) {
		const folder = pending.shift();
		if (folder === undefined) return;
		const entries = await tolerate(filesystem.list(folder));
		for (const { name, type } of (entries ?? []).slice(0, 30)) {
			const at = `${folder === "/" ? "" : folder}/${name}`;
			const stat = await tolerate(filesystem.stat(at));
			if (stat?.type === "directory") pending.push(at);
			if (stat?.type !== "file" || type !== "file") continue;
			const contents = await tolerate(filesystem.open(at));
			const size = contents?.size ?? 0;
			for (const start of [0, Math.floor(size / 2), size - Math.min(size, 4000)]) {
				if (contents) await tolerate(contents.read(start, new Uint8Array(Math.min(4000, size - start))));
			}
		}
	}
}

/** The result, or nothing where it failed the way that damage may. */
async function tolerate<T>(result: Promise<T>): Promise<T | undefined> {
	try {
		return await result;
	} catch (error) {
		if (error instanceof AnyvisorError) return undefined;
		throw error;
	}
}

/** How long it took to see all that can be seen, in milliseconds. */
async function explored(source: ByteSource): Promise<number> {
	const begin = performance.now();
	const filesystem = await tolerate(ext.open(source));
	if (filesystem !== undefined) await explore(filesystem);
	return performance.now() - begin;
}

describe.skipIf(missing(...tools))(`damaged and hostile ext file systems ${because(...tools)}`, async () => {
	const folder = await temporaryFolder();
	const image = path.join(folder, "fs.img");
	const root = path.join(folder, "tree");

	const known = new Map<string, Buffer>();
	/** An image of the tree, in memory to be damaged, and in the file `image` to be asked about. */
	const made = async (...options: string[]) => {
		const key = options.join(" ");
		const before = known.get(key);
		if (before === undefined) await mkfs(image, 8, options, root);
		else await writeFile(image, before);
		const bytes = before ?? (await readFile(image));
		known.set(key, bytes);
		return new Uint8Array(bytes);
	};

	const orders = async (...lines: string[]) => {
		for (const line of lines) await run("debugfs", "-w", "-R", line, image);
		return new Uint8Array(await readFile(image));
	};

	beforeAll(async () => {
		await makeTree(root);
	});

	it.each([
		["extents", ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum"]],
		["block maps", ["-t", "ext2", "-b", "1024"]],
		["inline data", ["-t", "ext4", "-b", "1024", "-O", "inline_data,^metadata_csum,^has_journal"]],
		["meta_bg", ["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode,^metadata_csum,^has_journal"]],
	])("any change to the metadata is an error or harmless: %s", async (_, options) => {
		const bytes = await made(...options);
		/** Where something stands: the changes go there, into whole 32-bit words as often as into bytes. */
		const words: number[] = [];
		const view = new DataView(bytes.buffer);
		for (let at = SUPERBLOCK; at < bytes.length; at += 4) if (view.getUint32(at, true) !== 0) words.push(at);
		const metadata = words.slice(0, Math.min(words.length, 60_000));
		const place = fc.oneof(
			fc.integer({ min: SUPERBLOCK, max: SUPERBLOCK + 400 }),
			fc.nat(metadata.length - 1).map((i) => metadata[i] ?? 0),
			fc.nat(metadata.length - 1).map((i) => (metadata[i] ?? 0) + 1),
		);
		const value = fc.oneof(fc.nat(255), fc.constantFrom(0, 0xff, 0x7f, 0x80));
		const change = fc.tuple(place, value);
		await fc.assert(
			fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 20 }), async (changes) => {
				expect(await explored(mutated(bytes, changes))).toBeLessThan(10_000);
			}),
			{ numRuns: 60 },
		);
	});

	it("a directory entry of length 0 is damage with its place", async () => {
		const bytes = await made("-t", "ext2", "-b", "1024");
		const [block = 0] = (await run("debugfs", "-R", "blocks /", image)).trim().split(/\s+/).map(Number);
		const source = mutated(bytes, [
			[block * 1024 + 12 + 4, 0],
			[block * 1024 + 12 + 5, 0],
		]);
		await expect((await openExtImage(source)).list("/")).rejects.toMatchObject({
			kind: "damaged",
			file: "mutated.img",
			offset: block * 1024 + 12,
			hint: expect.stringContaining("e2fsck"),
		});
	});

	it.each(["..", ".", "a/b", "a\0b"])("a name that would lead elsewhere (%j) is never listed", async (name) => {
		const bytes = await made("-t", "ext2", "-b", "1024");
		const [block = 0] = (await run("debugfs", "-R", "blocks /one", image)).trim().split(/\s+/).map(Number);
		const third = block * 1024 + 24;
		const changes = [...Buffer.from(name)].map((byte, i): [number, number] => [third + 8 + i, byte]);
		const filesystem = await openExtImage(mutated(bytes, [...changes, [third + 6, name.length]]));
		const listed = (await tolerate(filesystem.list("/one"))) ?? [];
		expect(listed.map((entry) => entry.name)).not.toContain(name);
	});

	it.each([
		["an inode out of range is damage when it is looked at", [0xff, 0xff, 0xff, 0x0f]],
		["an entry without an inode was deleted", [0, 0, 0, 0]],
	])("%s", async (_, number) => {
		const bytes = await made("-t", "ext2", "-b", "1024");
		const [block = 0] = (await run("debugfs", "-R", "blocks /one", image)).trim().split(/\s+/).map(Number);
		const third = block * 1024 + 24;
		const before = (await (await openExtImage(bytesSource(bytes))).list("/one")).length;
		const filesystem = await openExtImage(
			mutated(
				bytes,
				number.map((byte, i): [number, number] => [third + i, byte]),
			),
		);
		const entries = await filesystem.list("/one");
		const deleted = number.every((byte) => byte === 0);
		expect(entries).toHaveLength(before - (deleted ? 1 : 0));
		const outcomes = await Promise.all(
			entries.map(({ name }) => filesystem.stat(`/one/${name}`).catch((error: AnyvisorError) => error.kind)),
		);
		expect(outcomes.filter((outcome) => outcome === "damaged")).toHaveLength(deleted ? 0 : 1);
	});

	it("an extent tree that leads back into itself is damage", async () => {
		await made("-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^has_journal");
		const listing = await run("debugfs", "-R", "dump_extents -n scattered", image);
		const [, node = ""] = /^ 0\/ \d.* (\d+) +\d+$/m.exec(listing) ?? [];
		const bytes = new Uint8Array(await readFile(image));
		const stat = await run("debugfs", "-R", "imap scattered", image);
		const [, inodeBlock = "", offset = ""] = /located at block (\d+), offset 0x([0-9a-f]+)/.exec(stat) ?? [];
		const rootNode = Number(inodeBlock) * 1024 + Number.parseInt(offset, 16) + 0x28;
		const view = new DataView(bytes.buffer);
		expect(view.getUint16(rootNode, true)).toBe(0xf30a);
		// The root's only child is the block that holds the inode itself: no node; then a node that claims the wrong depth.
		view.setUint32(rootNode + 12 + 4, Number(inodeBlock), true);
		const file = await (await openExtImage(bytesSource(bytes))).open("/scattered");
		await expect(file.read(0, new Uint8Array(10))).rejects.toMatchObject({ kind: "damaged" });
		view.setUint32(rootNode + 12 + 4, Number(node), true);
		view.setUint16(Number(node) * 1024 + 6, view.getUint16(rootNode + 6, true), true);
		const circular = await (await openExtImage(bytesSource(bytes))).open("/scattered");
		await expect(circular.read(0, new Uint8Array(10))).rejects.toMatchObject({
			kind: "damaged",
			offset: Number(node) * 1024,
		});
	});

	it("a block map that leads back into itself ends after three levels", async () => {
		await made("-t", "ext2", "-b", "1024");
		const [, indirect = ""] = /\(IND\):(\d+)/.exec(await run("debugfs", "-R", "stat /holes", image)) ?? [];
		const bytes = await orders(
			"set_inode_field /holes block[TIND] 0",
			`set_inode_field /holes block[IND] ${indirect}`,
			`set_inode_field /holes block[DIND] ${indirect}`,
			`set_inode_field /holes block[TIND] ${indirect}`,
		);
		const view = new DataView(bytes.buffer);
		for (let i = 0; i < 256; i++) view.setUint32(Number(indirect) * 1024 + i * 4, Number(indirect), true);
		const file = await (await openExtImage(bytesSource(bytes))).open("/holes");
		expect((await readAll(file)).length).toBe(file.size);
	});

	it("sizes beyond what the blocks can hold are damage when read, and cost nothing before", async () => {
		const bytes = await made("-t", "ext2", "-b", "1024");
		const changed = await orders("set_inode_field /holes size 0xffffffffffff", "set_inode_field /one size 0x7fffffff");
		expect(changed).not.toEqual(bytes);
		const filesystem = await openExtImage(bytesSource(changed));
		const file = await filesystem.open("/holes");
		expect(file.size).toBe(2 ** 48 - 1);
		await expect(file.read(2 ** 47, new Uint8Array(10))).rejects.toMatchObject({ kind: "damaged" });
		await expect(filesystem.list("/one")).rejects.toMatchObject({ kind: "refused" });
	});

	it.each([
		["s_log_block_size", 0x18, 7],
		["s_log_block_size", 0x18, 0xffffffff],
		["s_blocks_count_lo", 0x4, 0],
		["s_first_data_block", 0x14, 0xffffffff],
		["s_blocks_per_group", 0x20, 0],
		["s_inodes_per_group", 0x28, 0],
		["s_inodes_per_group", 0x28, 0xffffffff],
		["s_inode_size", 0x58, 0],
		["s_inode_size", 0x58, 0x00000081],
		["s_inode_size", 0x58, 0x00008000],
	])("a superblock with %s, at %i, of %i is damaged", async (_, field, value) => {
		const bytes = await made("-t", "ext4", "-b", "1024");
		const view = new DataView(bytes.buffer);
		view.setUint32(SUPERBLOCK + field, value, true);
		view.setUint32(SUPERBLOCK + 0x3fc, crc32cRaw(0xffffffff, bytes.subarray(SUPERBLOCK, SUPERBLOCK + 0x3fc)), true);
		await expect(ext.open(bytesSource(bytes))).rejects.toMatchObject({ kind: "damaged", offset: SUPERBLOCK });
	});
});
