import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { damaged } from "../../src/bytes/errors.js";
import { type ByteSource, bytesSource } from "../../src/bytes/source.js";
import { judge } from "../../src/driver/index.js";
import { GuestTree, type Mount } from "../../src/filesystem/tree.js";
import { assembleTree, detectGuest, type GuestContext, guestSystems } from "../../src/guest/index.js";
import { readKernelRelease } from "../../src/guest/linux/kernel-image.js";
import { kvm } from "../../src/hypervisor/kvm.js";
import type { Volume } from "../../src/volume/volume.js";
import { archive, concat, folder } from "./support/cpio.js";
import { hostKernel, hostKernelReason } from "./support/host.js";
import { type Contents, memoryFilesystem } from "./support/memory.js";

const volume = (number: number, more: Partial<Volume> = {}): Volume => ({
	number,
	scheme: "gpt",
	at: number * 2 ** 20,
	size: 2 ** 20,
	type: "0fc63daf-8483-4772-8e79-3d69d8477de4",
	bootable: false,
	source: bytesSource(new Uint8Array()),
	...more,
});

/** The first sectors of a disk, with boot code or without. */
function head({ code = true, gap = false } = {}): GuestContext["diskHead"] {
	const bytes = new Uint8Array(4096);
	bytes.set([0x55, 0xaa], 510);
	if (code) bytes.set([0xeb, 0x63], 0);
	if (gap) bytes[512] = 0x52;
	return (length) => Promise.resolve(bytes.subarray(0, length));
}

/** The start of an ELF program for the machine; order 1 is little-endian, 2 big-endian. */
function elf(machine: number, order = 1): Uint8Array {
	const header = new Uint8Array(64);
	header.set([0x7f, 0x45, 0x4c, 0x46, 2, order, 1]);
	header.set(order === 1 ? [2, 0, machine, 0] : [0, 2, 0, machine], 16);
	return header;
}

const initramfs = (version: string, ...modules: readonly string[]) => {
	const folders = ["lib", "lib/modules", `lib/modules/${version}`].map(folder);
	return archive([
		...folders,
		...modules.map((name) => ({ name: `lib/modules/${version}/${name}.ko`, contents: "x" })),
	]);
};

/** The start of an x86 kernel image that says its release. */
function kernelImage(release: string): Uint8Array {
	const image = new Uint8Array(0x400);
	image.set(new TextEncoder().encode("HdrS"), 0x202);
	image.set([0x10, 0x01], 0x20e);
	image.set(new TextEncoder().encode(`${release} (builder@host) #1 SMP\0`), 0x310);
	return image;
}

const kernel = (version: string, modules: readonly string[] = ["ext4"]): Record<string, Contents> => ({
	[`/usr/lib/modules/${version}/modules.dep`]: modules.map((name) => `kernel/${name}.ko:\n`).join(""),
	[`/usr/lib/modules/${version}/modules.alias`]: "",
});

const debian: Readonly<Record<string, Contents>> = {
	"/lib": { link: "usr/lib" },
	"/bin": { link: "usr/bin" },
	"/sbin/init": { link: "/lib/systemd/systemd" },
	"/usr/lib/systemd/systemd": elf(62),
	"/usr/lib/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n',
	"/etc/os-release": { link: "../usr/lib/os-release" },
	"/etc/fstab": "UUID=aaaa / ext4 defaults 0 1\n",
	"/etc/network/interfaces": "iface ens192 inet dhcp\n",
	"/etc/initramfs-tools/modules": "",
	...kernel("6.1.0-9-amd64"),
	...kernel("6.1.0-18-amd64", ["ext4", "vmw_pvscsi"]),
	"/boot/vmlinuz-6.1.0-18-amd64": "k",
	"/boot/vmlinuz-6.1.0-9-amd64": "k",
	"/boot/initrd.img-6.1.0-18-amd64": initramfs("6.1.0-18-amd64", "ext4"),
	"/boot/initrd.img-6.1.0-9-amd64": initramfs("6.1.0-9-amd64"),
	"/vmlinuz": { link: "boot/vmlinuz-6.1.0-9-amd64" },
	"/initrd.img": { link: "boot/initrd.img-6.1.0-9-amd64" },
	"/boot/grub/grub.cfg": "menuentry Debian { linux /vmlinuz root=UUID=aaaa ro quiet\n initrd /initrd.img }",
};

