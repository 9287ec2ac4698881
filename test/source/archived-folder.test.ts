import { mkdir, readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ArchiveKind, archivedFolder } from "../../src/source/archived-folder.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";

const MIB = 1 << 20;
/** 2025-01-01 */
const now = 1_735_689_600;

interface Given {
	readonly size: number;
	readonly runs: readonly { readonly at: number; readonly bytes: Uint8Array }[];
}

/** A note, and a disk of 64 MiB with a little at three places, also below a folder. */
const disk: Given = {
	size: 24 * MIB + 1000,
	runs: [
		{ at: 0, bytes: new Uint8Array(5000).fill(1) },
		{ at: 10 * MIB, bytes: new Uint8Array(MIB).fill(2) },
		{ at: 24 * MIB, bytes: new Uint8Array(1000).fill(3) },
	],
};
const note: Given = { size: 12, runs: [{ at: 0, bytes: new TextEncoder().encode("import by me") }] };

async function archived(target: string, kind: ArchiveKind, files: Readonly<Record<string, Given>>): Promise<void> {
	await using folder = await archivedFolder(target, kind, { now });
	for (const [name, { size, runs }] of Object.entries(files)) {
		await using sink = await folder.file(name);
		for (const { at, bytes } of runs) await sink.write(at, bytes);
		await sink.commit(size);
	}
	await folder.commit();
}

const contentOf = ({ size, runs }: Given) => {
	const whole = Buffer.alloc(size);
	for (const { at, bytes } of runs) whole.set(bytes, at);
	return whole;
};

const unpackers = {
	"tar.zst": ["tar", "zstd"],
	zip: ["7zz"],
} satisfies Record<ArchiveKind, readonly string[]>;

async function unpacked(archive: string, kind: ArchiveKind, into: string): Promise<void> {
	await mkdir(into);
	if (kind === "zip") await run("7zz", "x", "-y", `-o${into}`, archive);
	else await run("tar", "--zstd", "-xf", archive, "-C", into);
}

describe.each(["tar.zst", "zip"] as const)("a folder as %s", async (kind) => {
	const root = await temporaryFolder();
	const tools = unpackers[kind];

	it.skipIf(missing(...tools))(`is unpacked by somebody else ${because(...tools)}`, async () => {
		const target = path.join(root, "universal");
		const files = { "IMPORT.md": note, "disk.vhd": disk, "Data/disk.img": disk };
		await archived(target, kind, files);
		expect(await readdir(root)).toEqual([`universal.${kind}`]);
		const into = path.join(root, "unpacked");
		await unpacked(`${target}.${kind}`, kind, into);
		for (const [name, given] of Object.entries(files)) {
			const file = path.join(into, "universal", name);
			expect(contentOf(given).equals(await readFile(file)), name).toBe(true);
			expect(Math.round((await stat(file)).mtimeMs / 1000), name).toBe(now);
		}
	});

	it("is no larger than what is on the disk, and is there only when it is complete", async () => {
		const target = path.join(root, "later");
		const before = await readdir(root);
		{
			await using folder = await archivedFolder(target, kind, { now });
			await using sink = await folder.file("disk.img");
			await sink.write(0, new Uint8Array(100));
			await sink.commit(100);
		}
		expect(await readdir(root)).toEqual(before);
		await archived(target, kind, { "disk.img": disk });
		expect((await stat(`${target}.${kind}`)).size).toBeLessThan(MIB);
		await expect(archivedFolder(target, kind, { now })).rejects.toMatchObject({ kind: "refused" });
		const old = await stat(`${target}.${kind}`);
		await using replacing = await archivedFolder(target, kind, { now, overwrite: true });
		await replacing.commit();
		expect((await stat(`${target}.${kind}`)).ino).not.toBe(old.ino);
	});

	it("stops on request and leaves nothing", async () => {
		const target = path.join(root, "stopped");
		const before = await readdir(root);
		{
			await using folder = await archivedFolder(target, kind, { now, signal: AbortSignal.abort() });
			await using sink = await folder.file("disk.img");
			await sink.write(0, new Uint8Array(100));
			await sink.commit(100);
			await expect(folder.commit()).rejects.toThrow("abort");
		}
		expect(await readdir(root)).toEqual(before);
	});
});

describe("holes", async () => {
	const root = await temporaryFolder();

	it.skipIf(missing("tar", "zstd"))(`wherever they are, are put back by tar ${because("tar", "zstd")}`, async () => {
		let count = 0;
		const places = fc.uniqueArray(fc.nat(60), { maxLength: 30 });
		await fc.assert(
			fc.asyncProperty(places, fc.integer({ min: 1, max: 4 * MIB }), async (pages, size) => {
				const target = path.join(root, `holes-${++count}`);
				const runs = pages
					.map((page) => ({ at: page * 65_536, bytes: new Uint8Array(4096).fill(page + 1) }))
					.filter(({ at, bytes }) => at + bytes.length <= size);
				await archived(target, "tar.zst", { disk: { size, runs } });
				await unpacked(`${target}.tar.zst`, "tar.zst", `${target}-unpacked`);
				const file = path.join(`${target}-unpacked`, path.basename(target), "disk");
				expect(contentOf({ size, runs }).equals(await readFile(file))).toBe(true);
				// What is between two pages of a run is stored, as is the rest of the file system's last block.
				const stored = runs.length * 2 * 65_536;
				expect((await stat(file)).blocks * 512).toBeLessThanOrEqual(stored);
			}),
			{ numRuns: 15 },
		);
	});

	it("in a file of a terabyte cost nothing", async () => {
		const target = path.join(root, "large");
		await using folder = await archivedFolder(target, "tar.zst", { now });
		await using sink = await folder.file("disk.raw");
		await sink.write(2 ** 40 - 1, Uint8Array.of(1));
		await sink.commit(2 ** 40);
		await folder.commit();
		expect((await stat(`${target}.tar.zst`)).size).toBeLessThan(4096);
	});
});
