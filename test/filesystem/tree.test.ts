import { copyFile, mkdir, readdir, rm, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bytesSource, readBytes } from "../../src/bytes/source.js";
import type { DirectoryEntry, FileStat, Filesystem } from "../../src/filesystem/filesystem.js";
import { filesystems, GuestTree, openFilesystem } from "../../src/filesystem/index.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { fileStore } from "./store.js";

/** A file system from a list of paths: `/file` has its own path as contents, `/link -> target`, `/directory/`. */
function made(...lines: string[]): Filesystem {
	const stats = new Map<string, FileStat>();
	const common = { mode: 0o755, uid: 0, gid: 0, mtime: 0 };
	const directory: FileStat = { ...common, type: "directory", size: 0 };
	stats.set("/", directory);
	for (const line of lines) {
		const [name = "", target] = line.split(" -> ");
		const parts = name.split("/").filter((part) => part !== "");
		for (let i = 1; i < parts.length; i++) stats.set(`/${parts.slice(0, i).join("/")}`, directory);
		if (target !== undefined) stats.set(name, { ...common, type: "link", size: target.length, target });
		else if (name.endsWith("/")) stats.set(name.slice(0, -1), directory);
		else stats.set(name, { ...common, type: "file", size: name.length });
	}
	return {
		kind: "made",
		uuid: "",
		label: "",
		stat: (name) => Promise.resolve(stats.get(name)),
		list: (name) =>
			Promise.resolve(
				[...stats].flatMap(([entry, { type }]): DirectoryEntry[] =>
					path.dirname(entry) === name && entry !== "/" ? [{ name: path.basename(entry), type }] : [],
				),
			),
		open: (name) => Promise.resolve(bytesSource(new TextEncoder().encode(name), name)),
	};
}