async function detect(
	files: Readonly<Record<string, Contents>>,
	more: readonly Mount[] = [],
	context: Partial<GuestContext> = {},
) {
	const tree = new GuestTree([{ mount: "/", filesystem: memoryFilesystem(files) }, ...more]);
	const guest = await detectGuest(tree, { volumes: [{ volume: volume(1) }], diskHead: head(), ...context });
	if (!guest) throw new Error("no guest");
	return guest;
}

describe("a Debian guest", () => {
	it("is told in facts", async () => {
		const guest = await detect(debian);
		expect(guest).toMatchObject({
			system: "linux",
			id: "debian",
			version: "12",
			name: "Debian GNU/Linux 12 (bookworm)",
			arch: "x86_64",
			defaultKernel: "6.1.0-9-amd64",
			boot: { kind: "grub2", default: 0 },
			fstab: [{ spec: "UUID=aaaa", mount: "/", line: 1 }],
			network: [{ by: "ifupdown", interface: "ens192", method: "dhcp" }],
			generators: ["initramfs-tools"],
			problems: [],
		});
		expect(guest.kernels).toMatchObject([
			{
				version: "6.1.0-18-amd64",
				image: "/boot/vmlinuz-6.1.0-18-amd64",
				modulesDirectory: "/usr/lib/modules/6.1.0-18-amd64",
				cmdline: "",
				initramfs: {
					path: "/boot/initrd.img-6.1.0-18-amd64",
					modules: new Map([["ext4", "ext4.ko"]]),
					modulesDirectory: "lib/modules/6.1.0-18-amd64",
				},
				problems: [],
			},
			{
				version: "6.1.0-9-amd64",
				cmdline: "root=UUID=aaaa ro quiet",
				initramfs: { path: "/boot/initrd.img-6.1.0-9-amd64", modules: new Map() },
			},
		]);
	});

	it("keeps what can be read where some cannot", async () => {
		const rotten: ByteSource = { name: "rotten", size: 10, read: () => Promise.reject(damaged("rotten block")) };
		const guest = await detect({
			...debian,
			...kernel("7.0.0-lost"),
			"/etc/fstab": rotten,
			"/boot/initrd.img-6.1.0-9-amd64": concat([initramfs("6.1.0-9-amd64"), new TextEncoder().encode("junk")]),
			"/usr/lib/modules/6.1.0-18-amd64/modules.alias": rotten,
		});
		expect(guest.problems).toEqual([
			"/usr/lib/modules/7.0.0-lost has the modules of a kernel whose image is nowhere to be found",
			"rotten block",
			"rotten block",
		]);
		expect(guest.kernels).toMatchObject([
			{ version: "6.1.0-9-amd64", problems: [expect.stringContaining("6.1.0-9-amd64") as string] },
		]);
		expect(guest.kernels[0]?.initramfs).toBeUndefined();
		expect(guest.fstab).toEqual([]);
	});

	it("tells once what its file systems say of themselves", async () => {
		const filesystem = { ...memoryFilesystem(debian), notes: ["the log is not read"] };
		const tree = new GuestTree([
			{ mount: "/", filesystem },
			{ mount: "/var", filesystem: { ...memoryFilesystem({}), notes: ["the log is not read"] } },
		]);
		const guest = await detectGuest(tree, { volumes: [], diskHead: head() });
		expect(guest?.problems.filter((problem) => problem.includes("log"))).toEqual(["the log is not read"]);
	});

	it("is not told at all where the disk itself fails", async () => {
		const failing: ByteSource = { name: "disk", size: 10, read: () => Promise.reject(new Error("EIO")) };
		await expect(detect({ ...debian, "/etc/os-release": failing })).rejects.toThrow("EIO");
		await expect(detect({ ...debian, "/boot/initrd.img-6.1.0-9-amd64": failing })).rejects.toThrow("EIO");
	});
});

