// Debian guests in the combinations that Debian offers: initramfs generator, root file system, boot loader.
import { chmodSync, cpSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import path from "node:path";
import { grubProgram, kernel, unpacked, writeFiles } from "../parts.mjs";
import { installUserland } from "../userland.mjs";
import { grubModules, makeImage, writeEsp } from "./image.mjs";
import { initramfs } from "./initramfs.mjs";
import { copyModules, drivers } from "./modules.mjs";
import { fatIdOf, uuidOf } from "./uuid.mjs";

export const systemdBoot = () =>
	path.join(unpacked("systemd-boot", ["systemd-boot-efi"], "usr/lib/systemd/boot/efi"), "systemd-bootx64.efi");

/** Of the root, as Debian's installer writes them. */
const mountOptions = { ext4: "errors=remount-ro", xfs: "defaults", btrfs: "defaults,subvol=@rootfs" };

export function debianName({ modules, filesystem, lvm, loader, home = "vmware", size }) {
	const root = `${lvm ? "lvm-" : ""}${filesystem}`;
	const other = `${home === "vmware" ? "" : `-${home}`}${size ? `-${size}m` : ""}`;
	return `debian-${modules}-${root}-${loader}${other}`;
}

/**
 * It boots at home, if with BIOS or on a disk that UEFI can read, and says on the console what it found. LVM has a /boot
 * beside it where GRUB is started by UEFI.
 *
 * @param options `modules` (dep, list, most, hostonly, generic), `filesystem` (ext4, xfs, btrfs), `lvm`, `loader`
 *   (grub-bios, grub-uefi, systemd-boot), `home` (vmware, kvm), and the disk's `size` in MiB
 */
export function makeDebian(image, work, options) {
	const { modules, filesystem, lvm, loader, home = "vmware", size = 20 * 1024 } = options;
	const name = debianName(options);
	const tree = path.join(work, "tree");
	const root = uuidOf(name, "root");
	const esp = fatIdOf(name);
	const boot = lvm && loader === "grub-uefi" ? uuidOf(name, "boot") : undefined;
	const device = lvm ? "/dev/mapper/debian--vg-root" : `UUID=${root}`;
	const subvolume = filesystem === "btrfs" ? " rootflags=subvol=@rootfs" : "";
	const dracut = modules === "hostonly" || modules === "generic";
	// A guest that does not find its root says so after seconds rather than minutes.
	const patience = dracut ? "rd.retry=10 rd.timeout=20" : "rootdelay=5";
	// Drawing each letter takes an emulated CPU minutes: the display is left as the firmware has set it.
	const consoles = "nomodeset console=tty0 console=ttyS0,115200";
	const cmdline = `root=${device} ro${subvolume} quiet ${patience} ${consoles}`;

	makeUserland(tree, 'ID=debian\nVERSION_ID=12\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n');
	rmSync(path.join(tree, "sbin/init"));
	installUserland(tree);
	copyModules(path.join(tree, "usr"), Object.values(drivers).join(" "));
	cpSync(`/boot/vmlinuz-${kernel}`, path.join(tree, "boot", `vmlinuz-${kernel}`));
	cpSync(initramfs(modules, work, home), path.join(tree, "boot", `initrd.img-${kernel}`));
	const uefi = loader !== "grub-bios";
	writeFiles(tree, {
		"etc/fstab": [
			`${device} / ${filesystem} ${mountOptions[filesystem]} 0 1`,
			...(boot ? [`UUID=${boot} /boot ext4 defaults 0 2`] : []),
			...(uefi ? [`UUID=${esp} /boot/efi vfat umask=0077 0 1`] : []),
			"",
		].join("\n"),
		"etc/network/interfaces": "auto lo\niface lo inet loopback\n\nallow-hotplug ens192\niface ens192 inet dhcp\n",
		...(dracut
			? { "etc/dracut.conf.d/10-debian.conf": `hostonly="${modules === "hostonly" ? "yes" : "no"}"\n` }
			: { "etc/initramfs-tools/initramfs.conf": `MODULES=${modules}\nCOMPRESS=zstd\n` }),
	});
	const prefix = boot ? "" : filesystem === "btrfs" ? "/@rootfs/boot" : "/boot";
	const inGroup = lvm && !boot;
	const search = inGroup ? "set root='lvm/debian--vg-root'" : `search --no-floppy --fs-uuid --set=root ${boot ?? root}`;
	if (loader !== "systemd-boot") {
		writeFiles(tree, {
			"boot/grub/grub.cfg": `set default="0"
set timeout=0
menuentry 'Debian GNU/Linux' --class debian --class gnu-linux --class gnu --class os $menuentry_id_option 'gnulinux-simple-${root}' {
	insmod gzio
	insmod part_gpt
	${search}
	echo	'Loading Linux ${kernel} ...'
	linux	${prefix}/vmlinuz-${kernel} ${cmdline}
	echo	'Loading initial ramdisk ...'
	initrd	${prefix}/initrd.img-${kernel}
}
`,
		});
	}
	if (loader === "grub-uefi") {
		const early = `${search}\nset prefix=($root)${prefix}/grub\nconfigfile $prefix/grub.cfg\n`;
		const program = grubProgram(work, { early, prefix: "/EFI/debian", modules: grubModules.split(" ") });
		writeEsp(path.join(tree, "boot/efi"), { "EFI/debian/grubx64.efi": program });
	} else if (loader === "systemd-boot") {
		const machine = uuidOf(name, "machine").replaceAll("-", "");
		const program = systemdBoot();
		writeEsp(path.join(tree, "boot/efi"), {
			"EFI/systemd/systemd-bootx64.efi": program,
			"EFI/BOOT/BOOTX64.EFI": program,
			[`${machine}/${kernel}/linux`]: `/boot/vmlinuz-${kernel}`,
			[`${machine}/${kernel}/initrd.img-${kernel}`]: path.join(tree, "boot", `initrd.img-${kernel}`),
			"loader/loader.conf": { text: "timeout 0\n#console-mode keep\n" },
			[`loader/entries/${machine}-${kernel}.conf`]: {
				text: `title      Debian GNU/Linux 12 (bookworm)
version    ${kernel}
machine-id ${machine}
options    ${cmdline}
linux      /${machine}/${kernel}/linux
initrd     /${machine}/${kernel}/initrd.img-${kernel}
`,
			},
		});
	}

	const system = {
		filesystem,
		uuid: root,
		mount: "/",
		...(filesystem === "btrfs" && { subvolumes: { "/": "@rootfs" } }),
	};
	// As large as Debian's installer makes it, or what the kernel fits in thrice.
	const espSize = size > 4096 ? 512 : 128;
	makeImage(image, work, {
		size,
		table: "gpt",
		partitions: [
			uefi
				? { type: "esp", size: espSize, filesystem: "vfat", uuid: esp, mount: "/boot/efi" }
				: { type: "bios", size: 1, filesystem: "none" },
			...(boot ? [{ type: "linux", size: espSize, filesystem: "ext4", uuid: boot, mount: "/boot" }] : []),
			lvm
				? { type: "lvm", group: "debian-vg", volumes: [{ ...system, name: "root", size: Math.floor(size * 0.7) }] }
				: { type: "linux", ...system },
		],
		grubBios: loader === "grub-bios" ? `(hd0,gpt2)${prefix}/grub` : undefined,
		tree,
	});
}

/** What every system has: directories, an init that is a program, and the release. */
export function makeUserland(tree, release, { merged = true } = {}) {
	for (const folder of "boot dev etc proc sys run tmp root usr/bin usr/sbin usr/lib".split(" ")) {
		mkdirSync(path.join(tree, folder), { recursive: true });
	}
	for (const folder of ["bin", "sbin", "lib"]) {
		if (merged) symlinkSync(`usr/${folder}`, path.join(tree, folder));
		else mkdirSync(path.join(tree, folder));
	}
	cpSync("/bin/busybox", path.join(tree, "usr/bin/busybox"));
	symlinkSync(merged ? "../bin/busybox" : "../usr/bin/busybox", path.join(tree, "sbin/init"));
	writeFiles(tree, { "usr/lib/os-release": release, "etc/machine-id": "0123456789abcdef0123456789abcdef\n" });
	chmodSync(path.join(tree, "tmp"), 0o1777);
	symlinkSync("../usr/lib/os-release", path.join(tree, "etc/os-release"));
}
