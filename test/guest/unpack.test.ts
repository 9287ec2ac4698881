import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { CpioHeader } from "../../src/guest/initramfs/cpio.js";
import { readInitramfs } from "../../src/guest/initramfs/initramfs.js";
import { Rootfs } from "../../src/guest/initramfs/rootfs.js";
import { unpackInitramfs } from "../../src/guest/initramfs/unpack.js";
import { because, missing } from "../support/tools.js";
import { archive, concat, type Entry, folder, link } from "./support/cpio.js";
import { survivesMutation } from "./support/mutation.js";

async function unpack(...parts: readonly Uint8Array[]) {
	const rootfs = new Rootfs();
	const segments = await unpackInitramfs(bytesSource(concat(parts), "initrd"), rootfs, () => true);
	return { rootfs, segments };
}

const facts = (...parts: readonly Uint8Array[]) =>
	readInitramfs([{ path: "/boot/initrd", source: bytesSource(concat(parts), "initrd") }], "6.1.0");

const microcode = archive([
	folder("kernel"),
	folder("kernel/x86"),
	folder("kernel/x86/microcode"),
	{ name: "kernel/x86/microcode/GenuineIntel.bin", contents: "code" },
]);

const moduleFolders = ["usr", "usr/lib", "usr/lib/modules", "usr/lib/modules/6.1.0"].map(folder);
const base: readonly Entry[] = [
	...moduleFolders,
	link("lib", "usr/lib"),
	{ name: "usr/lib/modules/6.1.0/sd-mod.ko", contents: "old" },
	{ name: "usr/lib/modules/6.1.0/modules.alias", contents: "alias a:* one\nalias b:* two\n" },
];

const compress = (command: string, bytes: Uint8Array, ...args: readonly string[]) =>
	new Uint8Array(execFileSync(command, args, { input: bytes, maxBuffer: 1 << 26, stdio: ["pipe", "pipe", "ignore"] }));

describe("what the kernel's unpacker makes of an initramfs", () => {
	it("lets later archives win, and knows early microcode", async () => {
		const overlay = archive([...moduleFolders, { name: "usr/lib/modules/6.1.0/sd-mod.ko", contents: "new" }]);
		const gap = new Uint8Array(512);
		const { rootfs, segments } = await unpack(microcode, gap, archive(base), overlay);
		expect(rootfs.text("lib/modules/6.1.0/sd-mod.ko")).toBe("new");
		const [first, second] = [microcode.length + 512, microcode.length + 512 + archive(base).length];
		expect(segments).toEqual([
			{ at: 0, length: microcode.length, compression: "none", early: true },
			{ at: first, length: archive(base).length, compression: "none", early: false },
			{ at: second, length: overlay.length, compression: "none", early: false },
		]);
		expect((await unpack(microcode, gap)).segments).toEqual([
			{ at: 0, length: microcode.length, compression: "none", early: true },
		]);
	});

	it("replaces a link by a folder that has its name", async () => {
		const { rootfs } = await unpack(archive(base), archive([folder("lib")]));
		expect(rootfs.find("lib/modules")).toBeUndefined();
		expect(rootfs.find("usr/lib/modules")).toBeDefined();
	});

	it("loses what has no folder to lie in, and keeps a folder that is not empty", async () => {
		const { rootfs } = await unpack(
			archive([...base, { name: "opt/x", contents: "lost" }, { name: "usr", contents: "no folder" }]),
		);
		expect(rootfs.find("opt/x")).toBeUndefined();
		expect(rootfs.text("usr/lib/modules/6.1.0/sd-mod.ko")).toBe("old");
	});

	it("writes through links, and follows them around a circle only so far", async () => {
		const { rootfs } = await unpack(
			archive([
				...base,
				{ name: "lib/modules/6.1.0/new.ko", contents: "1" },
				link("x", "y"),
				link("y", "/x"),
				link("up", "../../usr"),
			]),
		);
		expect(rootfs.text("usr/lib/modules/6.1.0/new.ko")).toBe("1");
		expect(rootfs.find("x")).toBeUndefined();
		expect(rootfs.find("up/lib")).toBe(rootfs.find("/usr/lib"));
	});

	it("gives every name of a file its contents, within one archive", async () => {
		const shared = { ino: 5, nlink: 2 };
		const { rootfs } = await unpack(
			archive([
				{ name: "a", ...shared },
				{ name: "b", ...shared, contents: "both" },
			]),
			archive([{ name: "c", ...shared, contents: "another" }]),
		);
		expect([rootfs.text("a"), rootfs.text("b"), rootfs.text("c")]).toEqual(["both", "both", "another"]);
	});

	it("takes an archive only where the kernel would", async () => {
		const at = archive(base).length;
		await expect(unpack(archive(base), new Uint8Array(2), archive([]))).rejects.toMatchObject({
			kind: "damaged",
			offset: at + 2,
		});
		await expect(unpack(archive(base), Uint8Array.of(9, 9, 9, 9))).rejects.toMatchObject({
			kind: "damaged",
			offset: at,
		});
		// A skippable frame, which begins no zstd for the kernel.
		await expect(unpack(Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0))).rejects.toMatchObject({ kind: "damaged" });
		await expect(unpack(archive([{ name: "070707", contents: "" }]).fill(0x37, 4, 6))).rejects.toMatchObject({
			kind: "damaged",
		});
	});

	it("refuses what no real initramfs has, before it takes memory for it", async () => {
		const claims = (size: number, name: string) => {
			const bytes = archive([{ name, contents: "x" }]);
			bytes.set(new TextEncoder().encode(size.toString(16).padStart(8, "0")), CpioHeader.offsets.filesize);
			return facts(bytes);
		};
		await expect(claims(0xffff_ffff, "a/modules.alias")).rejects.toMatchObject({ kind: "refused" });
		await expect(claims(0x0100_0000, "a/modules.alias")).rejects.toMatchObject({ kind: "damaged", offset: 0 });
		await expect(claims(0xffff_ffff, "unwanted")).rejects.toMatchObject({ kind: "damaged", offset: 0 });
	});

	it.skipIf(missing("lz4"))(`takes nothing plain after lz4, as the kernel does not ${because("lz4")}`, async () => {
		const packed = compress("lz4", archive(base), "-l", "-q", "-");
		const padding = new Uint8Array(-packed.length & 3);
		await expect(unpack(packed, padding, archive([]))).rejects.toMatchObject({
			kind: "damaged",
			offset: packed.length,
		});
		expect((await unpack(packed, padding, new Uint8Array(4), archive([]))).segments).toHaveLength(2);
		expect((await unpack(packed, padding)).segments).toHaveLength(1);
	});

	it("finds nothing in an empty file", async () => {
		expect((await unpack(new Uint8Array(4096))).segments).toEqual([]);
		expect((await unpack()).segments).toEqual([]);
	});

	it("survives any damage", async () => {
		expect(
			await survivesMutation(concat([microcode, archive(base)]), (bytes) => facts(bytes), { numRuns: 500 }),
		).toBeGreaterThan(0);
	});
});

