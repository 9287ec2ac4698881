#!/usr/bin/env node
// Builds a tiny, real, bootable Debian guest from this system's own packages: the installed kernel, an initramfs made
// by a real generator for one home disk controller only, GRUB for BIOS and UEFI, busybox as user land. Needs no mount, no
// loop device and no network beyond two GRUB packages. The result is cached by the content of everything it is made of.
//
//   node scripts/guest/build.mjs [--generator initramfs-tools|dracut] [--size MiB] [--print-key]
//   node scripts/guest/build.mjs [--modules dep|list|most | --hostonly | --no-hostonly] [--filesystem ext4|xfs|btrfs]
//                                [--lvm] [--loader grub-bios|grub-uefi|systemd-boot] [--home vmware|kvm] [--size MiB]
//
// The second form makes a guest in a combination of what Debian offers, at home on VMware's paravirtual controller or on
// virtio; it needs root.
//
// Prints the image's path. As delivered, the first boots on IDE (ata_piix) under BIOS only: root=/dev/sda3, no driver for another
// controller in the initramfs, no \EFI\BOOT\BOOTX64.EFI on its ESP.
import {
	chmodSync,
	closeSync,
	cpSync,
	existsSync,
	mkdirSync,
	openSync,
	readdirSync,
	readFileSync,
	renameSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import {
	cache,
	copySparse,
	embedGrub,
	grubProgram,
	kernel,
	keyOf,
	MiB,
	makeFile,
	run,
	SECTOR,
	workFolder,
} from "./parts.mjs";
import { installUserland, userlandFiles } from "./userland.mjs";

const here = import.meta.dirname;
const { values } = parseArgs({
	options: {
		generator: { type: "string", default: "initramfs-tools" },
		size: { type: "string" },
		"print-key": { type: "boolean", default: false },
		modules: { type: "string" },
		hostonly: { type: "boolean" },
		filesystem: { type: "string" },
		lvm: { type: "boolean" },
		loader: { type: "string" },
		home: { type: "string" },
	},
	allowNegative: true,
});
const { modules: listed, hostonly, filesystem = "ext4", lvm = false, loader = "grub-bios", home = "vmware" } = values;
if (listed !== undefined || hostonly !== undefined || values.filesystem || lvm || values.loader || values.home) {
	const { makeCombination } = await import("./replica/guests.mjs");
	const modules = hostonly === undefined ? (listed ?? "most") : hostonly ? "hostonly" : "generic";
	const size = values.size === undefined ? {} : { size: Number(values.size) };
	console.log(makeCombination({ modules, filesystem, lvm, loader, home, ...size }, workFolder()));
	process.exit(0);
}
const size = Number(values.size ?? 1024);
const parts = ["build.mjs", "parts.mjs", "modules"].map((name) => path.join(here, name));
const id = keyOf([kernel, values.generator, size], [...parts, ...userlandFiles]);
const image = path.join(cache, `${values.generator}-${id}.raw`);
if (values["print-key"]) {
	console.log(id);
	process.exit(0);
}
if (existsSync(image)) {
	console.log(image);
	process.exit(0);
}

const uuid = `${id.slice(0, 8)}-${id.slice(8, 12)}-4${id.slice(13, 16)}-8${id.slice(1, 4)}-${id.slice(4)}`;
mkdirSync(cache, { recursive: true });
const work = workFolder();
const tree = path.join(work, "tree");
makeTree();
makeInitramfs();
assemble();
console.log(image);

/** A root file system of a dozen files, plus the modules that hypervisors' devices need. */
function makeTree() {
	const modules = path.join(tree, "usr/lib/modules", kernel);
	for (const folder of "bin sbin dev etc proc sys run tmp root boot/grub boot/efi usr/bin usr/sbin".split(" ")) {
		mkdirSync(path.join(tree, folder), { recursive: true });
	}
	mkdirSync(modules, { recursive: true });
	symlinkSync("usr/lib", path.join(tree, "lib"));
	installUserland(tree);
	cpSync("/usr/lib/os-release", path.join(tree, "usr/lib/os-release"));
	symlinkSync("../usr/lib/os-release", path.join(tree, "etc/os-release"));
	writeFileSync(
		path.join(tree, "etc/fstab"),
		"# home hypervisor: IDE\n/dev/sda3 / ext4 defaults 0 1\n/dev/sda2 /boot/efi vfat umask=0077 0 1\n/dev/sda4 none swap sw 0 0\n",
	);
	mkdirSync(path.join(tree, "etc/network"));
	writeFileSync(
		path.join(tree, "etc/network/interfaces"),
		"auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n",
	);
	if (values.generator === "dracut") {
		mkdirSync(path.join(tree, "etc/dracut.conf.d"), { recursive: true });
		writeFileSync(path.join(tree, "etc/dracut.conf.d/hostonly.conf"), 'hostonly="yes"\n');
	} else {
		cpSync("/etc/initramfs-tools", path.join(tree, "etc/initramfs-tools"), { recursive: true });
	}

	const from = path.join("/lib/modules", kernel);
	for (const name of readdirSync(from)) {
		if (name.startsWith("modules.")) cpSync(path.join(from, name), path.join(modules, name));
	}
	for (const name of readFileSync(path.join(here, "modules"), "utf8").split("\n")) {
		if (name === "" || name.startsWith("#")) continue;
		const source = path.join(from, "kernel", name);
		if (existsSync(source)) cpSync(source, path.join(modules, "kernel", name), { recursive: true });
	}
	cpSync(`/boot/vmlinuz-${kernel}`, path.join(tree, "boot", `vmlinuz-${kernel}`));
	// A guest that does not find its root says so after seconds rather than minutes.
	const patience = values.generator === "dracut" ? "rd.retry=10 rd.timeout=20" : "rootdelay=5";
	writeFileSync(
		path.join(tree, "boot/grub/grub.cfg"),
		`set timeout=0
set default=0
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
menuentry 'Debian GNU/Linux' {
	search --no-floppy --fs-uuid --set=root ${uuid}
	linux /boot/vmlinuz-${kernel} root=/dev/sda3 ro net.ifnames=0 ${patience} console=tty0 console=ttyS0,115200
	initrd ${initrd()}
}
`,
	);
}

function initrd() {
	return values.generator === "dracut" ? `/boot/initramfs-${kernel}.img` : `/boot/initrd.img-${kernel}`;
}

/** The real generator's own output, restricted to the home controller as MODULES=dep or a host-only image would be. */
function makeInitramfs() {
	const output = path.join(tree, initrd());
	if (values.generator === "dracut") {
		const configuration = path.join(work, "dracut.conf");
		writeFileSync(configuration, "");
		mkdirSync(path.join(work, "none"));
		run("dracut", [
			...["--conf", configuration, "--confdir", path.join(work, "none"), "--force", "--kver", kernel],
			...["--hostonly", "--no-hostonly-cmdline", "--no-hostonly-default-device", "--zstd"],
			...["--modules", "bash udev-rules kernel-modules rootfs-block base fs-lib"],
			...["--drivers", "ata_piix ata_generic sd_mod ext4 crc32c_generic", "--filesystems", "ext4"],
			output,
		]);
	} else {
		const configuration = path.join(work, "initramfs-tools");
		cpSync("/etc/initramfs-tools", configuration, { recursive: true });
		const file = path.join(configuration, "initramfs.conf");
		const text = readFileSync(file, "utf8")
			.replace(/^MODULES=.*/m, "MODULES=list")
			.replace(/^COMPRESS=.*/m, "COMPRESS=zstd");
		writeFileSync(file, text);
		writeFileSync(path.join(configuration, "modules"), "ata_piix\nata_generic\nsd_mod\next4\n");
		run("mkinitramfs", ["-d", configuration, "-o", output, kernel], {
			env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
		});
	}
	chmodSync(output, 0o600);
}

/** GPT with a BIOS boot partition, an ESP, the root and some swap; GRUB is embedded by hand as grub-bios-setup would. */
function assemble() {
	const bios = { at: 2048, sectors: 2048 };
	const esp = { at: 4096, sectors: 64 * 2048 };
	const swap = { at: (size - 17) * 2048, sectors: 16 * 2048 };
	const root = { at: esp.at + esp.sectors, sectors: swap.at - esp.at - esp.sectors };
	const disk = path.join(work, "disk.raw");
	makeFile(disk, size * MiB);
	run("sfdisk", ["-q", disk], {
		input: `label: gpt
label-id: ${uuid}
start=${bios.at}, size=${bios.sectors}, type=21686148-6449-6E6F-744E-656564454649
start=${esp.at}, size=${esp.sectors}, type=uefi
start=${root.at}, size=${root.sectors}, type=linux
start=${swap.at}, size=${swap.sectors}, type=swap
`,
	});

	const rootImage = path.join(work, "root.img");
	makeFile(rootImage, root.sectors * SECTOR);
	run("mke2fs", [
		"-q",
		"-t",
		"ext4",
		"-L",
		"root",
		"-U",
		uuid,
		"-E",
		"lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0",
		"-d",
		tree,
		rootImage,
	]);

	const early = `search --no-floppy --fs-uuid --set=root ${uuid}\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n`;
	const modules =
		"part_gpt part_msdos fat ext2 normal linux configfile search search_fs_uuid search_label search_fs_file serial terminal echo ls test minicmd reboot halt".split(
			" ",
		);
	const efi = grubProgram(work, { early, prefix: "/EFI/debian", modules });
	const espImage = path.join(work, "esp.img");
	makeFile(espImage, esp.sectors * SECTOR);
	run("mkfs.vfat", ["-n", "ESP", "-i", id.slice(0, 8), espImage]);
	run("mmd", ["-i", espImage, "::EFI", "::EFI/debian"]);
	run("mcopy", ["-i", espImage, efi, "::EFI/debian/grubx64.efi"]);

	const swapImage = path.join(work, "swap.img");
	makeFile(swapImage, swap.sectors * SECTOR);
	// One of its own: the root's would be found twice.
	run("mkswap", ["-q", "-U", uuid.replace(/^.{8}/, "5a5a5a5a"), swapImage]);

	const file = openSync(disk, "r+");
	embedGrub(file, work, { at: bios.at, early, prefix: "(hd0,gpt3)/boot/grub", modules });
	copySparse(espImage, file, esp.at * SECTOR);
	copySparse(rootImage, file, root.at * SECTOR);
	copySparse(swapImage, file, swap.at * SECTOR);
	closeSync(file);
	const partial = `${image}.partial-${process.pid}`;
	run("cp", ["--sparse=always", disk, partial]);
	renameSync(partial, image);
}
