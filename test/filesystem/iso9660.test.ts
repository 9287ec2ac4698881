import { chmod, chown, lutimes, mkdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { type ByteSource, bytesSource } from "../../src/bytes/source.js";
import type { Filesystem } from "../../src/filesystem/filesystem.js";
import { iso9660 } from "../../src/filesystem/iso9660/index.js";
import { because, missing, run, temporaryFolder, trials } from "../support/tools.js";
import { explore, tolerate } from "./explore.js";
import { filesystemTree, folderTree, noise, openFile, readAll, type Tree } from "./ext-images.js";

const folder = await temporaryFolder();
const image = path.join(folder, "fs.iso");
const source = path.join(folder, "source");
const tools = ["genisoimage", "xorriso", "bsdtar", "blkid"];

async function openIso(source: ByteSource): Promise<Filesystem> {
	const filesystem = await iso9660.open(source);
	if (filesystem === undefined) throw new Error(`${source.name} was not recognised`);
	return filesystem;
}

/** What ISO 9660 stores in different ways: deep folders, long names and targets, many names, modes and owners. */
async function makeSource(): Promise<void> {
	for (const name of ["many", "a/b/c/d/e/f/g/h/i/j", "žluťoučký kůň"]) {
		await mkdir(path.join(source, name), { recursive: true });
	}
	for (const size of [0, 1, 2047, 2048, 2049, 70_000, 300_000]) {
		await writeFile(path.join(source, `file-${size}.bin`), noise(size, size));
	}
	for (let i = 0; i < 300; i++) await writeFile(path.join(source, "many", `${"n".repeat(i % 50)}-${i}.txt`), `${i}`);
	await writeFile(path.join(source, "a/b/c/d/e/f/g/h/i/j/deep"), "deep");
	await writeFile(path.join(source, "x".repeat(240)), "long");
	for (const [i, target] of ["b", "../up/./here", "/abs/path", `${"t".repeat(90)}/${"u".repeat(90)}/v`].entries()) {
		await symlink(target, path.join(source, `link-${i}`));
		await lutimes(path.join(source, `link-${i}`), 1e9, 1e9);
	}
	await chmod(path.join(source, "file-1.bin"), 0o4751);
	await chown(path.join(source, "file-1.bin"), 1234, 70_000);
	await utimes(path.join(source, "file-1.bin"), 1e9, 1e9);
}

const sorted = (tree: Tree) => Object.keys(tree).sort();

describe.skipIf(missing(...tools))(`ISO 9660 as other programs make it ${because(...tools)}`, () => {
	beforeAll(makeSource);

	/** The whole tree as bsdtar extracts it, with the owners and modes that are kept. */
	async function extracted(): Promise<Tree> {
		const into = path.join(folder, "extracted");
		await rm(into, { recursive: true, force: true });
		await mkdir(into);
		await run("bsdtar", "-x", "-p", "-f", image, "-C", into);
		return folderTree(into);
	}

	it.each([
		["genisoimage", ["-quiet", "-R", "-V", "A LABEL"]],
		["genisoimage", ["-quiet", "-R", "-J", "-D", "-V", "Joliet too"]],
		["xorriso", ["-as", "mkisofs", "-quiet", "-V", "XORRISO", "-J"]],
	])("with Rock Ridge: %s %j", async (command, options) => {
		// What genisoimage makes of a longer one nobody can read.
		if (command === "xorriso") await symlink(`${"t".repeat(200)}/${"u".repeat(250)}/v`, path.join(source, "longest"));
		await run(command, ...options, "-o", image, source);
		await rm(path.join(source, "longest"), { force: true });
		const { source: file } = await openFile(image);
		await using _file = file;
		const filesystem = await openIso(file);
		// Where folders that are too deep were put; bsdtar does not show it.
		const { "/rr_moved": _, ...tree } = await filesystemTree(filesystem);
		expect(tree).toEqual(await extracted());
		expect(tree["/link-3"]).toContain(`${"t".repeat(90)}/${"u".repeat(90)}/v`);
		expect(tree["/a/b/c/d/e/f/g/h/i/j/deep"]).toMatch(/^file/);
		const [uuid, label] = ["UUID", "LABEL"].map((tag) => run("blkid", "-p", "-s", tag, "-o", "value", image));
		expect(filesystem.uuid).toBe((await uuid)?.trim());
		expect(filesystem.label).toBe((await label)?.trim());
		expect(await filesystem.stat("/FILE-1.bin")).toBeUndefined();
		for (const nothing of ["/no", "/many/no", "/file-1.bin/x"]) {
			expect(await filesystem.stat(nothing)).toBeUndefined();
			await expect(filesystem.list(nothing)).rejects.toMatchObject({ kind: "not-found" });
			await expect(filesystem.open(nothing)).rejects.toMatchObject({ kind: "not-found" });
		}
	});

	it.each([
		["-J", "a-long-label-xyz"],
		["-iso-level 3", "PLAIN"],
	])("without: genisoimage %s", async (options, label) => {
		await run("genisoimage", "-quiet", "-V", label, ...options.split(" "), "-o", image, path.join(source, "many"));
		const filesystem = await openIso(bytesSource(new Uint8Array(await readFile(image))));
		const listed = sorted(await filesystemTree(filesystem));
		const names = (await run("bsdtar", "-t", "-f", image))
			.trim()
			.split("\n")
			.filter((name) => name !== ".");
		expect(listed).toEqual(names.map((name) => `/${name}`).sort());
		const found = listed.find((name) => /7\.txt$/i.test(name)) ?? "";
		const contents = await run("bsdtar", "-x", "-O", "-f", image, found.slice(1));
		expect(new TextDecoder().decode(await readAll(await filesystem.open(found.toLowerCase())))).toBe(contents);
		expect(await filesystem.stat(found)).toMatchObject({ type: "file", mode: 0o444, size: contents.length });
		expect(filesystem.label).toBe((await run("blkid", "-p", "-s", "LABEL", "-o", "value", image)).trim());
	});

	it("a file in several parts is one file", async () => {
		await mkdir(path.join(folder, "parts"), { recursive: true });
		await writeFile(path.join(folder, "parts/PART1.BIN"), noise(6 * 2048, 1));
		await writeFile(path.join(folder, "parts/PART2.BIN"), noise(5000, 2));
		await run("genisoimage", "-quiet", "-o", image, path.join(folder, "parts"));
		const bytes = await readFile(image);
		const [first, second] = [bytes.indexOf("PART1.BIN"), bytes.indexOf("PART2.BIN")];
		bytes[first - 8] = 0x80;
		bytes.write("PART1.BIN", second);
		await writeFile(image, bytes);
		const filesystem = await openIso(bytesSource(bytes));
		const expected = Buffer.concat([noise(6 * 2048, 1), noise(5000, 2)]);
		expect(Buffer.from(await readAll(await filesystem.open("/part1.bin"))).equals(expected)).toBe(true);
		expect(await filesystem.list("/")).toEqual([{ name: "PART1.BIN", type: "file" }]);
		await run("bsdtar", "-x", "-f", image, "-C", folder, "PART1.BIN");
		expect((await readFile(path.join(folder, "PART1.BIN"))).equals(expected)).toBe(true);
	});

	it("says that a disc has UDF as well, and refuses what zisofs compressed by name", async () => {
		await run("genisoimage", "-quiet", "-udf", "-R", "-o", image, path.join(source, "many"));
		expect((await openIso(bytesSource(await readFile(image)))).notes).toEqual([expect.stringContaining("UDF")]);
		await writeFile(path.join(folder, "parts/zeros"), new Uint8Array(200_000));
		await run(
			...([
				"xorriso",
				"-outdev",
				`stdio:${image}.z`,
				"-map",
				path.join(folder, "parts"),
				"/",
				"-set_filter",
				"--zisofs",
				"/zeros",
			] as const),
		);
		const filesystem = await openIso(bytesSource(await readFile(`${image}.z`), "x.iso"));
		await expect(filesystem.open("/zeros")).rejects.toMatchObject({
			...{ kind: "unsupported", file: "x.iso", message: expect.stringContaining("zisofs") },
		});
	});

	it("a link that genisoimage broke off is damage when it is looked at, not when its folder is listed", async () => {
		const broken = path.join(folder, "broken");
		await mkdir(broken);
		await symlink(`${"t".repeat(200)}/${"u".repeat(250)}/v`, path.join(broken, "link"));
		await run("genisoimage", "-quiet", "-R", "-o", image, broken);
		const filesystem = await openIso(bytesSource(await readFile(image), "x.iso"));
		expect(await filesystem.list("/")).toEqual([{ name: "link", type: "link" }]);
		await expect(filesystem.stat("/link")).rejects.toMatchObject({ kind: "damaged", file: "x.iso" });
	});

	it("any change to descriptors and directories is an error or harmless", async () => {
		await run("genisoimage", "-quiet", "-R", "-J", "-o", image, source);
		const bytes = new Uint8Array(await readFile(image));
		const original = bytes.slice();
		const explored = async (length = bytes.length) => {
			const begin = performance.now();
			const filesystem = await tolerate(iso9660.open(bytesSource(bytes.subarray(0, length))));
			if (filesystem !== undefined) await explore(filesystem);
			return performance.now() - begin;
		};
		// Descriptors, then directories of both trees, where most is.
		const place = fc.oneof(
			fc.integer({ min: 32_768, max: 32_768 + 190 }),
			fc.integer({ min: 20 * 2048, max: 60 * 2048 }),
			fc.integer({ min: 20 * 2048, max: 120 * 2048 }),
		);
		const value = fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 2, 0x7f, 0x80, 0xff));
		await fc.assert(
			fc.asyncProperty(fc.array(fc.tuple(place, value), { minLength: 1, maxLength: 20 }), async (changes) => {
				for (const [at, byte] of changes) bytes[at] = byte;
				try {
					expect(await explored()).toBeLessThan(10_000);
				} finally {
					for (const [at] of changes) bytes[at] = original[at] ?? 0;
				}
			}),
			{ numRuns: trials(60) },
		);
		for (const length of [0, 33_000, 40_000, 100_000]) expect(await explored(length)).toBeLessThan(10_000);
	});
});

it("what is no ISO 9660 is not mine", async () => {
	expect(await iso9660.open(bytesSource(new Uint8Array(0)))).toBeUndefined();
	expect(await iso9660.open(bytesSource(noise(1 << 20, 3)))).toBeUndefined();
});