describe("a guest's tree", () => {
	const root = made(
		"/boot/hidden",
		"/etc/os-release -> ../usr/lib/os-release",
		"/usr/lib/os-release",
		"/lib -> usr/lib",
		"/vmlinuz -> boot/vmlinuz-6.1",
		"/loop -> /loop",
		"/empty -> ",
		"/up -> ../../../../usr",
		"/dangling -> /usr/nothing",
		"/lost -> /nowhere/nothing",
		"/esp -> /boot/efi/EFI",
	);
	const boot = made("/vmlinuz-6.1", "/grub/grub.cfg", "/out -> ../usr/lib/os-release", "/absolute -> /boot/grub");
	const esp = made("/EFI/BOOT/BOOTX64.EFI");
	const tree = new GuestTree([
		{ mount: "/", filesystem: root },
		{ mount: "/boot/", filesystem: boot },
		{ mount: "//boot/efi", filesystem: esp },
	]);
	const text = async (name: string) => tree.readText(name);

	it("follows links across mounts, from the guest's own root", async () => {
		expect(await text("/etc/os-release")).toBe("/usr/lib/os-release");
		expect(await text("/lib/os-release")).toBe("/usr/lib/os-release");
		expect(await text("/vmlinuz")).toBe("/vmlinuz-6.1");
		expect(await text("/boot/out")).toBe("/usr/lib/os-release");
		expect(await text("/boot/absolute/grub.cfg")).toBe("/grub/grub.cfg");
		expect(await text("/esp/BOOT/BOOTX64.EFI")).toBe("/EFI/BOOT/BOOTX64.EFI");
		expect(await text("/up/lib/os-release")).toBe("/usr/lib/os-release");
		expect(await text("/boot/efi/../../lib//./os-release")).toBe("/usr/lib/os-release");
	});

	it("shows the mounted file system, not what it hides", async () => {
		expect(await tree.stat("/boot/hidden")).toBeUndefined();
		expect(await tree.list("/boot")).toContainEqual({ name: "vmlinuz-6.1", type: "file" });
		expect(await tree.stat("/boot/efi")).toMatchObject({ type: "directory" });
		expect(tree.mounts.map(({ mount }) => mount)).toEqual(["/", "/boot", "/boot/efi"]);
	});

	it("tells where a path is, and where a new one would be", async () => {
		expect(await tree.resolve("/esp/BOOT/BOOTX64.EFI")).toEqual({
			filesystem: esp,
			mount: "/boot/efi",
			path: "/EFI/BOOT/BOOTX64.EFI",
			guestPath: "/boot/efi/EFI/BOOT/BOOTX64.EFI",
		});
		expect(await tree.resolve("/boot")).toMatchObject({ filesystem: boot, path: "/", guestPath: "/boot" });
		expect(await tree.resolve("/lib/new")).toBeUndefined();
		expect(await tree.resolveParent("/lib/new")).toMatchObject({ filesystem: root, path: "/usr/lib/new" });
		expect(await tree.resolveParent("/esp/new")).toMatchObject({ filesystem: esp, path: "/EFI/new" });
		expect(await tree.resolveParent("/dangling")).toMatchObject({ path: "/usr/nothing" });
		expect(await tree.resolveParent("/lost")).toBeUndefined();
		expect(await tree.resolveParent("/no/such/directory")).toBeUndefined();
		expect(await tree.resolve("/usr/lib/os-release/x")).toBeUndefined();
	});

	it("tells links from what they lead to", async () => {
		expect(await tree.lstat("/lib")).toMatchObject({ type: "link", target: "usr/lib" });
		expect(await tree.stat("/lib")).toMatchObject({ type: "directory" });
		expect(await tree.lstat("/dangling")).toMatchObject({ type: "link" });
		expect(await tree.stat("/dangling")).toBeUndefined();
		expect(await tree.stat("/empty")).toBeUndefined();
	});

	it("gives up on links that lead in a circle", async () => {
		await expect(tree.stat("/loop")).rejects.toMatchObject({ kind: "damaged" });
		await expect(tree.readText("/loop/x")).rejects.toMatchObject({ kind: "damaged" });
		expect(await tree.lstat("/loop")).toMatchObject({ type: "link" });
		const deep = new GuestTree([
			{ mount: "/", filesystem: made("/0", ...Array.from({ length: 41 }, (_, i) => `/${i + 1} -> ${i}`)) },
		]);
		expect(await deep.stat("/40")).toMatchObject({ type: "file" });
		await expect(deep.stat("/41")).rejects.toMatchObject({ kind: "damaged" });
	});

	it("answers what is not there, not a file, or too large", async () => {
		expect(await tree.readText("/nothing")).toBeUndefined();
		expect(await tree.readText("/usr")).toBeUndefined();
		expect(await tree.listIfExists("/nothing")).toEqual([]);
		expect(await tree.listIfExists("/etc/os-release")).toEqual([]);
		await expect(tree.list("/nothing")).rejects.toMatchObject({ kind: "not-found" });
		await expect(tree.open("/usr")).rejects.toMatchObject({ kind: "not-found" });
		await expect(tree.readFile("/nothing", 100)).rejects.toMatchObject({ kind: "not-found" });
		await expect(tree.readFile("/etc/os-release", 18)).rejects.toMatchObject({ kind: "refused" });
		expect((await tree.readFile("/etc/os-release", 19)).length).toBe(19);
		await expect(tree.stat("etc")).rejects.toMatchObject({ kind: "usage" });
		expect(() => new GuestTree([{ mount: "/boot", filesystem: boot }])).toThrow(/mounted at \//);
	});
});

const chroots = process.getuid?.() === 0;
const judges = ["busybox", "chroot", "mke2fs"];
const reason = chroots ? because(...judges) : "(skipped: chroot needs root)";
describe.skipIf(!chroots || missing(...judges))(`a guest's tree, beside the kernel in a chroot ${reason}`, async () => {
	const folder = await temporaryFolder();

	it("resolves random paths through random links alike", { timeout: 60_000 }, async () => {
		const part = fc.constantFrom("a", "a", "b", "b", "f", "l", "m", "..", ".");
		const relative = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
		const target = fc.tuple(fc.boolean(), relative).map(([absolute, to]) => (absolute ? `/${to}` : to));
		const links = fc.record({
			place: fc.constantFrom("/l", "/m", "/a/l", "/a/m", "/a/b/l", "/a/b/m", "/b/l"),
			target,
		});
		await fc.assert(
			fc.asyncProperty(
				fc.uniqueArray(links, { minLength: 3, maxLength: 7, selector: ({ place }) => place }),
				fc.array(relative, { minLength: 40, maxLength: 40 }),
				async (links, paths) => {
					const root = path.join(folder, "root");
					await rm(root, { recursive: true, force: true });
					await mkdir(root);
					await copyFile("/bin/busybox", path.join(root, "busybox"));
					const inside = (script: string, ...values: string[]) =>
						run("chroot", root, "/busybox", "sh", "-c", script, "sh", ...values);
					const make = `mkdir -p /a/a /a/b /b/a && echo x > /a/f && echo x > /b/a/f && echo x > /f
						while [ $# -gt 0 ]; do ln -s "$2" "$1"; shift 2; done`;
					await inside(make, ...links.flatMap(({ place, target }) => [place, target]));
					const image = path.join(folder, "tree.img");
					await writeFile(image, "");
					await truncate(image, 6 * 2 ** 20);
					await run("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d", root, image);
					const judge = `for p; do if [ -d "$p" ]; then t=directory; elif [ -f "$p" ]; then t=file; else t=none; fi
						[ $t = none ] && echo none || echo "$t $(readlink -f "$p")"; done`;
					const wanted = await inside(judge, ...paths.map((p) => `/${p}`));
					const filesystem = await openFilesystem(await fileStore(image));
					if (!filesystem) throw new Error("the image was not recognised");
					const tree = new GuestTree([{ mount: "/", filesystem }]);
					const found = await Promise.all(
						paths.map(async (p) => {
							try {
								const stat = await tree.stat(`/${p}`);
								return stat ? `${stat.type} ${(await tree.resolve(`/${p}`))?.guestPath}` : "none";
							} catch {
								return "none";
							}
						}),
					);
					expect(found).toEqual(wanted.trimEnd().split("\n"));
				},
			),
			{ numRuns: 25 },
		);
	});
});

describe("the registry", () => {
	it("has an entry for each folder", async () => {
		const folders = await readdir(new URL("../../src/filesystem", import.meta.url), { withFileTypes: true });
		const ids = folders.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
		expect(filesystems.map(({ id }) => id).sort()).toEqual(ids.sort());
	});

	it("opens none on zeros and on noise", async () => {
		expect(await openFilesystem(bytesSource(new Uint8Array(100_000)))).toBeUndefined();
		expect(await openFilesystem(bytesSource(new Uint8Array(100_000).fill(0xa5)))).toBeUndefined();
		expect(await openFilesystem(bytesSource(new Uint8Array(0)))).toBeUndefined();
	});
});

describe.skipIf(missing("mke2fs", "mkfs.vfat", "mcopy"))(
	`ext and FAT in one tree ${because("mke2fs", "mkfs.vfat", "mcopy")}`,
	async () => {
		const folder = await temporaryFolder();

		it("are edited through the places that the tree tells", async () => {
			const [ext, fat] = [path.join(folder, "ext.img"), path.join(folder, "fat.img")];
			for (const image of [ext, fat]) {
				await writeFile(image, "");
				await truncate(image, 2 ** 23);
			}
			await run("mke2fs", "-q", "-F", "-t", "ext4", ext);
			await run("mkfs.vfat", fat);
			const open = async () => {
				const [root, esp] = await Promise.all([ext, fat].map(async (file) => openFilesystem(await fileStore(file))));
				if (!root || !esp) throw new Error("not recognised");
				return new GuestTree([
					{ mount: "/", filesystem: root },
					{ mount: "/efi", filesystem: esp },
				]);
			};
			for (const [name, kind] of [
				["/fstab", "ext4"],
				["/efi/loader.conf", "fat12"],
			] as const) {
				const place = await (await open()).resolveParent(name);
				expect(place?.filesystem.kind).toBe(kind);
				const editor = await place?.filesystem.edit?.();
				const contents = new TextEncoder().encode(name);
				await editor?.writeFile(place?.path ?? "", contents, { mode: 0o644, uid: 0, gid: 0, mtime: 1e9 });
				await editor?.close();
				expect(await (await open()).readText(name)).toBe(name);
			}
			const read = await (await open()).open("/efi/LOADER.CONF");
			expect(new TextDecoder().decode(await readBytes(read, 0, read.size))).toBe("/efi/loader.conf");
		});
	},
);
