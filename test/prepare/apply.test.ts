import { mkdir, readFile, symlink, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { openFilesystem } from "../../src/filesystem/registry.js";
import { GuestTree } from "../../src/filesystem/tree.js";
import { apply, assertEditable, type Change } from "../../src/prepare/index.js";
import { memoryStore } from "../filesystem/store.js";
import { memoryFilesystem, memoryTree } from "../guest/support/memory.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { guestWith } from "./support.js";

const tools = ["mke2fs", "e2fsck", "debugfs", "mkfs.vfat", "fsck.vfat", "mtype", "mmd", "mcopy"];
const now = 1_790_000_000;
const why = "a test";
const guest = guestWith({});

const write = (file: string, contents = "new\n", mode = 0o755): Change => ({
	rule: "drop-in",
	action: "write-file",
	path: file,
	contents,
	mode,
	why,
});
const replace = (file: string, from: string, to: string, line = 1): Change => ({
	rule: "fstab",
	action: "replace-lines",
	path: file,
	lines: [{ line, from, to }],
	why,
});
const copy = (from: string, to: string): Change => ({ rule: "esp-fallback", action: "copy-file", from, path: to, why });

describe.skipIf(missing(...tools))(`edits of a guest ${because(...tools)}`, () => {
	let folder = "";
	let ext: Uint8Array = new Uint8Array();
	let fat: Uint8Array = new Uint8Array();

	beforeAll(async () => {
		folder = await temporaryFolder();
		const tree = path.join(folder, "tree");
		for (const name of ["etc/real", "boot/efi"]) await mkdir(path.join(tree, name), { recursive: true });
		await writeFile(path.join(tree, "etc/real/fstab"), "/dev/sda1 / ext4\n");
		await symlink("real/fstab", path.join(tree, "etc/fstab"));
		await symlink("/etc/elsewhere", path.join(tree, "etc/dangling.d"));
		const image = path.join(folder, "ext.img");
		await writeFile(image, "");
		await truncate(image, 16 * 2 ** 20);
		await run("mke2fs", "-q", "-F", "-t", "ext4", "-E", "root_owner=0:0", "-d", tree, image);
		ext = new Uint8Array(await readFile(image));

		const esp = path.join(folder, "fat.img");
		await writeFile(esp, "");
		await truncate(esp, 4 * 2 ** 20);
		await run("mkfs.vfat", esp);
		await run("mmd", "-i", esp, "::efi", "::efi/debian");
		await writeFile(path.join(folder, "grub"), "grub".repeat(10_000));
		await run("mcopy", "-i", esp, path.join(folder, "grub"), "::efi/debian/grubx64.efi");
		fat = new Uint8Array(await readFile(esp));
	});

	/** Fresh copies of both file systems, one mounted in the other. */
	async function open(root = ext) {
		const stores = [memoryStore(root.slice()), memoryStore(fat.slice())] as const;
		const [top, esp] = await Promise.all(stores.map((store) => openFilesystem(store)));
		if (!top || !esp) throw new Error("not recognised");
		const tree = new GuestTree([
			{ mount: "/", filesystem: top },
			{ mount: "/boot/efi", filesystem: esp },
		]);
		const save = async () => {
			const files: string[] = [];
			for (const [i, store] of stores.entries()) {
				const bytes = new Uint8Array(store.size);
				await store.read(0, bytes);
				const file = path.join(folder, `result${i}.img`);
				await writeFile(file, bytes);
				files.push(file);
			}
			const [extFile = "", fatFile = ""] = files;
			await run("e2fsck", "-fn", extFile);
			await run("fsck.vfat", "-n", fatFile);
			return { debugfs: (request: string) => run("debugfs", "-R", request, extFile), extFile, fatFile };
		};
		return { tree, save };
	}

	it("carry the labels that the guest's own SELinux policy gives them, and old files keep theirs", async () => {
		const { tree: before, save: saveBefore } = await open();
		const policy = `/etc(/.*)? u:r:etc_t:s0
/etc/modules-load\\.d -d u:r:modules_d_t:s0
/etc/modules-load\\.d/.* -- u:r:modules_t:s0
/etc/quiet/.* <<none>>
/boot/efi(/.*)? u:r:dosfs_t:s0
`;
		const files = [
			write("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=strict\n"),
			write("/etc/selinux/strict/contexts/files/file_contexts", policy),
		];
		await apply(files, guest, before, now);
		const { debugfs: unlabelled, extFile } = await saveBefore();
		expect(await unlabelled("ea_list /etc/selinux/config")).not.toContain("security.selinux");
		await run("debugfs", "-w", "-R", "ea_set /etc/real/fstab security.selinux u:r:kept_t:s0", extFile);
		const { tree, save } = await open(new Uint8Array(await readFile(extFile)));
		await apply(
			[
				replace("/etc/fstab", "/dev/sda1 / ext4", "UUID=1 / ext4"),
				write("/etc/modules-load.d/virtio.conf"),
				write("/etc/dangling.d/conf"),
				write("/etc/quiet/file"),
				write("/etc/selinux/config", "SELINUX=permissive\nSELINUXTYPE=strict\n"),
				copy("/boot/efi/efi/debian/grubx64.efi", "/boot/efi/EFI/BOOT/BOOTX64.EFI"),
			],
			guest,
			tree,
			now,
		);
		const { debugfs } = await save();
		const label = (file: string) =>
			debugfs(`ea_get -V ${file} security.selinux`).then(
				(said) => said.trimEnd(),
				() => "",
			);
		expect(await label("/etc/modules-load.d")).toBe("u:r:modules_d_t:s0\0");
		expect(await label("/etc/modules-load.d/virtio.conf")).toBe("u:r:modules_t:s0\0");
		expect(await label("/etc/elsewhere")).toBe("u:r:etc_t:s0\0");
		expect(await label("/etc/elsewhere/conf")).toBe("u:r:etc_t:s0\0");
		expect(await label("/etc/quiet")).toBe("u:r:etc_t:s0\0");
		for (const file of ["/etc/quiet/file", "/etc/selinux/config"]) expect(await label(file)).toBe("");
		expect(await label("/etc/real/fstab")).toBe("u:r:kept_t:s0");
	});

	it("follow links, make what is missing on the way, and go to the file system that is mounted there", async () => {
		const { tree, save } = await open();
		await apply(
			[
				replace("/etc/fstab", "/dev/sda1 / ext4", "UUID=1 / ext4"),
				write("/etc/a/b/hook"),
				write("/etc/dangling.d/conf", "conf\n", 0o644),
				copy("/boot/efi/efi/debian/grubx64.efi", "/boot/efi/EFI/BOOT/BOOTX64.EFI"),
			],
			guest,
			tree,
			now,
		);
		const { debugfs, fatFile } = await save();
		expect(await debugfs("cat /etc/real/fstab")).toBe("UUID=1 / ext4\n");
		expect(await debugfs("stat /etc/fstab")).toMatch(/Type: symlink/);
		expect(await debugfs("stat /etc/a/b/hook")).toMatch(/Type: regular +Mode: +0755/);
		expect(await debugfs("stat /etc/a/b")).toMatch(/Type: directory +Mode: +0755/);
		expect(await debugfs("cat /etc/elsewhere/conf")).toBe("conf\n");
		expect(await run("mtype", "-i", fatFile, "::EFI/BOOT/BOOTX64.EFI")).toBe("grub".repeat(10_000));
		// The folder that was there in another case is the one that is used.
		expect((await run("mdir", "-b", "-i", fatFile, "::")).trim()).toMatch(/^::\/efi\/?$/i);
	});

	/** Fails as said, and leaves every byte as it was. */
	async function expectRefused(changes: readonly Change[], failure: object, tree?: GuestTree) {
		const both = await open();
		await expect(apply(changes, guest, tree ?? both.tree, now)).rejects.toMatchObject(failure);
		await both.save();
		expect((await readFile(path.join(folder, "result0.img"))).equals(ext)).toBe(true);
		expect((await readFile(path.join(folder, "result1.img"))).equals(fat)).toBe(true);
	}

	it("are refused as a whole where there is no room, before anything is written", async () => {
		const large = write("/boot/efi/large", "x".repeat(5 * 2 ** 20));
		await expectRefused([write("/etc/hook"), large], {
			kind: "no-space",
			file: "/boot/efi",
			message: expect.stringMatching(
				/^\/boot\/efi in the guest \(fat12\) has \d+ bytes free, but up to \d{7} are/,
			) as string,
			hint: expect.stringContaining("the ESP") as string,
		});
	});

	it("count all that goes to one volume, whichever of its subvolumes it goes to", async () => {
		const subvolume = (files: Record<string, string>, uuid: string) =>
			Object.assign(memoryFilesystem(files, { kind: "btrfs", uuid }), {
				subvolume: () => Promise.resolve(undefined),
				free: () => Promise.resolve(600_000),
				edit: () => Promise.reject(new Error("written")),
			});
		const both = [write("/etc/hook", "x".repeat(200_000)), write("/boot/file", "x".repeat(200_000))];
		const onto = (uuid: string) =>
			new GuestTree([
				{ mount: "/", filesystem: subvolume({ "/etc/": "", "/boot/": "" }, "1") },
				{ mount: "/boot", filesystem: subvolume({ "/": "" }, uuid) },
			]);
		await expect(apply(both, guest, onto("1"), now)).rejects.toMatchObject({
			kind: "no-space",
			message: "/ in the guest (btrfs) has 600000 bytes free, but up to 662144 are needed; nothing was written",
			hint: expect.stringContaining("old kernels") as string,
		});
		await expect(apply(both, guest, onto("2"), now)).rejects.toThrow("written");
	});

	it("are refused as a whole where one does not fit the guest any more", async () => {
		const stale = replace("/etc/fstab", "/dev/sdb1 / ext4", "UUID=1 / ext4");
		await expectRefused([write("/etc/hook"), stale], { kind: "damaged", file: "/etc/fstab" });
		await expectRefused([replace("/etc/fstab", "", "x", 99)], { kind: "damaged", file: "/etc/fstab" });
		const lost = copy("/boot/efi/efi/debian/shimx64.efi", "/boot/efi/EFI/BOOT/BOOTX64.EFI");
		await expectRefused([write("/etc/hook"), lost], { kind: "not-found" });
	});

	it("of a file system that can only be read are refused by its name, before anything is written", async () => {
		const both = await open();
		const [root] = both.tree.mounts;
		if (!root) throw new Error("no root");
		const tree = new GuestTree([root, { mount: "/boot", filesystem: memoryFilesystem({ "/x": "" }, { kind: "xfs" }) }]);
		const failure = {
			kind: "unsupported",
			message: expect.stringMatching(/\/boot \(xfs\)/) as string,
			file: "/boot/y",
		};
		await expectRefused([write("/etc/hook"), write("/boot/y")], failure, tree);
		const { debugfs } = await both.save();
		expect(await debugfs("ls -p /etc")).not.toContain("hook");
	});

	it("of a file system that nothing edits are told apart before anything is done", async () => {
		const kept = memoryFilesystem({ "/x": "" }, { kind: "xfs" });
		const edited = Object.assign(memoryFilesystem({ "/etc/x": "" }), {
			edit: () => Promise.reject(new Error("not yet")),
		});
		const tree = new GuestTree([
			{ mount: "/", filesystem: edited },
			{ mount: "/boot", filesystem: kept },
		]);
		await assertEditable([write("/etc/hook")], tree);
		await expect(assertEditable([write("/etc/hook"), write("/boot/y")], tree)).rejects.toMatchObject({
			kind: "unsupported",
			message: expect.stringMatching(/\/boot \(xfs\)/) as string,
			hint: expect.stringContaining("initramfs") as string,
		});
		await assertEditable([write("/boot/y")], tree, () => () => Promise.reject(new Error("not yet")));
	});

	it("that fail half-way give the file system back", async () => {
		const { tree } = await open();
		// A file stands where a folder is needed: only the editor finds out.
		await expect(apply([write("/etc/real/fstab/x")], guest, tree, now)).rejects.toMatchObject({ kind: "refused" });
		await apply([write("/etc/hook")], guest, tree, now);
	});

	it("of an initramfs that is no longer there are refused", async () => {
		const change: Change = {
			rule: "initramfs",
			action: "append-modules",
			path: "/boot/initrd.img",
			kernel: "6.1",
			modules: [{ name: "nvme", bytes: 1 }],
			bytes: 1,
			why,
		};
		const failure = { kind: "damaged", file: "/boot/initrd.img" };
		await expect(apply([change], guest, memoryTree({ "/boot/": "" }), now)).rejects.toMatchObject({
			kind: "unsupported",
		});
		await expectRefused([change], failure);
	});
});