describe("kernels and what they boot with", () => {
	const base = { "/etc/os-release": "ID=test", ...kernel("6.6.1-arch1-1") };

	it("recognises an image without a version in its name by what it says", async () => {
		const arch = {
			...base,
			"/boot/vmlinuz-linux": kernelImage("6.6.1-arch1-1"),
			"/boot/amd-ucode.img": archive([folder("kernel")]),
			"/boot/initramfs-linux.img": initramfs("6.6.1-arch1-1", "ahci"),
			"/etc/mkinitcpio.conf": "",
		};
		const expected = { path: "/boot/initramfs-linux.img", modules: new Map([["ahci", "ahci.ko"]]) };
		expect(await detect(arch)).toMatchObject({
			generators: ["mkinitcpio"],
			kernels: [{ image: "/boot/vmlinuz-linux", initramfs: { ...expected, before: [] } }],
		});
		const entry =
			"menuentry Arch { linux /boot/vmlinuz-linux rw\n initrd /boot/amd-ucode.img /boot/initramfs-linux.img }";
		expect(await detect({ ...arch, "/boot/grub/grub.cfg": entry })).toMatchObject({
			kernels: [{ cmdline: "rw", initramfs: { ...expected, before: ["/boot/amd-ucode.img"] } }],
		});
	});

	it("counts what Alpine's and dracut's inits load because the command line says so", async () => {
		const booting = async (marks: readonly string[], cmdline: string) => {
			const guest = await detect({
				...base,
				"/boot/vmlinuz-lts": kernelImage("6.6.1-arch1-1"),
				"/boot/initramfs-lts": archive(marks.map(folder)),
				"/boot/extlinux.conf": `DEFAULT a\nLABEL a\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n  APPEND root=UUID=1 ${cmdline}\n`,
			});
			return [...(guest?.kernels[0]?.initramfs?.forced ?? [])];
		};
		const alpine = [".modloop", "newroot"];
		expect(await booting(alpine, "modules=sd-mod,usb-storage,,ext4 quiet")).toEqual(["sd_mod", "usb_storage", "ext4"]);
		expect(await booting(alpine, "quiet")).toEqual([]);
		const dracut = ["usr", "usr/lib", "usr/lib/dracut"];
		expect(await booting(dracut, "rd.driver.pre=virtio-blk rd.driver.post=nvme modules=a")).toEqual([
			"virtio_blk",
			"nvme",
		]);
		expect(await booting([], "modules=a rd.driver.pre=b")).toEqual([]);
	});

	it("knows dracut by its own configuration, where it lies below /usr alone", async () => {
		const vendor = "/usr/lib/dracut/dracut.conf.d/10-distribution.conf";
		expect(await detect({ ...base, "/boot/vmlinuz-6.6.1-arch1-1": "", [vendor]: "" })).toMatchObject({
			generators: ["dracut"],
		});
	});

	it("takes a kernel that lies with its modules, and passes over rescue images", async () => {
		const guest = await detect({
			...base,
			"/usr/lib/modules/6.6.1-arch1-1/vmlinuz": "k",
			"/boot/vmlinuz-0-rescue-0123": kernelImage("6.6.1-arch1-1"),
			"/boot/initrd.img": initramfs("6.6.1-arch1-1"),
		});
		expect(guest.kernels).toMatchObject([
			{ image: "/usr/lib/modules/6.6.1-arch1-1/vmlinuz", initramfs: { path: "/boot/initrd.img" } },
		]);
	});

	it("takes a kernel without modules, by the list of what is built in", async () => {
		const own = "/lib/modules/6.6.9-all";
		const guest = await detect({
			"/etc/os-release": "ID=test",
			"/boot/vmlinuz-6.6.9-all": kernelImage("6.6.9-all"),
			[`${own}/modules.builtin`]: "kernel/drivers/block/virtio_blk.ko\n",
			[`${own}/modules.builtin.modinfo`]: "virtio_blk.alias=virtio:d00000002v*\0",
			"/lib/modules/5.0.0-removed/modules.builtin": "kernel/x.ko\n",
		});
		expect(guest.problems).toEqual([]);
		expect(guest.kernels).toMatchObject([{ version: "6.6.9-all", problems: [] }]);
		const modules = guest.kernels[0]?.modules;
		expect([...(modules?.aliases ?? [])]).toEqual([["virtio:d00000002v*", "virtio_blk"]]);
		expect(modules).toMatchObject({
			builtin: new Set(["virtio_blk"]),
			paths: new Map(),
		});
		expect(guest.kernels[0]?.initramfs).toBeUndefined();
	});

	it("says so where nothing tells what a kernel without modules has", async () => {
		const guest = await detect({ "/etc/os-release": "ID=test", "/boot/vmlinuz": kernelImage("6.6.9-all") });
		expect(guest.kernels).toEqual([]);
		expect(guest.problems).toEqual([
			"/boot/vmlinuz is kernel 6.6.9-all: it has no modules, and nothing says which drivers are built in",
		]);
	});

	it("judges a kernel without modules by its configuration, and says so", async () => {
		const configuration =
			"# Linux\nCONFIG_VIRTIO_PCI=y\nCONFIG_VIRTIO_BLK=y\nCONFIG_VIRTIO_NET=m\n# CONFIG_BLK_DEV_NVME is not set\nCONFIG_EXT4_FS=y\n";
		const guest = await detect({
			"/etc/os-release": "ID=test",
			"/etc/fstab": "/dev/vda1 / ext4 defaults 0 1\n",
			"/boot/vmlinuz": kernelImage("6.6.9-all"),
			"/boot/config-6.6.9-all": configuration,
		});
		expect(guest.kernels).toMatchObject([{ version: "6.6.9-all", image: "/boot/vmlinuz", problems: [] }]);
		expect(guest.kernels[0]?.modules.builtin).toEqual(new Set(["virtio_pci", "virtio_blk", "ext4"]));
		expect(guest.problems).toEqual([
			"/boot/vmlinuz is kernel 6.6.9-all: it has no modules, and /boot/config-6.6.9-all tells which drivers are built in",
		]);
		const { devices } = judge({ ...guest, firmware: ["bios"] }, kvm);
		const states = Object.fromEntries(devices.map(({ device, state }) => [device, state]));
		expect(states).toMatchObject({ "virtio-blk": "builtin", "virtio-net": "absent", "virtio-scsi": "absent" });
	});

	it("names what else boots a kernel: a rescue image by what its kernel says, and a fallback", async () => {
		const release = "6.6.1-arch1-1";
		const entry = (title: string, kernel: string, initrd: string) =>
			`menuentry ${title} { linux /boot/${kernel} rw\n initrd /boot/ucode.img /boot/${initrd} }\n`;
		const guest = await detect({
			...base,
			[`/boot/vmlinuz-${release}`]: kernelImage(release),
			"/boot/vmlinuz-0-rescue-0123": kernelImage(release),
			"/boot/vmlinuz-0-rescue-4567": kernelImage("5.0.0-gone"),
			"/boot/ucode.img": archive([folder("kernel")]),
			...Object.fromEntries(
				["own", "fallback", "rescue", "gone"].map((name) => [`/boot/${name}.img`, initramfs(release, "ahci")]),
			),
			"/boot/grub/grub.cfg":
				entry("own", `vmlinuz-${release}`, "own.img") +
				entry("fallback", `vmlinuz-${release}`, "fallback.img") +
				entry("rescue", "vmlinuz-0-rescue-0123", "rescue.img") +
				entry("old", "vmlinuz-0-rescue-4567", "gone.img") +
				entry("lost", `vmlinuz-${release}`, "lost.img"),
		});
		expect(guest.kernels).toHaveLength(1);
		const before = ["/boot/ucode.img"];
		expect(guest.kernels[0]).toMatchObject({
			version: release,
			initramfs: { path: "/boot/own.img", before },
			otherInitramfs: [
				{ path: "/boot/fallback.img", before },
				{ path: "/boot/rescue.img", before },
			],
		});
	});

	it("finds paths of the boot partition at /boot, and those of a btrfs volume below its subvolume", async () => {
		const boot = memoryFilesystem({
			"/vmlinuz-6.6.1-arch1-1": "k",
			"/initrd-6.6.1-arch1-1": initramfs("6.6.1-arch1-1"),
			"/grub2/grub.cfg": "menuentry a { linux ($root)/vmlinuz-6.6.1-arch1-1 ro\n initrd /initrd-6.6.1-arch1-1 }",
		});
		const expected = {
			kernels: [{ image: "/boot/vmlinuz-6.6.1-arch1-1", initramfs: { path: "/boot/initrd-6.6.1-arch1-1" } }],
		};
		expect(await detect(base, [{ mount: "/boot", filesystem: boot }])).toMatchObject(expected);
		const subvolume = "menuentry a { linux /@/boot/vmlinuz-6.6.1-arch1-1\n initrd /@/boot/initrd-6.6.1-arch1-1 }";
		const files = { "/boot/vmlinuz-6.6.1-arch1-1": "k", "/boot/initrd-6.6.1-arch1-1": initramfs("6.6.1-arch1-1") };
		expect(await detect({ ...base, ...files, "/boot/grub2/grub.cfg": subvolume })).toMatchObject(expected);
	});

	it("says what a boot entry promises and does not hold", async () => {
		const files = { ...base, "/boot/vmlinuz-6.6.1-arch1-1": "k" };
		const gone = "menuentry a { linux /boot/vmlinuz-6.6.1-arch1-1\n initrd /boot/gone }";
		expect((await detect({ ...files, "/boot/grub/grub.cfg": gone })).kernels).toMatchObject([
			{ problems: ['/boot/gone, which the boot entry "a" loads, is not there'] },
		]);
		const none = "menuentry a { linux /boot/vmlinuz-6.6.1-arch1-1 }";
		const named = { "/boot/initramfs-6.6.1-arch1-1.img": initramfs("6.6.1-arch1-1") };
		expect((await detect({ ...files, ...named, "/boot/grub/grub.cfg": none })).kernels).toMatchObject([
			{
				initramfs: { path: "/boot/initramfs-6.6.1-arch1-1.img" },
				problems: ['The boot entry "a" loads no initramfs; /boot/initramfs-6.6.1-arch1-1.img is taken for it'],
			},
		]);
		expect((await detect(files)).kernels).toMatchObject([{ problems: [] }]);
	});

	it.skipIf(hostKernel === undefined)(`reads the release of a real image ${hostKernelReason}`, async () => {
		const image = bytesSource(new Uint8Array(await readFile(`/boot/vmlinuz-${hostKernel}`)));
		expect(await readKernelRelease(image)).toBe(hostKernel);
		expect(await readKernelRelease(bytesSource(new Uint8Array(10)))).toBeUndefined();
		expect(await readKernelRelease(bytesSource(new Uint8Array(1000)))).toBeUndefined();
	});
});

