import { execFileSync } from "node:child_process";
import { readFile, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readBytes } from "../../src/bytes/source.js";
import { fat } from "../../src/filesystem/fat/index.js";
import type { Attributes, Editor, Filesystem } from "../../src/filesystem/filesystem.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { fileStore } from "./store.js";

const tools = ["mkfs.vfat", "fsck.vfat", "mcopy", "mdir", "minfo"];
process.env["MTOOLS_SKIP_CHECK"] = "1";
const attributes: Attributes = { mode: 0o644, uid: 0, gid: 0, mtime: Date.UTC(2025, 5, 7, 8, 9, 10) / 1000 };

const variants: readonly (readonly [name: string, kibibytes: number, options: readonly string[]])[] = [
	["fat12, floppy", 1440, ["-F12"]],
	["fat12, 4 KiB clusters", 8192, ["-F12", "-s8"]],
	["fat16, 1 KiB clusters", 32768, ["-F16", "-s2"]],
	["fat16, one FAT, 32 KiB clusters", 131072, ["-F16", "-s64", "-f1"]],
	["fat32, 512-byte clusters", 40960, ["-F32", "-s1"]],
	["fat32, 4 KiB clusters", 307200, ["-F32", "-s8"]],
	["fat32, 4096-byte sectors", 300000, ["-F32", "-S4096", "-s1"]],
];

