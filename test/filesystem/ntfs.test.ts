import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { ntfs } from "../../src/filesystem/ntfs/index.js";
import { because, missing, run, temporaryFolder, trials } from "../support/tools.js";
import { filesystemTree, folderTree, noise, openFile, readAll } from "./ext-images.js";
import { grow } from "./grow.js";
import { compress, fill, mkntfs, mounted, openNtfs, prose, reparse, unmountable } from "./ntfs-images.js";

const folder = await temporaryFolder();
const image = path.join(folder, "fs.img");
const reason = unmountable(folder);

describe.skipIf(reason !== "")(`NTFS as ntfs-3g writes it ${reason}`, () => {
	const at = path.join(folder, "mounted");
	const opened = async () => openNtfs(bytesSource(new Uint8Array(await readFile(image)), "x.img"));

	it.each([
		["-L a_label", {}],
		["-c 512", { fragments: 600 }],
		["-c 2048 -C", { many: 50 }],
		["-s 4096 -c 4096", { many: 150 }],
		["-c 65536", { packed: false, many: 150 }],
		["-c 2097152", { packed: false, many: 50, fragments: 5 }],
	])("mkntfs %s", async (options, how) => {
		await mkntfs(image, options, options.includes("2097152") ? 1024 : 64);
		const expected = await mounted(image, at, async () => {
			await fill(at, how);
			return folderTree(at);
		});
		const { source } = await openFile(image);
		await using _ = source;
		const filesystem = await openNtfs(source);
		expect(await filesystemTree(filesystem)).toEqual(expected);
		expect(filesystem.kind).toBe("ntfs");
		const blkid = await run("blkid", "-p", "-o", "export", image);
		expect(filesystem.uuid).toBe(/^UUID=(.*)$/m.exec(blkid)?.[1]);
		expect(filesystem.label).toBe(/^LABEL=(.*)$/m.exec(blkid)?.[1] ?? "");
		expect(filesystem.notes).toEqual([]);
		const [, size, free] = /Cluster Size: (\d+)[^]*Free Clusters: (\d+)/.exec(await run("ntfsinfo", "-m", image)) ?? [];
		expect(await filesystem.free?.()).toBe(Number(free) * Number(size));
		if (!options.includes("-c 512")) return;
		// The runs of this one do not fit its own record.
		expect(await run("ntfsinfo", "-F", "scattered", image)).toContain("$ATTRIBUTE_LIST");
	});

	it.each(Array.from({ length: trials(1) }, (_, i) => i + Number(process.env["FC_SEED"] ?? 1)))(
		"a tree grown at random, seed %i",
		async (seed) => {
			await mkntfs(image, ["", "-c 1024", "-c 512", "-c 8192"][seed % 4] ?? "", 64);
			const expected = await mounted(image, at, async () => {
				await compress(path.join(at, "packed"));
				await grow(at, seed, 120, ["packed", "plain", "plain/below"]);
				return folderTree(at);
			});
			expect(await filesystemTree(await opened())).toEqual(expected);
		},
	);

	it("finds names in a directory of ten thousand whatever their case, and reads little for it", async () => {
		const names = Array.from({ length: 10_500 }, (_, i) => `Name ${i} ${"ž".repeat(i % 60)}`);
		await mkntfs(image, "");
		await writeFile(path.join(folder, "names"), names.join("\n"));
		await mounted(image, at, () =>
			run(
				"sh",
				"-c",
				`mkdir "$1/Many" && cd "$1/Many" && tr '\\n' '\\0' <"$2" | xargs -0 touch`,
				"sh",
				at,
				path.join(folder, "names"),
			),
		);
		const { source, read } = await openFile(image);
		await using _ = source;
		const filesystem = await openNtfs(source);
		for (const name of names.slice(5000, 5005)) {
			expect(await filesystem.stat(`/Many/${name}`)).toMatchObject({ type: "file" });
			expect(await filesystem.stat(`/mANY/${name.toUpperCase()}`)).toMatchObject({ type: "file" });
			expect(await filesystem.stat(`/Many/${name}no`)).toBeUndefined();
		}
		expect(read.bytes).toBeLessThan(3 << 20);
		expect((await filesystem.list("/many")).map(({ name }) => name).sort()).toEqual([...names].sort());
		expect(await filesystem.list("/")).toEqual([{ name: "Many", type: "directory" }]);
		for (const nothing of ["/no", "/$MFT", "/Many/.", `/Many/${names[0]}/x`]) {
			expect(await filesystem.stat(nothing)).toBeUndefined();
			await expect(filesystem.list(nothing)).rejects.toMatchObject({ kind: "not-found" });
			await expect(filesystem.open(nothing)).rejects.toMatchObject({ kind: "not-found" });
		}
		await expect(filesystem.open("/Many")).rejects.toMatchObject({ kind: "not-found" });
	});

	it("a name that is exactly so comes before one that differs in case, and short names are found but not listed", async () => {
		await mkntfs(image, "");
		await mounted(
			image,
			at,
			async () => {
				await writeFile(path.join(at, "readme"), "lower");
				await writeFile(path.join(at, "README"), "upper");
				await writeFile(path.join(at, "A long name.text"), "long");
				await run("setfattr", "-n", "system.ntfs_dos_name", "-v", "ALONGN~1.TXT", path.join(at, "A long name.text"));
			},
			"windows_names",
		);
		const filesystem = await opened();
		const text = async (name: string) => new TextDecoder().decode(await readAll(await filesystem.open(name)));
		expect([await text("/readme"), await text("/README")]).toEqual(["lower", "upper"]);
		expect(["lower", "upper"]).toContain(await text("/ReadMe"));
		expect([await text("/a LONG name.text"), await text("/alongn~1.txt")]).toEqual(["long", "long"]);
		expect((await filesystem.list("/")).map(({ name }) => name).sort()).toEqual([
			"A long name.text",
			"README",
			"readme",
		]);
	});

	it("symbolic links and junctions are links; data that Windows keeps elsewhere is refused by name", async () => {
		await mkntfs(image, "");
		await mounted(
			image,
			at,
			async () => {
				await run(
					"sh",
					"-c",
					`cd "$1" && touch link overlay dedup cloud && mkdir junction && ln -s wsl/target wsl`,
					"sh",
					at,
				);
				await reparse(path.join(at, "link"), 0xa000000c, "..\\dir\\file", 1);
				await reparse(path.join(at, "junction"), 0xa0000003, "\\??\\C:\\Users\\All Users");
				for (const [name, tag] of [
					["overlay", 0x80000017],
					["dedup", 0x80000013],
					["cloud", 0x9000001a],
				] as const) {
					await reparse(path.join(at, name), tag, "whatever");
				}
			},
			"special_files=wsl",
		);
		const filesystem = await opened();
		const types = Object.fromEntries((await filesystem.list("/")).map(({ name, type }) => [name, type]));
		expect(types).toEqual({
			link: "link",
			junction: "link",
			wsl: "link",
			overlay: "file",
			dedup: "file",
			cloud: "file",
		});
		expect(await filesystem.stat("/link")).toMatchObject({ type: "link", target: "../dir/file", size: 11 });
		expect(await filesystem.stat("/junction")).toMatchObject({ type: "link", target: "C:/Users/All Users" });
		expect(await filesystem.stat("/wsl")).toMatchObject({ type: "link", target: "wsl/target" });
		expect(await filesystem.stat("/junction/x")).toBeUndefined();
		for (const [name, why] of [
			["overlay", "overlay"],
			["dedup", "deduplicated"],
			["cloud", "0x9000001a"],
		]) {
			await expect(filesystem.open(`/${name}`)).rejects.toMatchObject({
				...{ kind: "unsupported", file: "x.img", message: expect.stringContaining(why ?? "") },
			});
		}
	});

	it("encrypted files are refused when they are opened, and listed before", async () => {
		await mkntfs(image, "");
		await mounted(image, at, () => writeFile(path.join(at, "secret"), noise(5000, 1)));
		const bytes = new Uint8Array(await readFile(image));
		// Of the header of its $DATA: the type, the length, "not resident", no name at 64.
		const header = Buffer.from("8000000048000000010040000000", "hex");
		const record = Buffer.from(bytes.buffer).indexOf("secret", 0, "utf16le");
		const flags = Buffer.from(bytes.buffer).indexOf(header, record) + 12;
		expect(flags - record).toBeLessThan(1024);
		bytes[flags + 1] = 0x40;
		const filesystem = await openNtfs(bytesSource(bytes, "x.img"));
		expect(await filesystem.stat("/secret")).toMatchObject({ size: 5000 });
		await expect(filesystem.open("/secret")).rejects.toMatchObject({
			...{ kind: "refused", message: expect.stringContaining("encrypted"), offset: flags - 12 },
		});
	});

	it("says that it was not unmounted, and that Windows is hibernated", async () => {
		await mkntfs(image, "");
		await run("ntfsfix", image);
		expect(await run("ntfsinfo", "-f", "-m", image)).toContain("DIRTY");
		expect((await opened()).notes).toEqual([expect.stringContaining("not unmounted")]);
		await mkntfs(image, "");
		await mounted(image, at, () => writeFile(path.join(at, "hiberfil.sys"), "hibr and the rest"));
		expect((await opened()).notes).toEqual([expect.stringContaining("hibernated")]);
	});

	it.skipIf(missing("7zz"))(`extracts what 7-Zip does ${because("7zz")}`, async () => {
		await mkntfs(image, "");
		await mounted(image, at, async () => {
			await run("setfattr", "-n", "system.ntfs_attrib_be", "-v", "0x00000800", at);
			await writeFile(path.join(at, "prose"), prose(30_000));
		});
		const filesystem = await opened();
		expect(await readAll(await filesystem.open("/prose"))).toEqual(prose(30_000));
		await run("7zz", "x", "-y", `-o${folder}/seven`, image, "prose");
		expect(new Uint8Array(await readFile(path.join(folder, "seven/prose")))).toEqual(prose(30_000));
	});
});

it("what is no NTFS is not mine", async () => {
	expect(await ntfs.open(bytesSource(new Uint8Array(0)))).toBeUndefined();
	expect(await ntfs.open(bytesSource(noise(1 << 20, 3)))).toBeUndefined();
});
