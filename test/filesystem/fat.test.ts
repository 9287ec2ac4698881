import { execFileSync } from "node:child_process";
import { copyFile, readFile, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { bytesSource, readBytes } from "../../src/bytes/source.js";
import { fat } from "../../src/filesystem/fat/index.js";
import type { Filesystem } from "../../src/filesystem/filesystem.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { fileStore } from "./store.js";

const tools = ["mkfs.vfat", "mcopy", "mmd", "mdir"];
process.env["MTOOLS_SKIP_CHECK"] = "1";

/** Size in KiB and mkfs.vfat's options: every width, small and large clusters, a large sector, one and three FATs. */
const variants: readonly (readonly [name: string, kibibytes: number, options: readonly string[]])[] = [
	["fat12, floppy", 1440, ["-F12"]],
	["fat12, 4 KiB clusters", 8192, ["-F12", "-s8"]],
	["fat16, 1 KiB clusters", 32768, ["-F16", "-s2"]],
	["fat16, one FAT, 32 KiB clusters", 262144, ["-F16", "-s64", "-f1"]],
	["fat32, 512-byte clusters", 40960, ["-F32", "-s1"]],
	["fat32, 4 KiB clusters, three FATs", 307200, ["-F32", "-s8", "-f3"]],
	["fat32, 4096-byte sectors", 300000, ["-F32", "-S4096", "-s1"]],
];

async function format(folder: string, kibibytes: number, options: readonly string[]): Promise<string> {
	const image = path.join(folder, `${options.join("")}-${kibibytes}.img`);
	await writeFile(image, "");
	await truncate(image, kibibytes * 1024);
	await run("mkfs.vfat", ...options, "-i", "0badcafe", "-n", "ESP LABEL", image);
	return image;
}

async function openImage(image: string): Promise<Filesystem> {
	const filesystem = await fat.open(await fileStore(image));
	if (!filesystem) throw new Error("not recognised");
	return filesystem;
}

describe.skipIf(missing(...tools))(`FAT, read ${because(...tools)}`, async () => {
	const folder = await temporaryFolder();

	it.each(variants)("reads what mtools wrote: %s", async (_, kibibytes, options) => {
		const image = await format(folder, kibibytes, options);
		const big = Uint8Array.from({ length: 300_001 }, (_, i) => i * 7 + (i >> 8));
		const files: [string, Uint8Array][] = [
			["/EMPTY", new Uint8Array()],
			["/lower.txt", Uint8Array.from([1, 2, 3])],
			["/EFI/BOOT/BOOTX64.EFI", big],
			["/EFI/debian/A rather long name, with spaces + signs.conf", big.subarray(0, 5000)],
			["/EFI/debian/žluťoučký kůň 日本.txt", big.subarray(0, 77)],
			[`/EFI/debian/${"x".repeat(255)}`, big.subarray(0, 513)],
		];
		await run("mmd", "-i", image, "::EFI", "::EFI/BOOT", "::EFI/debian");
		for (const [name, contents] of files) {
			const file = path.join(folder, "contents");
			await writeFile(file, contents);
			await run("mcopy", "-o", "-i", image, file, `::${name}`);
		}
		const filesystem = await openImage(image);
		expect(filesystem.kind).toBe(options[0]?.replace("-F", "fat"));
		expect(filesystem.uuid).toBe("0BAD-CAFE");
		expect(filesystem.label).toBe("ESP LABEL");
		for (const [name, contents] of files) {
			for (const spelling of [name, name.toUpperCase(), name.toLowerCase()]) {
				const source = await filesystem.open(spelling);
				expect(Buffer.compare(await readBytes(source, 0, source.size), contents)).toBe(0);
			}
			expect(await filesystem.stat(name)).toMatchObject({ type: "file", size: contents.length, mode: 0o755 });
		}
		const source = await filesystem.open("/efi/boot/bootx64.efi");
		expect(await readBytes(source, 65_000, 1234)).toEqual(big.subarray(65_000, 66_234));
		expect((await filesystem.list("/EFI/debian")).map(({ name }) => `/EFI/debian/${name}`).sort()).toEqual(
			files
				.map(([name]) => name)
				.filter((name) => name.startsWith("/EFI/debian/"))
				.sort(),
		);
		expect(await filesystem.list("/efi")).toEqual([
			{ name: "BOOT", type: "directory" },
			{ name: "debian", type: "directory" },
		]);
		expect(await filesystem.stat("/EFI/nothing")).toBeUndefined();
		expect(await filesystem.stat("/EMPTY/x")).toBeUndefined();
		await expect(filesystem.list("/EMPTY")).rejects.toMatchObject({ kind: "not-found" });
		await expect(filesystem.open("/EFI")).rejects.toMatchObject({ kind: "not-found" });
		const summary = await run("mdir", "-i", image, "::");
		expect(await filesystem.free?.()).toBe(Number(/([\d ]+) bytes free/.exec(summary)?.[1]?.replaceAll(" ", "")));
	});

	it("tells the time and the short names that mtools does", async () => {
		const image = await format(folder, 2000, ["-F12"]);
		const file = path.join(folder, "dated");
		await writeFile(file, "x");
		await run("touch", "-d", "2024-02-29 13:14:16 UTC", file);
		execFileSync("mcopy", ["-m", "-i", image, file, "::A long name.text"], { env: { ...process.env, TZ: "UTC" } });
		const filesystem = await openImage(image);
		expect((await filesystem.stat("/ALONGN~1.TEX"))?.mtime).toBe(Date.UTC(2024, 1, 29, 13, 14, 16) / 1000);
	});

	it("answers damaged headers, tables and directories with a typed error or with data, in bounded time", async () => {
		const original = await format(folder, 1440, ["-F12"]);
		await run("mmd", "-i", original, "::dir");
		const file = path.join(folder, "fuzz");
		await writeFile(file, new Uint8Array(100_000));
		await run("mcopy", "-i", original, file, "::dir/a file with a long name");
		const image = path.join(folder, "mutated.img");
		await copyFile(original, image);
		const bytes = new Uint8Array(await readFile(image)).slice(0, 400_000);
		await fc.assert(
			fc.asyncProperty(
				// The boot sector, the FATs and the root directory are the first 17 KiB.
				fc.array(fc.tuple(fc.integer({ min: 0, max: 17_000 }), fc.integer({ min: 0, max: 255 })), {
					minLength: 1,
					maxLength: 12,
				}),
				fc.boolean(),
				async (changes, inBootSector) => {
					const mutated = bytes.slice();
					for (const [at, value] of changes) mutated[inBootSector ? at % 90 : at] = value;
					const outcome = await readEverything(mutated).catch((error: unknown) => error);
					expect(outcome === undefined || outcome instanceof AnyvisorError).toBe(true);
				},
			),
			{ numRuns: 400 },
		);
	});
});

async function readEverything(bytes: Uint8Array): Promise<void> {
	const filesystem = await fat.open(bytesSource(bytes));
	await filesystem?.free?.();
	await walk(filesystem, "/", 0);
}

async function walk(filesystem: Filesystem | undefined, folder: string, depth: number): Promise<void> {
	for (const { name, type } of (await filesystem?.list(folder)) ?? []) {
		const child = `${folder}${name}`;
		if (type === "directory" && depth < 3) await walk(filesystem, `${child}/`, depth + 1);
		else if (type === "file") {
			const source = await filesystem?.open(child);
			if (source) await readBytes(source, 0, Math.min(source.size, 1 << 20));
		}
	}
}

it("does not take a master boot record or an NTFS boot sector for FAT", async () => {
	const mbr = new Uint8Array(4096);
	mbr.set([0xeb, 0x63, 0x90]);
	mbr.set([0x55, 0xaa], 510);
	expect(await fat.open(bytesSource(mbr))).toBeUndefined();
	const ntfs = new Uint8Array(4096);
	ntfs.set([0xeb, 0x52, 0x90, ...new TextEncoder().encode("NTFS    "), 0, 2, 8, 0, 0, 0, 0, 0, 0, 0, 0xf8]);
	ntfs.set([0x55, 0xaa], 510);
	expect(await fat.open(bytesSource(ntfs))).toBeUndefined();
	expect(await fat.open(bytesSource(new Uint8Array(100)))).toBeUndefined();
});