describe.skipIf(missing(...tools))(`FAT, edited ${because(...tools)}`, async () => {
	const folder = await temporaryFolder();

	async function format(kibibytes: number, options: readonly string[]): Promise<string> {
		const image = path.join(folder, `${options.join("")}-${kibibytes}.img`);
		await writeFile(image, "");
		await truncate(image, kibibytes * 1024);
		await run("mkfs.vfat", ...options, "-n", "ESP", image);
		return image;
	}

	async function edit(image: string, change: (editor: Editor) => Promise<void>): Promise<void> {
		const filesystem = await fat.open(await fileStore(image));
		const editor = await filesystem?.edit?.();
		if (!editor) throw new Error("cannot be edited");
		await change(editor);
		await editor.close();
	}

	/** What mtools reads back. */
	async function contentsOf(image: string, name: string): Promise<Uint8Array> {
		const file = path.join(folder, "copied");
		await run("mcopy", "-n", "-i", image, `::${name}`, file);
		const contents = await readFile(file);
		await run("rm", file);
		return contents;
	}

	async function readAll(filesystem: Filesystem | undefined, name: string): Promise<Uint8Array> {
		const source = await filesystem?.open(name);
		if (!source) throw new Error(`${name} cannot be opened`);
		return readBytes(source, 0, source.size);
	}

	const pattern = (length: number, seed: number) => Uint8Array.from({ length }, (_, i) => (i * 31 + seed) ^ (i >> 7));

	it.each(variants)("is clean to fsck.vfat and read by mtools: %s", async (_, kibibytes, options) => {
		const image = await format(kibibytes, options);
		await edit(image, async (editor) => {
			await editor.makeDirectory("/EFI", attributes);
			await editor.makeDirectory("/EFI/BOOT", attributes);
			await editor.makeDirectory("/efi/boot", attributes);
			await editor.writeFile("/EFI/BOOT/BOOTX64.EFI", pattern(200_123, 1), attributes);
			await editor.writeFile("/EFI/BOOT/empty", new Uint8Array(), attributes);
			for (let i = 0; i < 40; i++) {
				await editor.writeFile(`/EFI/BOOT/a long name, number ${i}.conf`, pattern(i * 50, i), attributes);
			}
			// Longer, shorter, empty and back again.
			await editor.writeFile("/EFI/BOOT/a long name, number 3.conf", pattern(70_000, 3), attributes);
			await editor.writeFile("/EFI/BOOT/A LONG NAME, NUMBER 39.CONF", pattern(5, 39), attributes);
			await editor.writeFile("/EFI/BOOT/a long name, number 38.conf", new Uint8Array(), attributes);
			await editor.writeFile("/EFI/BOOT/empty", pattern(33, 2), attributes);
			await editor.appendFile("/EFI/BOOT/empty", pattern(40_000, 4), attributes.mtime);
			await editor.appendFile("/EFI/BOOT/empty", pattern(1, 5), attributes.mtime);
			await editor.writeFile("/žluťoučký kůň 日本.txt", pattern(10, 6), attributes);
		});
		await run("fsck.vfat", "-n", "-v", image);
		const expected: [string, Uint8Array][] = [
			["/EFI/BOOT/BOOTX64.EFI", pattern(200_123, 1)],
			["/EFI/BOOT/a long name, number 3.conf", pattern(70_000, 3)],
			["/EFI/BOOT/a long name, number 37.conf", pattern(37 * 50, 37)],
			["/EFI/BOOT/a long name, number 39.conf", pattern(5, 39)],
			["/EFI/BOOT/ALONGN~1.CON", new Uint8Array()],
			["/EFI/BOOT/empty", Buffer.concat([pattern(33, 2), pattern(40_000, 4), pattern(1, 5)])],
			["/žluťoučký kůň 日本.txt", pattern(10, 6)],
		];
		for (const [name, contents] of expected) {
			expect(Buffer.compare(await contentsOf(image, name), contents)).toBe(0);
		}
		const listing = execFileSync("mdir", ["-i", image, "::EFI/BOOT"], { encoding: "utf8" });
		expect(listing).toMatch(/BOOTX64 +EFI +200123 2025-06-07 +8:09/);
		expect(listing).toMatch(/44 files/);
	});

	it("keeps a FAT32 file system with fewer clusters than FAT32 should have, as mkfs.vfat can make it", async () => {
		const image = await format(65536, ["-F32", "-s8"]);
		await edit(image, (editor) => editor.writeFile("/loader.conf", pattern(9000, 1), attributes));
		expect(await run("fsck.vfat", "-n", "-v", image)).toContain("32 bit");
		const filesystem = await fat.open(await fileStore(image));
		expect(Buffer.compare(await readAll(filesystem, "/loader.conf"), pattern(9000, 1))).toBe(0);
	});

	it("refuses what does not fit before it writes anything", async () => {
		const image = await format(1440, ["-F12"]);
		const before = await readFile(image);
		await edit(image, async (editor) => {
			await expect(editor.writeFile("/big", new Uint8Array(1_457_665), attributes)).rejects.toMatchObject({
				kind: "no-space",
			});
			for (const name of ["a:b", "dot.", "nul\0", "x".repeat(256)]) {
				await expect(editor.writeFile(`/${name}`, new Uint8Array(1), attributes)).rejects.toMatchObject({
					kind: "refused",
				});
			}
			await expect(editor.writeFile("/no/file", new Uint8Array(1), attributes)).rejects.toMatchObject({
				kind: "not-found",
			});
			await expect(editor.appendFile("/none", new Uint8Array(1), 0)).rejects.toMatchObject({ kind: "not-found" });
		});
		expect(Buffer.compare(await readFile(image), before)).toBe(0);
		// Exactly all of it does fit.
		await edit(image, (editor) => editor.writeFile("/big", new Uint8Array(1_457_664), attributes));
		await run("fsck.vfat", "-n", image);
	});

	it("fills the fixed root directory to its last entry and then refuses", async () => {
		const image = await format(1440, ["-F12"]);
		await edit(image, async (editor) => {
			// 224 entries, one of them the label.
			for (let i = 0; i < 223; i++) await editor.writeFile(`/FILE${i}`, new Uint8Array(), attributes);
			await expect(editor.writeFile("/LAST", new Uint8Array(), attributes)).rejects.toMatchObject({
				kind: "no-space",
			});
		});
		await run("fsck.vfat", "-n", image);
		expect(await run("mdir", "-i", image, "::")).toContain("223 files");
	});

	it("marks the end of a directory anew where what lies behind it was never cleared", async () => {
		const image = await format(1440, ["-F12"]);
		const bytes = await readFile(image);
		const root = (1 + 2 * 9) * 512;
		bytes.fill(0x41, root + 64, root + 224 * 32);
		await writeFile(image, bytes);
		await edit(image, (editor) => editor.writeFile("/A long name", pattern(3, 1), attributes));
		expect(await run("mdir", "-b", "-i", image, "::")).toBe("::/A long name\n");
	});

	it("refuses a second editor of the same volume until the first one is closed", async () => {
		const filesystem = await fat.open(await fileStore(await format(1440, ["-F12"])));
		const editor = await filesystem?.edit?.();
		await expect(filesystem?.edit?.()).rejects.toMatchObject({ kind: "refused" });
		await editor?.close();
		await (await filesystem?.edit?.())?.close();
	});

	it("stays clean through random edits, which mtools and the reader see alike", { timeout: 60_000 }, async () => {
		const name = fc.constantFrom("/a", "/B.TXT", "/d/Long Name One.conf", "/d/long name two.conf", "/d/e/KERNEL.IMG");
		const step = fc.record({
			name,
			append: fc.boolean(),
			length: fc.oneof(fc.nat(3), fc.nat(60_000), fc.constantFrom(512, 1024, 4096)),
		});
		await fc.assert(
			fc.asyncProperty(
				fc.constantFrom(...variants.slice(0, 4)),
				fc.array(step, { minLength: 1, maxLength: 20 }),
				async ([, kibibytes, options], steps) => {
					const image = await format(kibibytes, options);
					const model = new Map<string, Uint8Array>();
					await edit(image, async (editor) => {
						await editor.makeDirectory("/d", attributes);
						await editor.makeDirectory("/d/e", attributes);
						for (const [i, { name, append, length }] of steps.entries()) {
							const contents = pattern(length, i);
							const old = model.get(name);
							if (append && old) await editor.appendFile(name, contents, attributes.mtime);
							else await editor.writeFile(name, contents, attributes);
							model.set(name, append && old ? Buffer.concat([old, contents]) : contents);
						}
					});
					await run("fsck.vfat", "-n", image);
					const filesystem = await fat.open(await fileStore(image));
					for (const [name, contents] of model) {
						expect(Buffer.compare(await readAll(filesystem, name), contents)).toBe(0);
						expect(Buffer.compare(await contentsOf(image, name), contents)).toBe(0);
					}
				},
			),
			{ numRuns: 25 },
		);
	});
});