const formats = [
	{ command: "gzip", args: [], id: "gzip" },
	{ command: "zstd", args: ["-q", "-3"], id: "zstd" },
	{ command: "xz", args: ["--check=crc32"], id: "xz" },
	{ command: "bzip2", args: [], id: "bzip2" },
	{ command: "lz4", args: ["-l", "-q", "-"], id: "lz4-legacy" },
	{ command: "xz", args: ["--format=lzma"], id: "lzma" },
	{ command: "lzop", args: [], id: "lzop" },
] as const;

for (const { command, args, id } of formats) {
	describe.skipIf(missing(command))(`initramfs compressed by ${command} (${id}) ${because(command)}`, () => {
		const packed = () => compress(command, archive(base), ...args);

		it("reads microcode, padding, the archive, and an overlay after it", async () => {
			const gap = new Uint8Array(508);
			const overlay = compress(
				command,
				archive([{ name: "lib/modules/6.1.0/modules.alias", contents: "alias c:* three\n" }]),
				...args,
			);
			const initramfs = await facts(microcode, gap, packed(), overlay);
			expect(initramfs).toMatchObject({
				modules: new Map([["sd_mod", "sd-mod.ko"]]),
				aliases: [["c:*", "three"]],
				modulesDirectory: "usr/lib/modules/6.1.0",
				generator: "unknown",
			});
			const start = microcode.length + gap.length;
			const segments = initramfs?.segments ?? [];
			expect(segments[0]).toEqual({ at: 0, length: microcode.length, compression: "none", early: true });
			expect(segments[1]).toMatchObject({ at: start, compression: id, early: false });
			const end = start + packed().length + overlay.length;
			expect((segments.at(-1)?.at ?? 0) + (segments.at(-1)?.length ?? 0)).toBe(end);
		});

		it("survives any damage", async () => {
			expect(
				await survivesMutation(concat([packed(), archive(base)]), (bytes) => facts(bytes), { numRuns: 100 }),
			).toBeGreaterThan(0);
		});

		it("refuses what is no archive inside", async () => {
			const junk = compress(command, new TextEncoder().encode("no archive at all"), ...args);
			await expect(unpack(junk)).rejects.toMatchObject({ kind: "damaged", file: "initrd", offset: 0 });
		});
	});
}