describe("firmware", () => {
	const files = { "/etc/os-release": "ID=test", "/usr/lib/systemd/systemd": elf(62), "/boot/": "" };
	const esp = (loaders: readonly string[]) => [
		{
			mount: "/boot/efi",
			filesystem: memoryFilesystem(Object.fromEntries(loaders.map((path) => [path, "MZ"])), { kind: "fat32" }),
		},
	];
	const biosGrub = volume(1, { type: "21686148-6449-6e6f-744e-656564454649" });

	it.each([
		["GPT with a BIOS boot partition", [biosGrub], head(), ["bios"]],
		["GPT without one", [volume(1)], head(), []],
		["GPT with a bootable partition", [volume(1, { bootable: true })], head(), ["bios"]],
		["GPT without boot code", [biosGrub], head({ code: false }), []],
		["MBR with an active partition", [volume(1, { scheme: "mbr", bootable: true })], head(), ["bios"]],
		["MBR with GRUB in the gap", [volume(1, { scheme: "mbr" })], head({ gap: true }), ["bios"]],
		["MBR with nothing to go on with", [volume(1, { scheme: "mbr" })], head(), []],
		["an empty disk", [], () => Promise.resolve(new Uint8Array()), []],
	])("reads %s", async (_, volumes, diskHead, firmware) => {
		const guest = await detect(files, [], { volumes: volumes.map((volume) => ({ volume })), diskHead });
		expect(guest.firmware).toEqual(firmware);
		expect(guest.esp).toBeUndefined();
	});

	it("finds loaders on the ESP, whatever the case of their names", async () => {
		const loaders = ["/EFI/debian/shimx64.efi", "/EFI/debian/GRUBX64.EFI", "/EFI/debian/grub.cfg", "/other.efi"];
		const found = ["/boot/efi/EFI/debian/shimx64.efi", "/boot/efi/EFI/debian/GRUBX64.EFI"];
		const bare = await detect(files, esp(loaders));
		expect(bare).toMatchObject({ firmware: ["uefi"], esp: { mount: "/boot/efi", fallback: false, loaders: found } });
		const whole = await detect(files, esp(["/efi/boot/bootx64.efi"]));
		expect(whole.esp).toEqual({
			mount: "/boot/efi",
			fallback: true,
			loaders: ["/boot/efi/efi/boot/bootx64.efi"],
			signed: [],
		});
		const arm = await detect({ ...files, "/usr/lib/systemd/systemd": elf(183) }, esp(["/EFI/BOOT/BOOTX64.EFI"]));
		expect(arm).toMatchObject({ arch: "aarch64", esp: { fallback: false } });
		expect((await detect(files, esp([]))).firmware).toEqual([]);
	});

	it.each([
		["an ARM program", elf(183), "aarch64"],
		["a little-endian POWER program", elf(21), "ppc64le"],
		["a big-endian POWER program", elf(21, 2), "ppc64"],
		["a mainframe's program", elf(22, 2), "s390x"],
		["a program for nothing known", elf(250), "unknown"],
		["a short file", new Uint8Array(3), "unknown"],
		["a script", "#!/bin/sh, at some length", "unknown"],
	])("reads the architecture of %s", async (_, program, arch) => {
		expect((await detect({ "/etc/os-release": "", "/bin/busybox": program })).arch).toBe(arch);
	});
});

describe("other systems", () => {
	const context = (files: Readonly<Record<string, Contents>>): GuestContext => ({
		volumes: [{ volume: volume(1) }, { volume: volume(2), filesystem: memoryFilesystem(files) }],
		diskHead: head(),
	});

	it.each(["/windows/SYSTEM32/ntoskrnl.exe", "/bootmgr", "/EFI/Microsoft/Boot/bootmgfw.efi"])(
		"names Windows by %s",
		async (path) => {
			await expect(detectGuest(undefined, context({ [path]: "x" }))).rejects.toMatchObject({
				kind: "unsupported",
				message: expect.stringMatching(/^Windows guest: /) as string,
			});
		},
	);

	it("knows nothing else", async () => {
		expect(await detectGuest(undefined, context({ "/data": "x" }))).toBeUndefined();
		const tree = await assembleTree([
			{ volume: volume(1), filesystem: memoryFilesystem({ "/etc/fstab": "", "/usr/x": "" }) },
		]);
		expect(await detectGuest(tree, context({}))).toBeUndefined();
		expect(guestSystems.map(({ id }) => id)).toEqual(["linux", "windows"]);
	});
});
