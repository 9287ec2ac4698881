// Debian guests in the combinations that Debian offers: initramfs generator, root file system, boot loader.
import { chmodSync, cpSync, mkdirSync, symlinkSync } from "node:fs";
import path from "node:path";
import { grubProgram, kernel, unpacked, writeFiles } from "../parts.mjs";
import { grubModules, makeImage, writeEsp } from "./image.mjs";
import { initramfs } from "./initramfs.mjs";
import { copyModules, drivers } from "./modules.mjs";
import { fatIdOf, uuidOf } from "./uuid.mjs";

export const systemdBoot = () =>
	path.join(unpacked("systemd-boot", ["systemd-boot-efi"], "usr/lib/systemd/boot/efi"), "systemd-bootx64.efi");

export function debianName({ modules, filesystem, lvm, loader }) {
	return `debian-${modules}-${lvm ? "lvm-" : ""}${filesystem}-${loader}`;
}

/**
 * @param options `modules` (dep, list, most, hostonly, generic), `filesystem` (ext4, xfs, btrfs), `lvm`, and `loader`
 *   (grub-bios, grub-uefi, systemd-boot)
 */
export function makeDebian(image, work, options) {
	const { modules, filesystem, lvm, loader } = options;
	const name = debianName(options);
	const tree = path.join(work, "tree");
	const root = uuidOf(name, "root");
	const esp = fatIdOf(name);
	const device = lvm ? "/dev/mapper/debian--vg-root" : `UUID=${root}`;
	const subvolume = filesystem === "btrfs" ? " rootflags=subvol=@rootfs" : "";
	const cmdline = `root=${device} ro${subvolume} quiet`;

	makeUserland(tree, 'ID=debian\nVERSION_ID=12\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n');
	copyModules(path.join(tree, "usr"), Object.values(drivers).join(" "));
	cpSync(`/boot/vmlinuz-${kernel}`, path.join(tree, "boot", `vmlinuz-${kernel}`));
	cpSync(initramfs(modules, work), path.join(tree, "boot", `initrd.img-${kernel}`));
	const uefi = loader !== "grub-bios";
	const dracut = modules === "hostonly" || modules === "generic";
	writeFiles(tree, {
		"etc/fstab": [
			`${device} / ${filesystem} ${filesystem === "btrfs" ? "defaults,subvol=@rootfs" : "errors=remount-ro"} 0 1`,
			...(uefi ? [`UUID=${esp} /boot/efi vfat umask=0077 0 1`] : []),
			"",
		].join("\n"),
		"etc/network/interfaces": "auto lo\niface lo inet loopback\n\nallow-hotplug ens192\niface ens192 inet dhcp\n",
		...(dracut
			? { "etc/dracut.conf.d/10-debian.conf": `hostonly="${modules === "hostonly" ? "yes" : "no"}"\n` }
			: { "etc/initramfs-tools/initramfs.conf": `MODULES=${modules}\nCOMPRESS=zstd\n` }),
	});
	const prefix = filesystem === "btrfs" ? "/@rootfs/boot" : "/boot";
	const search = lvm ? "set root='lvm/debian--vg-root'" : `search --no-floppy --fs-uuid --set=root ${root}`;
	if (loader !== "systemd-boot") {
		writeFiles(tree, {
			"boot/grub/grub.cfg": `set default="0"
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
			"loader/loader.conf": { text: "timeout 3\n#console-mode keep\n" },
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
	makeImage(image, work, {
		size: 20,
		table: "gpt",
		partitions: [
			uefi
				? { type: "esp", size: 512, filesystem: "vfat", uuid: esp, mount: "/boot/efi" }
				: { type: "bios", size: 1, filesystem: "none" },
			lvm
				? { type: "lvm", group: "debian-vg", volumes: [{ ...system, name: "root", size: 18 * 1024 }] }
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
