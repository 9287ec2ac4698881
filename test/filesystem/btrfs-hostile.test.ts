import { readFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { crc32c } from "../../src/bytes/checksum/index.js";
import { decodeLzo1x } from "../../src/bytes/codec/lzo1x.js";
import type { AnyvisorError } from "../../src/bytes/errors.js";
import { type ByteSource, bytesSource } from "../../src/bytes/source.js";
import { btrfs } from "../../src/filesystem/btrfs/index.js";
import { run, temporaryFolder, trials } from "../support/tools.js";
import { kernelMade, makeFiles, noKernel, openBtrfs } from "./btrfs-images.js";
import { explore, tolerate } from "./explore.js";
import { noise } from "./ext-images.js";

const SUPERBLOCK = 64 << 10;

/** How long it took to see all that can be seen, in milliseconds. */
async function explored(source: ByteSource): Promise<number> {
	const begin = performance.now();
	const filesystem = await tolerate(btrfs.open(source));
	if (filesystem !== undefined) {
		await explore(filesystem);
		await tolerate(Promise.resolve(filesystem.subvolume?.("sub")));
	}
	return performance.now() - begin;
}

/** A node of the image: where it is, and how long. */
interface Place {
	readonly at: number;
	readonly length: number;
}

/** An image whose parts can be changed, their checksums made right again, and put back. */
class Patient {
	readonly bytes: Uint8Array;
	readonly #original: Uint8Array;

	constructor(bytes: Uint8Array) {
		this.bytes = bytes.slice();
		this.#original = bytes;
	}

	get source(): ByteSource {
		return bytesSource(this.bytes, "mutated.img");
	}

	view({ at, length }: Place): DataView {
		return new DataView(this.bytes.buffer, at, length);
	}

	sign({ at, length }: Place) {
		this.view({ at, length }).setUint32(0, crc32c(this.bytes.subarray(at + 32, at + length)), true);
	}

	heal({ at, length }: Place) {
		this.bytes.set(this.#original.subarray(at, at + length), at);
	}
}

describe.skipIf(noKernel !== "")(`damaged and hostile Btrfs ${noKernel}`, async () => {
	const folder = await temporaryFolder();
	let nodes: Place[] = [];
	let patient = new Patient(new Uint8Array());
	const superblock: Place = { at: SUPERBLOCK, length: 4096 };
	let tree = "";

	beforeAll(async () => {
		// One copy of each, in chunks whose logical addresses are the physical ones but for an offset.
		const recipe = { mkfs: ["--mixed", "-n", "4096", "-m", "single", "-d", "single"], mount: "compress=lzo", size: 64 };
		const { image } = await kernelMade(folder, recipe, async (root) => {
			await makeFiles(root);
			await run("btrfs", "subvolume", "create", path.join(root, "sub"));
			await run("cp", "-a", path.join(root, "folder"), path.join(root, "prose-1500000"), path.join(root, "sub"));
		});
		tree = await run("btrfs", "inspect-internal", "dump-tree", image);
		const bytes = new Uint8Array(await readFile(image));
		const uuid = bytes.slice(SUPERBLOCK + 32, SUPERBLOCK + 48);
		// Nodes bear the UUID of their file system and a right checksum.
		nodes = [];
		for (let at = 1 << 20; at < bytes.length; at += 4096) {
			const node = bytes.subarray(at, at + 4096);
			if (!uuid.every((byte, i) => byte === node[32 + i])) continue;
			const stored = new DataView(bytes.buffer, at, 4).getUint32(0, true);
			if (stored === crc32c(node.subarray(32)) && tree.includes(` ${bytenrOf(bytes, at)} `))
				nodes.push({ at, length: 4096 });
		}
		patient = new Patient(bytes);
	});

	const bytenrOf = (bytes: Uint8Array, at: number) =>
		Number(new DataView(bytes.buffer, at + 48, 8).getBigUint64(0, true));

	it("there are nodes to be changed, and the whole is sound", async () => {
		expect(nodes.length).toBeGreaterThan(15);
		expect((await (await openBtrfs(patient.source)).list("/")).length).toBeGreaterThan(20);
		expect(await explored(patient.source)).toBeLessThan(10_000);
	});

	it("any change to the metadata whose checksum was made right is an error or harmless", async () => {
		/** Headers, keys and items stand at both ends of a node; the ends of a field as likely as any bit of it. */
		const offset = fc.oneof(fc.integer({ min: 48, max: 400 }), fc.integer({ min: 48, max: 4095 }));
		const value = fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x7f, 0x80, 0xfe, 0xff));
		const change = fc.tuple(fc.nat(), offset, value);
		await fc.assert(
			fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
				const places = changes.map(([which]) => [superblock, ...nodes][which % (nodes.length + 1)] ?? superblock);
				for (const [i, [, at, byte]] of changes.entries()) patient.view(places[i] ?? superblock).setUint8(at, byte);
				for (const place of places) patient.sign(place);
				try {
					expect(await explored(patient.source)).toBeLessThan(10_000);
				} finally {
					for (const place of places) patient.heal(place);
				}
			}),
			{ numRuns: trials(120) },
		);
	});

	it("a change that leaves the checksum as it was is damage, with its place and the way out", async () => {
		const [node] = nodes;
		if (node === undefined) throw new Error("no node");
		for (const place of nodes) patient.view(place).setUint8(200, patient.view(place).getUint8(200) ^ 1);
		const failure = await btrfs.open(patient.source).catch((error: unknown) => error);
		for (const place of nodes) patient.heal(place);
		expect(failure).toMatchObject({
			kind: "damaged",
			file: "mutated.img",
			hint: expect.stringContaining("btrfs check") as string,
		});
		expect(nodes.map(({ at }) => at)).toContain((failure as AnyvisorError).offset);
	});

	/** Inner nodes, and the offset in them of each child's pointer. */
	const inner = () => nodes.filter((node) => patient.view(node).getUint8(100) > 0);

	it("a tree that leads back into itself, or twice to one node, is damage", async () => {
		const roots = inner();
		expect(roots.length).toBeGreaterThan(0);
		for (const root of roots) {
			const view = patient.view(root);
			const count = view.getUint32(96, true);
			for (const [from, to] of [
				[undefined, 0],
				[0, 1],
			] as const) {
				const target = from === undefined ? view.getBigUint64(48, true) : view.getBigUint64(101 + 33 * from + 17, true);
				const generation =
					from === undefined ? view.getBigUint64(80, true) : view.getBigUint64(101 + 33 * from + 25, true);
				for (let child = to; child < count; child++) {
					view.setBigUint64(101 + 33 * child + 17, target, true);
					view.setBigUint64(101 + 33 * child + 25, generation, true);
				}
				patient.sign(root);
				expect(await explored(patient.source)).toBeLessThan(10_000);
				patient.heal(root);
			}
		}
	});

	it("names that would lead elsewhere are never listed", async () => {
		const names = ["folder", "zeros", "mixed"];
		const evil = ["..", "a/b", "a\0b"];
		const changed = new Set<Place>();
		for (const node of nodes) {
			const text = Buffer.from(patient.bytes.subarray(node.at, node.at + node.length));
			for (const [i, name] of names.entries()) {
				for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1)) {
					const view = patient.view(node);
					const bad = Buffer.from(evil[i] ?? "");
					if (view.getUint16(at - 3, true) !== name.length) continue;
					view.setUint16(at - 3, bad.length, true);
					view.setUint16(at - 5, name.length - bad.length, true);
					for (const [j, byte] of bad.entries()) view.setUint8(at + j, byte);
					changed.add(node);
				}
			}
		}
		for (const node of changed) patient.sign(node);
		expect(changed.size).toBeGreaterThan(0);
		const filesystem = await openBtrfs(patient.source);
		await expect(filesystem.list("/")).rejects.toMatchObject({ kind: "damaged" });
		for (const node of changed) patient.heal(node);
	});

	it("sizes beyond what extents hold cost nothing before they are read", async () => {
		const inode = nodes.flatMap((node) => itemsOf(node).filter(({ type }) => type === 1));
		for (const { node, at } of inode) {
			const view = patient.view(node);
			if ((view.getUint32(at + 52, true) & 0xf000) !== 0x4000) view.setBigUint64(at + 16, (1n << 53n) - 1n, true);
		}
		for (const node of nodes) patient.sign(node);
		const filesystem = await openBtrfs(patient.source);
		const file = await filesystem.open("/prose-4096");
		expect(file.size).toBe(2 ** 53 - 1);
		await file.read(2 ** 52, new Uint8Array(1000));
		await expect(filesystem.stat("/link-60")).rejects.toMatchObject({ kind: "damaged" });
		for (const node of nodes) patient.heal(node);
	});

	/** Items of a leaf: their type, and where their data begin in it. */
	const itemsOf = (node: Place) => {
		const view = patient.view(node);
		const count = view.getUint8(100) === 0 ? view.getUint32(96, true) : 0;
		return Array.from({ length: count }, (_, i) => ({
			node,
			type: view.getUint8(101 + i * 25 + 8),
			at: 101 + view.getUint32(101 + i * 25 + 17, true),
		}));
	};
});

describe("LZO", () => {
	it("whatever the input, the output stays inside its bounds, and the end is reached", () => {
		const tokens = fc.array(fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 16, 17, 24, 31, 32, 63)), { maxLength: 300 });
		fc.assert(
			fc.property(tokens, fc.nat(5000), (input, room) => {
				const length = decodeLzo1x(Uint8Array.from(input), new Uint8Array(room));
				expect(length ?? 0).toBeLessThanOrEqual(room);
			}),
			{ numRuns: trials(2000) },
		);
	});

	it("takes literals and the end of a stream as they are documented", () => {
		const literals = noise(200, 1);
		const stream = Uint8Array.of(17 + 200, ...literals, 17, 0, 0);
		const output = new Uint8Array(300);
		expect(decodeLzo1x(stream, output)).toBe(200);
		expect(output.subarray(0, 200)).toEqual(literals);
		expect(decodeLzo1x(stream, new Uint8Array(199))).toBeUndefined();
		expect(decodeLzo1x(stream.subarray(0, -1), output)).toBeUndefined();
	});
});