describe("facts of an initramfs", () => {
	const text = (name: string, contents = ""): Entry => ({ name, contents });

	it("recognises initramfs-tools and its list", async () => {
		const initramfs = await facts(
			archive([
				...["scripts", "conf"].map(folder),
				text("scripts/functions"),
				text("conf/arch.conf"),
				text("conf/modules", "# list\n\nata-piix\nloop max_loop=8\n"),
			]),
		);
		expect(initramfs).toMatchObject({
			generator: "initramfs-tools",
			forced: new Set(["ata_piix", "loop"]),
			aliases: undefined,
		});
	});

	it("recognises dracut and modules-load.d, where /etc hides /usr/lib", async () => {
		const lists = ["usr", "usr/lib", "usr/lib/dracut", "usr/lib/modules-load.d", "etc", "etc/modules-load.d"];
		const initramfs = await facts(
			archive([
				...lists.map(folder),
				text("usr/lib/modules-load.d/a.conf", "hidden"),
				text("usr/lib/modules-load.d/b.conf", "; note\nvirtio-blk"),
				text("etc/modules-load.d/a.conf", "shown\n"),
				text("etc/modules-load.d/readme", "ignored"),
			]),
		);
		expect(initramfs).toMatchObject({ generator: "dracut", forced: new Set(["virtio_blk", "shown"]) });
	});

	it.each([
		['EARLYHOOKS="udev"\nMODULES="virtio-pci virtio_blk?"\n', ["virtio_pci", "virtio_blk"]],
		["MODULES=(vmw_pvscsi\n  sd_mod)\n", ["vmw_pvscsi", "sd_mod"]],
		["#MODULES=(no)\nMODULES=()\n", []],
	])("recognises mkinitcpio and its MODULES in %j", async (config, forced) => {
		const initramfs = await facts(archive([folder("hooks"), text("init_functions"), text("config", config)]));
		expect(initramfs).toMatchObject({ generator: "mkinitcpio", forced: new Set(forced) });
	});

	it("tells mkinitcpio's flavours apart", async () => {
		const lists = ["usr", "usr/lib", "usr/lib/systemd", "usr/lib/systemd/system", "etc", "etc/modules-load.d"];
		const systemd = await facts(
			archive([
				...lists.map(folder),
				text("buildconfig", "MODULES=(of_the_host)\n"),
				text("usr/lib/systemd/system/initrd.target"),
				text("etc/modules-load.d/MODULES.conf", "vmw_pvscsi\n"),
			]),
		);
		expect(systemd).toMatchObject({ generator: "mkinitcpio", systemd: true, forced: new Set(["vmw_pvscsi"]) });
		const busybox = await facts(archive([text("buildconfig"), text("init_functions"), text("config", 'MODULES="a"')]));
		expect(busybox).toMatchObject({ generator: "mkinitcpio", systemd: false, forced: new Set(["a"]) });
	});

	it.each([
		["usr/lib/systemd/systemd-udevd", true],
		["lib/systemd/systemd-udevd", true],
		["usr/bin/udevadm", true],
		["usr/bin/mdev", false],
	])("tells whether udev names interfaces in it: %s", async (program, udev) => {
		const parents = program.split("/").map((_, i, parts) => parts.slice(0, i).join("/"));
		const folders = parents.filter((name) => name !== "").map(folder);
		expect(await facts(archive([...folders, text(program, "x")]))).toMatchObject({ udev });
	});

	it("recognises mkinitfs", async () => {
		const folders = [".modloop", "newroot", "lib", "lib/modules", "lib/modules/6.1.0"].map(folder);
		const indexed = [
			...folders,
			text("lib/modules/6.1.0/ext4.ko.gz", "x"),
			text("lib/modules/6.1.0/modules.alias", "alias fs-ext4 ext4\n"),
			text("lib/modules/6.1.0/modules.dep", "ext4.ko.gz: jbd2.ko.gz\n"),
		];
		expect(await facts(archive(indexed))).toMatchObject({
			generator: "mkinitfs",
			modulesDirectory: "lib/modules/6.1.0",
			modules: new Map([["ext4", "ext4.ko.gz"]]),
			dependencies: new Map([["ext4", ["jbd2"]]]),
			aliases: [["fs-ext4", "ext4"]],
		});
	});

	it("joins the files that a boot loader loads together", async () => {
		const files = [microcode, archive(base), archive([text("lib/modules/6.1.0/late.ko.zst", "x")])].map((bytes, i) => ({
			path: `/boot/${i}`,
			source: bytesSource(bytes, `/boot/${i}`),
		}));
		const initramfs = await readInitramfs(files, "6.1.0");
		expect(initramfs).toMatchObject({
			path: "/boot/2",
			before: ["/boot/0", "/boot/1"],
			modules: new Map([
				["sd_mod", "sd-mod.ko"],
				["late", "late.ko.zst"],
			]),
		});
		expect((await readInitramfs(files, "5.10"))?.modules.size).toBe(0);
		expect(await readInitramfs([], "6.1.0")).toBeUndefined();
	});

	it("believes the binary index before the text", async () => {
		const broken = text("usr/lib/modules/6.1.0/modules.alias.bin", "no index at all");
		await expect(facts(archive([...base, broken]))).rejects.toMatchObject({ kind: "damaged" });
		expect((await facts(archive(base)))?.aliases).toEqual([
			["a:*", "one"],
			["b:*", "two"],
		]);
	});
});
