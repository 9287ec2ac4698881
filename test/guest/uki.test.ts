import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { detectGuest } from "../../src/guest/index.js";
import { readBootLoader } from "../../src/guest/linux/boot.js";
import { readPe } from "../../src/guest/linux/uki/pe.js";
import { readSystemdBootVersion, readUnifiedKernel } from "../../src/guest/linux/uki/uki.js";
import { because, missing } from "../support/tools.js";
import { archive, folder } from "./support/cpio.js";
import { hostKernel } from "./support/host.js";
import { memoryTree } from "./support/memory.js";
import { survivesMutation } from "./support/mutation.js";
import { systemdBoot, systemdBootReason, unifiedKernel } from "./support/uki.js";

const skip = systemdBoot === undefined || missing("objcopy");
const reason = systemdBootReason + because("objcopy");
const release = "6.1.0-18-amd64";
const initramfs = (version: string, ...modules: string[]) =>
	archive([
		...["lib", "lib/modules", `lib/modules/${version}`].map(folder),
		...modules.map((name) => ({ name: `lib/modules/${version}/${name}.ko`, contents: "x" })),
	]);

describe.skipIf(skip)(`a unified kernel image ${reason}`, () => {
	it("is taken apart as it was put together", async () => {
		const initrd = initramfs(release, "ext4");
		const bytes = unifiedKernel({
			osrel: 'ID=debian\nVERSION_ID="12"\n',
			cmdline: "root=UUID=1 ro\n",
			uname: release,
			initrd,
		});
		const image = await readUnifiedKernel(bytesSource(bytes));
		expect(image).toMatchObject({ release, cmdline: "root=UUID=1 ro", signed: false });
		expect(image?.stub).toMatch(/^\d+\./);
		expect(Object.fromEntries(image?.osRelease ?? [])).toEqual({ ID: "debian", VERSION_ID: "12" });
		const inside = new Uint8Array(image?.initrd?.size ?? 0);
		await image?.initrd?.read(0, inside);
		expect(inside).toEqual(initrd);
	});

	it("is judged like a kernel and an initramfs in files of their own", async () => {
		const modules = {
			[`/usr/lib/modules/${release}/modules.dep`]: "kernel/ext4.ko:\nkernel/virtio_blk.ko:\n",
			[`/usr/lib/modules/${release}/modules.alias`]: "alias virtio:d00000002v* virtio_blk\n",
			"/usr/lib/os-release": "ID=debian\n",
			// What a package put there, and nothing loads.
			[`/boot/vmlinuz-${release}`]: "kernel",
			[`/boot/initrd.img-${release}`]: initramfs(release, "ext4", "virtio_blk"),
		};
		const uki = unifiedKernel({
			uname: release,
			cmdline: "root=UUID=1",
			osrel: "ID=debian\n",
			initrd: initramfs(release, "ext4"),
		});
		const guest = await detectGuest(memoryTree({ ...modules, "/efi/EFI/Linux/debian.efi": uki }), {
			volumes: [],
			diskHead: () => Promise.resolve(new Uint8Array()),
		});
		expect(guest).toMatchObject({
			defaultKernel: release,
			kernels: [
				{
					version: release,
					image: "/efi/EFI/Linux/debian.efi",
					cmdline: "root=UUID=1",
					initramfs: { path: "/efi/EFI/Linux/debian.efi", modules: new Map([["ext4", "ext4.ko"]]) },
					problems: [],
				},
			],
			problems: [],
		});
	});

	it.skipIf(hostKernel === undefined || !readdirSync("/boot").includes(`vmlinuz-${hostKernel}`))(
		"says its release by its kernel, where it has no text for it",
		async () => {
			const linux = new Uint8Array(await readFile(`/boot/vmlinuz-${hostKernel}`));
			expect(await readUnifiedKernel(bytesSource(unifiedKernel({ linux })))).toMatchObject({ release: hostKernel });
		},
	);

	it("is found where GRUB starts it as a program, or has an entry file for it", async () => {
		const uki = unifiedKernel({ uname: release, cmdline: "root=LABEL=x", initrd: "initramfs" });
		const boot = await readBootLoader(
			memoryTree({
				"/boot/grub2/grub.cfg":
					"set default=1\nmenuentry Windows { chainloader /EFI/Microsoft/Boot/bootmgfw.efi }\nmenuentry Unified { chainloader /EFI/Linux/a.efi }\nblscfg\n",
				"/boot/EFI/Linux/a.efi": uki,
				"/boot/EFI/Microsoft/Boot/bootmgfw.efi": systemdBoot ?? "",
				"/boot/loader/entries/b.conf": "title By entry\nefi /EFI/Linux/a.efi\n",
			}),
		);
		expect(boot).toMatchObject({ kind: "grub2", default: 0 });
		expect(boot.entries.map(({ title, uki }) => [title, uki?.release])).toEqual([
			["Unified", release],
			["By entry", release],
		]);
	});

	it("is none where there is no kernel in it, or no program", async () => {
		expect(await readUnifiedKernel(bytesSource(systemdBoot ?? new Uint8Array()))).toBeUndefined();
		expect(await readSystemdBootVersion(bytesSource(systemdBoot ?? new Uint8Array()))).toMatch(/^\d+/);
		expect(await readUnifiedKernel(bytesSource(new TextEncoder().encode("MZ")))).toBeUndefined();
		expect(await readPe(bytesSource(new Uint8Array(100_000)))).toBeUndefined();
	});

	it("survives damage", async () => {
		const head = unifiedKernel({ uname: release, cmdline: "x" });
		const read = (bytes: Uint8Array) => readUnifiedKernel(bytesSource(bytes));
		expect(await survivesMutation(head, read, { numRuns: 150 })).toBe(0);
	});
});
