import { execFileSync } from "node:child_process";
import { copyFile, mkdir, readFile, rename, symlink } from "node:fs/promises";
import { release } from "node:os";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { closure } from "../../src/driver/closure.js";
import type { GuestTree } from "../../src/filesystem/tree.js";
import type { Initramfs, LinuxKernel } from "../../src/guest/guest.js";
import { cpio } from "../../src/prepare/cpio.js";
import { moduleFiles, overlayArchive } from "../../src/prepare/overlay-archive.js";
import { hostKernel, hostKernelReason } from "../guest/support/host.js";
import { type Contents, memoryTree } from "../guest/support/memory.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { type Compression, compress, compressions, compressorNames, concat, initramfsOf, kernelIn } from "./support.js";

const version = hostKernel ?? "";
const directory = `/usr/lib/modules/${version}`;

/** Another program lists or unpacks an archive. */
const cpioTool = (archive: Uint8Array, ...args: readonly string[]) =>
	execFileSync("cpio", ["--quiet", ...args], { input: archive, encoding: "utf8", maxBuffer: 1 << 26 });

describe.skipIf(missing("cpio"))(`cpio archives ${because("cpio")}`, () => {
	const contents = new TextEncoder().encode("12345");
	const archive = cpio([
		{ name: "usr/lib" },
		{ name: "usr/lib/ä", contents },
		{ name: "usr/lib/empty", contents: new Uint8Array() },
	]);

	it("are what cpio(1) lists: root's, at the epoch, the contents as given", async () => {
		expect(
			cpioTool(archive, "-itvn")
				.trimEnd()
				.split("\n")
				.map((line) => line.replace(/\s+/g, " ")),
		).toEqual([
			expect.stringMatching(/^drwxr-xr-x 1 0 0 0 Jan 1 1970 usr\/lib$/),
			expect.stringMatching(/^-rw-r--r-- 1 0 0 5 Jan 1 1970 usr\/lib\//),
			expect.stringMatching(/^-rw-r--r-- 1 0 0 0 Jan 1 1970 usr\/lib\/empty$/),
		]);
		const folder = await temporaryFolder();
		cpioTool(archive, "-idum", "-D", folder);
		expect(await readFile(path.join(folder, "usr/lib/ä"), "utf8")).toBe("12345");
	});

	it("can be followed by another one at once", () => {
		expect(archive.length % 4).toBe(0);
		expect(archive).toEqual(
			cpio([
				{ name: "usr/lib" },
				{ name: "usr/lib/ä", contents },
				{ name: "usr/lib/empty", contents: new Uint8Array() },
			]),
		);
	});
});

/** Where user namespaces are not allowed, and without a static busybox, that judge is not to be had. */
function mayChangeRoot(): boolean {
	try {
		execFileSync("unshare", ["-r", "chroot", "/", "/bin/busybox", "true"], { stdio: "ignore" });
		return true;
	} catch {
		return false;
	}
}

const tools = ["cpio", "depmod", "modprobe", "modinfo", ...compressorNames];

describe.skipIf(hostKernel === undefined || missing(...tools))(
	`archives for initramfs ${because(...tools)}${hostKernelReason}`,
	() => {
		const files: Record<string, Contents> = {};
		let tree: GuestTree;
		let kernel: LinuxKernel;
		/** Uncompressed. */
		let base: Uint8Array = new Uint8Array();
		let added: readonly string[] = [];
		let folder = "";
		const pvscsi = "pci:v000015ADd000007C0sv000015ADsd000007C0bc01sc00i00";

		beforeAll(async () => {
			folder = await temporaryFolder();
			const home = `/lib/modules/${version}`;
			for (const name of ["dep", "dep.bin", "alias", "alias.bin", "softdep", "builtin", "builtin.modinfo"]) {
				files[`${directory}/modules.${name}`] = await readFile(`${home}/modules.${name}`);
			}
			kernel = await kernelIn(memoryTree(files), version, directory);
			const pathOf = (module: string) => kernel.modules.paths.get(module) ?? "";
			added = closure(["vmw_pvscsi", "virtio_blk"], kernel.modules).order;
			const inBase = closure(["sd_mod"], kernel.modules).order;
			for (const module of new Set([...added, ...inBase])) {
				files[`${directory}/${pathOf(module)}`] = await readFile(`${home}/${pathOf(module)}`);
			}
			tree = memoryTree(files);

			// As a generator leaves it: few modules, and indexes of these alone.
			const root = path.join(folder, "root");
			for (const module of inBase) {
				const to = path.join(root, directory, pathOf(module));
				await mkdir(path.dirname(to), { recursive: true });
				await copyFile(`${home}/${pathOf(module)}`, to);
			}
			await symlink("usr/lib", path.join(root, "lib"));
			for (const name of ["order", "builtin", "builtin.modinfo"]) {
				await copyFile(`${home}/modules.${name}`, path.join(root, directory, `modules.${name}`));
			}
			await run("depmod", "-b", root, version);
			base = new Uint8Array(
				execFileSync("sh", ["-c", "find usr lib | cpio -o -H newc --quiet"], { cwd: root, maxBuffer: 1 << 27 }),
			);
			added = added.filter((module) => !inBase.includes(module));
		});

		/** Decompresses by the format's own tool. */
		function decompress(compression: Compression, bytes: Uint8Array): Uint8Array {
			if (compression === "none") return bytes.subarray(bytes.indexOf(0x30));
			const command = compression === "lz4-legacy" ? "lz4" : compression;
			return new Uint8Array(execFileSync(command, ["-d", "-c", "-q"], { input: bytes, maxBuffer: 1 << 27 }));
		}

		/** The indexes in `root` say what depmod, run on the modules in there, says. */
		async function expectAsDepmod(root: string) {
			const read = async (name: string) =>
				(await readFile(path.join(root, directory, name), "utf8"))
					.split("\n")
					.filter((line) => line !== "" && !line.startsWith("#"))
					.map((line) => (line.startsWith("alias ") ? line.replaceAll("-", "_") : line))
					.sort();
			const names = ["modules.dep", "modules.alias", "modules.softdep"];
			const ours = await Promise.all(names.map(read));
			await run("depmod", "-b", root, version);
			const theirs = await Promise.all(names.map(read));
			expect(ours[0]?.map(sortedWords)).toEqual(theirs[0]?.map(sortedWords));
			expect(ours.slice(1)).toEqual(theirs.slice(1));
		}
		const sortedWords = (line: string) => line.split(" ").sort().join(" ");

		it.each(compressions)("behind %s: other tools unpack it, and modprobe finds the drivers", async (compression) => {
			const first = compress(compression, base);
			const before: Initramfs = { ...(await initramfsOf(first, version)), generator: "initramfs-tools" };
			const overlay = await overlayArchive(tree, kernel, before, added);
			const shown = ["none", "gzip", "zstd", "lz4-legacy"].includes(compression);
			const archive = decompress(shown ? compression : "none", overlay);

			const names = cpioTool(archive, "-it").trimEnd().split("\n");
			expect(names.filter((name) => !name.startsWith("usr/lib/modules"))).toEqual([]);
			expect(names.filter((name) => name.endsWith(".ko")).length).toBe(added.length);
			for (const [i, name] of names.entries()) {
				const parent = path.dirname(name);
				expect(parent === "usr/lib" || names.slice(0, i).includes(parent), `${name} before its folder`).toBe(true);
			}

			const root = path.join(folder, compression);
			await mkdir(root);
			cpioTool(base, "-idum", "-D", root);
			const ask = (alias: string) => run("modprobe", "-d", root, "-S", version, "--show-depends", alias);
			await expect(ask(pvscsi)).rejects.toThrow("not found");
			cpioTool(archive, "-idum", "-D", root);
			expect(await ask(pvscsi)).toMatch(/vmw_pvscsi\.ko/);
			for (const line of (await ask("virtio_blk")).trim().split("\n")) {
				expect((await readFile(line.split(" ")[1] ?? "")).subarray(0, 4).toString("latin1")).toBe("\x7fELF");
			}

			await expectAsDepmod(root);

			const after = await initramfsOf(concat(first, overlay), version);
			expect([...after.modules.keys()].sort()).toEqual([...before.modules.keys(), ...added].sort());
			expect([...(after.aliases ?? [])].some(([, module]) => module === "vmw_pvscsi")).toBe(true);
			expect(after.modulesDirectory).toBe(before.modulesDirectory);
		});

		it.each([1, 2, 3, 4, 512])("fits behind %i zero bytes, also twice", async (zeros) => {
			for (const compression of ["none", "zstd", "lz4-legacy"] as const) {
				const first = concat(compress(compression, base), new Uint8Array(zeros));
				const before = await initramfsOf(first, version);
				const overlay = await overlayArchive(tree, kernel, before, ["vmw_pvscsi"]);
				const after = await initramfsOf(concat(first, overlay, overlay), version);
				expect(after.segments.length).toBe(3);
				expect([...after.modules.keys()]).toContain("vmw_pvscsi");
			}
		});

		it("compresses behind what cannot be written here where the kernel's configuration says how", async () => {
			const before = await initramfsOf(compress("xz", base), version);
			for (const [configuration, expected] of [
				["CONFIG_RD_XZ=y\nCONFIG_RD_GZIP=y\n", "gzip"],
				["CONFIG_RD_ZSTD=y\n", "zstd"],
				["# CONFIG_RD_GZIP is not set\n", "none"],
			] as const) {
				const configured = memoryTree({ ...files, [`/boot/config-${version}`]: configuration });
				const overlay = await overlayArchive(configured, kernel, before, ["vmw_pvscsi"]);
				expect(cpioTool(decompress(expected, overlay), "-it")).toContain("vmw_pvscsi.ko");
			}
		});

		it("without a link for /lib, the files go where the modules are", async () => {
			const split = await initramfsOf(cpio([{ name: "lib" }, { name: "lib/modules" }]), version);
			const archive = await overlayArchive(tree, kernel, split, ["vmw_pvscsi"]);
			const names = cpioTool(archive, "-it").trimEnd().split("\n");
			expect(names.slice(0, 2)).toEqual(["lib/modules", `lib/modules/${version}`]);
			expect(names.every((name) => name.startsWith("lib/modules"))).toBe(true);
		});

		/** A guest that keeps its modules compressed. */
		async function packedGuest(ending: string, compression: Compression) {
			const packed: Record<string, Contents> = {};
			for (const [name, contents] of Object.entries(files)) {
				if (name.endsWith(".ko")) packed[name + ending] = compress(compression, contents as Uint8Array);
				else if (name.endsWith("/modules.dep")) {
					packed[name] = new TextDecoder().decode(contents as Uint8Array).replaceAll(/\.ko\b/g, `.ko${ending}`);
				} else if (!name.endsWith(".bin")) packed[name] = contents;
			}
			const packedTree = memoryTree(packed);
			return { tree: packedTree, kernel: await kernelIn(packedTree, version, directory) };
		}

		it.each([
			[".xz", "xz"],
			[".zst", "zstd"],
			[".gz", "gzip"],
		] as const)(
			"modules that are compressed on disk (%s) go in as every loader takes them",
			async (ending, compression) => {
				const guest = await packedGuest(ending, compression);
				const plain = await initramfsOf(base, version);
				const archive = await overlayArchive(guest.tree, guest.kernel, plain, added);
				expect((cpioTool(archive, "-it").match(/[^/\n]+\.ko.*/g) ?? []).length).toBe(added.length);
				expect(await moduleFiles(guest.tree, guest.kernel, plain, ["vmw_pvscsi"])).toEqual([
					expect.objectContaining({ path: expect.stringMatching(`vmw_pvscsi.ko${ending}$`) as string }),
				]);

				const root = path.join(folder, `packed${ending}`);
				await mkdir(root);
				cpioTool(base, "-idum", "-D", root);
				cpioTool(archive, "-idum", "-D", root);
				const loads = await run("modprobe", "-d", root, "-S", version, "--show-depends", pvscsi);
				const inside = path.join(directory, kernel.modules.paths.get("vmw_pvscsi") ?? "");
				expect(loads).toContain(`${inside.replace("/usr", root)} `);
				expect((await readFile(path.join(root, inside))).equals(files[inside] as Uint8Array)).toBe(true);
				await expectAsDepmod(root);
			},
		);

		it("what the base has under another name, in another folder or compressed, is found there still", async () => {
			const root = path.join(folder, "moved");
			await mkdir(root);
			cpioTool(base, "-idum", "-D", root);
			const home = path.join(root, directory, "kernel");
			// mkinitcpio puts all into one folder; its modules may stay compressed.
			const names = (await run("find", home, "-name", "*.ko")).trim().split("\n");
			for (const name of names) await rename(name, path.join(home, path.basename(name)));
			await run("xz", "--check=crc32", path.join(home, "sd_mod.ko"));
			await run("depmod", "-b", root, version);
			const find = "find usr lib | cpio -o -H newc --quiet";
			const moved = new Uint8Array(execFileSync("sh", ["-c", find], { cwd: root, maxBuffer: 1 << 27 }));
			const initramfs = await initramfsOf(moved, version);
			expect(initramfs.modules.get("sd_mod")).toBe("kernel/sd_mod.ko.xz");
			cpioTool(await overlayArchive(tree, kernel, initramfs, added), "-idum", "-D", root);
			const ask = (alias: string) => run("modprobe", "-d", root, "-S", version, "--show-depends", alias);
			expect(await ask("scsi:t-0x00")).toContain("/kernel/sd_mod.ko.xz ");
			expect(await ask(pvscsi)).toContain("vmw_pvscsi.ko");
			await expectAsDepmod(root);
		});

		it.skipIf(missing("busybox", "unshare") || !mayChangeRoot())(
			`busybox finds the drivers by the text ${because("busybox", "unshare")}`,
			async () => {
				const root = path.join(folder, "busybox");
				await mkdir(root);
				cpioTool(base, "-idum", "-D", root);
				cpioTool(await overlayArchive(tree, kernel, await initramfsOf(base, version), added), "-idum", "-D", root);
				await copyFile("/bin/busybox", path.join(root, "busybox"));
				// Its modprobe asks the running kernel for the version.
				const running = release();
				if (running !== version) await symlink(version, path.join(root, "usr/lib/modules", running));
				const inside = ["-r", "chroot", root, "/busybox", "modprobe", "-D"];
				expect(await run("unshare", ...inside, pvscsi)).toMatch(/scsi_mod\.ko[^]*vmw_pvscsi\.ko/);
				expect(await run("unshare", ...inside, "scsi:t-0x00")).toContain("sd_mod.ko");
			},
		);

		it("keeps what the base says of a module that the guest no longer has", async () => {
			const plain = await initramfsOf(base, version);
			const names = [...kernel.modules.paths.keys()].filter((name) => name !== "sd_mod");
			const paths = new Map(names.map((name) => [name, kernel.modules.paths.get(name) ?? ""]));
			const dependencies = new Map(names.map((name) => [name, kernel.modules.dependencies.get(name) ?? []]));
			const aliases = [...kernel.modules.aliases].filter(([, module]) => module !== "sd_mod");
			const without = { ...kernel, modules: { ...kernel.modules, paths, dependencies, aliases } };
			const root = path.join(folder, "orphan");
			await mkdir(root);
			cpioTool(base, "-idum", "-D", root);
			cpioTool(await overlayArchive(tree, without, plain, added), "-idum", "-D", root);
			const loads = await run("modprobe", "-d", root, "-S", version, "--show-depends", "scsi:t-0x00");
			expect(loads).toMatch(/scsi_mod\.ko[^]*sd_mod\.ko/);
		});

		it("refuses a guest that lacks a module's file, naming it and the remedy", async () => {
			const file = `${directory}/${kernel.modules.paths.get("vmw_pvscsi")}`;
			const { [file]: _, ...rest } = files;
			await expect(
				moduleFiles(memoryTree(rest), kernel, await initramfsOf(base, version), ["vmw_pvscsi"]),
			).rejects.toMatchObject({
				kind: "not-found",
				file,
				hint: expect.stringContaining("depmod") as string,
			});
		});

		it.each(["../../../../../../init", "/init", "kernel//x.ko"])(
			"never leaves the modules directory: %s",
			async (escape) => {
				const hostile = { ...kernel, modules: { ...kernel.modules, paths: new Map([["evil", escape]]) } };
				const plain = await initramfsOf(base, version);
				await expect(moduleFiles(tree, hostile, plain, ["evil"])).rejects.toMatchObject({ kind: "damaged" });
			},
		);

		it("refuses modules of an absurd size before reading them", async () => {
			const huge = { name: "huge", size: 2 ** 40, read: () => Promise.reject(new Error("read")) };
			const large = memoryTree({ ...files, [`${directory}/${kernel.modules.paths.get("vmw_pvscsi")}`]: huge });
			await expect(
				overlayArchive(large, kernel, await initramfsOf(base, version), ["vmw_pvscsi"]),
			).rejects.toMatchObject({ kind: "refused" });
		});

		it("writes the same bytes each time", async () => {
			const plain = await initramfsOf(base, version);
			const write = async () => Buffer.from(await overlayArchive(tree, kernel, plain, added));
			expect((await write()).equals(await write())).toBe(true);
		});
	},
);
