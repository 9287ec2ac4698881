// Replicas of other distributions' layouts. Their structure is theirs: partitions, file systems, boot loader entries,
// where modules lie and how they are compressed. Programs and drivers are those of the Debian that this runs on.
import { cpSync, symlinkSync } from "node:fs";
import path from "node:path";
import { grubProgram, writeFiles } from "../parts.mjs";
import { dracutArchive, mkinitcpioArchive, mkinitfsArchive } from "./archives.mjs";
import { makeUserland, systemdBoot } from "./debian.mjs";
import { grubModules, makeImage, writeEsp } from "./image.mjs";
import { drivers, writeKernelImage, writeModules } from "./modules.mjs";
import { fatIdOf, uuidOf } from "./uuid.mjs";

const all = Object.values(drivers).join(" ");
const machine = "0123456789abcdef0123456789abcdef";
const rescue = `0-rescue-${machine}`;

/** Options of mkfs.xfs, as its release there has them by default. */
const xfsOf = {
	7: ["-m", "crc=1,finobt=0,rmapbt=0,reflink=0,bigtime=0,inobtcount=0", "-i", "sparse=0"],
	8: ["-m", "crc=1,finobt=1,reflink=1,bigtime=0,inobtcount=0"],
	9: ["-m", "bigtime=1,inobtcount=1"],
	10: ["-m", "bigtime=1,inobtcount=1", "-i", "nrext64=1"],
};

/** `major` 7 to 10: XFS on LVM with /boot beside it; GRUB with its own menu (7) or boot loader specification entries. */
function rhel(image, work, { name, major, release, version, home, uefi, codec }) {
	const tree = path.join(work, "tree");
	const [boot, root] = [uuidOf(name, "boot"), uuidOf(name, "root")];
	const esp = fatIdOf(name);
	const title = `Red Hat Enterprise Linux ${release}`;
	const cmdline =
		"root=/dev/mapper/rhel-root ro crashkernel=auto resume=/dev/mapper/rhel-swap rd.lvm.lv=rhel/root rd.lvm.lv=rhel/swap rhgb quiet";
	makeUserland(
		tree,
		`NAME="Red Hat Enterprise Linux"\nID="rhel"\nID_LIKE="fedora"\nVERSION_ID="${release}"\nPRETTY_NAME="${title}"\n`,
	);
	writeModules(path.join(tree, "usr"), { version, names: all, compression: "xz" });
	writeKernelImage(path.join(tree, `boot/vmlinuz-${version}`), version);
	const modules = `${home} xfs dm_mod`;
	dracutArchive(path.join(tree, `boot/initramfs-${version}.img`), work, { version, modules, compression: "xz", codec });
	cpSync(path.join(tree, `boot/vmlinuz-${version}`), path.join(tree, `boot/vmlinuz-${rescue}`));
	const fstab = [
		"/dev/mapper/rhel-root / xfs defaults 0 0",
		`UUID=${boot} /boot xfs defaults 0 0`,
		...(uefi ? [`UUID=${esp} /boot/efi vfat umask=0077,shortname=winnt 0 2`] : []),
		"/dev/mapper/rhel-swap none swap defaults 0 0",
		"",
	];
	writeFiles(tree, {
		"etc/fstab": fstab.join("\n"),
		"etc/dracut.conf": "# PUT YOUR CONFIG IN separate files\n",
		"usr/lib/dracut/dracut.conf.d/01-dist.conf": 'hostonly="yes"\n',
		...(major < 9
			? { "etc/sysconfig/network-scripts/ifcfg-ens192": "TYPE=Ethernet\nBOOTPROTO=dhcp\nDEVICE=ens192\nONBOOT=yes\n" }
			: {
					"etc/NetworkManager/system-connections/ens192.nmconnection":
						"[connection]\nid=ens192\ntype=ethernet\ninterface-name=ens192\n\n[ipv4]\nmethod=auto\n",
				}),
	});
	const entry = `${machine}-${version}`;
	const environment = [`saved_entry=${major === 7 ? `${title} (${version}) Maipo` : entry}`];
	if (major === 8) environment.push(`kernelopts=${cmdline} `);
	writeFiles(tree, { "boot/grub2/grubenv": grubEnvironment(environment) });
	if (major === 7) {
		const item = (
			what,
			kernel,
		) => `menuentry '${what}' --class red --class gnu-linux --class gnu --class os --unrestricted $menuentry_id_option 'gnulinux-${kernel}-advanced-${root}' {
	load_video
	set gfxpayload=keep
	insmod gzio
	insmod part_msdos
	insmod xfs
	set root='hd0,msdos1'
	if [ x$feature_platform_search_hint = xy ]; then
	  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,msdos1 ${boot}
	else
	  search --no-floppy --fs-uuid --set=root ${boot}
	fi
	linux16 /vmlinuz-${kernel} ${cmdline}
	initrd16 /initramfs-${kernel}.img
}
`;
		writeFiles(tree, {
			"boot/grub2/grub.cfg": `if [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "\${next_entry}" ] ; then
   set default="\${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="\${saved_entry}"
fi
${item(`${title} (${rescue}) Maipo`, rescue)}${item(`${title} (${version}) Maipo`, version)}`,
		});
	} else {
		const options = major === 8 ? "$kernelopts $tuned_params" : cmdline;
		writeFiles(tree, {
			"boot/grub2/grub.cfg": 'set default="${saved_entry}"\nload_env\ninsmod blscfg\nblscfg\n',
			[`boot/loader/entries/${entry}.conf`]: bls(`${title} (${version})`, version, options, major === 8),
			[`boot/loader/entries/${machine}-0-rescue.conf`]: bls(`${title} (0-rescue)`, rescue, options, major === 8),
		});
	}
	if (uefi) redHatEsp(tree, work, boot, "redhat");
	const lvm = {
		type: "lvm",
		group: "rhel",
		volumes: [
			{ name: "root", size: 16 * 1024, filesystem: "xfs", uuid: root, mount: "/", options: xfsOf[major] },
			{ name: "swap", size: 1024, filesystem: "swap", uuid: uuidOf(name, "swap") },
		],
	};
	const bootPartition = {
		type: "linux",
		size: 1024,
		filesystem: "xfs",
		uuid: boot,
		mount: "/boot",
		options: xfsOf[major],
	};
	makeImage(image, work, {
		size: 20 * 1024,
		table: uefi ? "gpt" : "mbr",
		partitions: uefi
			? [{ type: "esp", size: 600, filesystem: "vfat", uuid: esp, mount: "/boot/efi" }, bootPartition, lvm]
			: [{ ...bootPartition, bootable: true }, lvm],
		grubBios: uefi ? undefined : "(hd0,msdos1)/grub2",
		tree,
	});
}

/** 1024 bytes, filled up with `#`. */
const grubEnvironment = (lines) =>
	`# GRUB Environment Block\n${lines.map((line) => `${line}\n`).join("")}`.padEnd(1024, "#");

const bls = (title, kernel, options, tuned) => `title ${title}
version ${kernel}
linux /vmlinuz-${kernel}
initrd /initramfs-${kernel}.img${tuned ? " $tuned_initrd" : ""}
options ${options}
grub_users $grub_users
grub_arg --unrestricted
grub_class kernel
`;

/** shim, GRUB, and the shim's fallback that makes boot entries anew: all one program here. */
function redHatEsp(tree, work, boot, vendor) {
	const early = `search --no-floppy --fs-uuid --set=dev ${boot}\nset prefix=($dev)/grub2\nexport $prefix\nconfigfile $prefix/grub.cfg\n`;
	const program = grubProgram(work, { early, prefix: `/EFI/${vendor}`, modules: grubModules.split(" ") });
	writeEsp(path.join(tree, "boot/efi/EFI"), {
		[`${vendor}/shimx64.efi`]: program,
		[`${vendor}/grubx64.efi`]: program,
		[`${vendor}/grub.cfg`]: { text: early },
		"BOOT/BOOTX64.EFI": program,
		"BOOT/fbx64.efi": program,
	});
}

/** Btrfs with the subvolumes root and home, /boot on ext4; dracut as it comes, for every machine. */
function fedora(image, work) {
	const name = "fedora-41";
	const version = "6.11.4-301.fc41.x86_64";
	const tree = path.join(work, "tree");
	const [boot, root, esp] = [uuidOf(name, "boot"), uuidOf(name, "root"), fatIdOf(name)];
	makeUserland(tree, 'NAME="Fedora Linux"\nID=fedora\nVERSION_ID=41\nPRETTY_NAME="Fedora Linux 41 (Server Edition)"\n');
	writeModules(path.join(tree, "usr"), { version, names: all, compression: "xz" });
	writeKernelImage(path.join(tree, `boot/vmlinuz-${version}`), version);
	const { ata, scsi, nvme, virtio, xen, hyperv, filesystems } = drivers;
	const modules = [ata, scsi, nvme, virtio, xen, hyperv, filesystems].join(" ");
	const archive = path.join(tree, `boot/initramfs-${version}.img`);
	dracutArchive(archive, work, { version, modules, compression: "xz", codec: "zstd" });
	writeFiles(tree, {
		"etc/fstab": `UUID=${root} / btrfs subvol=root,compress=zstd:1 0 0
UUID=${boot} /boot ext4 defaults 1 2
UUID=${esp} /boot/efi vfat umask=0077,shortname=winnt 0 2
UUID=${root} /home btrfs subvol=home,compress=zstd:1 0 0
`,
		"etc/dracut.conf": "",
		"etc/NetworkManager/system-connections/ens192.nmconnection":
			"[connection]\nid=ens192\ntype=ethernet\ninterface-name=ens192\n\n[ipv4]\nmethod=auto\n",
		"boot/grub2/grubenv": grubEnvironment([`saved_entry=${machine}-${version}`, "menu_auto_hide=1", "boot_success=1"]),
		"boot/grub2/grub.cfg":
			'load_env -f ${config_directory}/grubenv\nset default="${saved_entry}"\ninsmod blscfg\nblscfg\n',
		[`boot/loader/entries/${machine}-${version}.conf`]: bls(
			`Fedora Linux (${version}) 41`,
			version,
			`root=UUID=${root} ro rootflags=subvol=root rhgb quiet`,
			false,
		),
	});
	redHatEsp(tree, work, boot, "fedora");
	makeImage(image, work, {
		size: 20 * 1024,
		table: "gpt",
		partitions: [
			{ type: "esp", size: 600, filesystem: "vfat", uuid: esp, mount: "/boot/efi" },
			{ type: "linux", size: 1024, filesystem: "ext4", uuid: boot, mount: "/boot" },
			{
				type: "linux",
				filesystem: "btrfs",
				uuid: root,
				label: "fedora",
				mount: "/",
				subvolumes: { "/": "root", "/home": "home" },
			},
		],
		tree,
	});
}

/** Btrfs whose default subvolume is the first snapshot; everything else has a subvolume below @. */
function sles(image, work) {
	const name = "sles-15";
	const version = "6.4.0-150600.21-default";
	const tree = path.join(work, "tree");
	const root = uuidOf(name, "root");
	const swap = uuidOf(name, "swap");
	makeUserland(
		tree,
		'NAME="SLES"\nID="sles"\nID_LIKE="suse"\nVERSION_ID="15.6"\nPRETTY_NAME="SUSE Linux Enterprise Server 15 SP6"\n',
	);
	writeModules(path.join(tree, "usr"), { version, names: all, compression: "zst" });
	writeKernelImage(path.join(tree, `boot/vmlinuz-${version}`), version);
	const modules = "xen_blkfront btrfs";
	dracutArchive(path.join(tree, `boot/initrd-${version}`), work, {
		version,
		modules,
		compression: "zst",
		codec: "xz",
		microcode: false,
	});
	for (const link of ["vmlinuz", "initrd"]) symlinkSync(`${link}-${version}`, path.join(tree, "boot", link));
	const subvolumes = {
		whole: "@",
		snapshots: "@/.snapshots",
		"/": "@/.snapshots/1/snapshot",
		"/boot/grub2/i386-pc": "@/boot/grub2/i386-pc",
		"/boot/grub2/x86_64-efi": "@/boot/grub2/x86_64-efi",
		"/home": "@/home",
		"/opt": "@/opt",
		"/root": "@/root",
		"/srv": "@/srv",
		"/tmp": "@/tmp",
		"/usr/local": "@/usr/local",
		"/var": "@/var",
	};
	const mounts = Object.entries(subvolumes).filter(([at]) => at.startsWith("/") && at !== "/");
	const item = (
		title,
		options,
	) => `menuentry '${title}' --class sles --class gnu-linux --class gnu --class os $menuentry_id_option 'gnulinux-simple-${root}' {
	load_video
	set gfxpayload=keep
	insmod gzio
	insmod part_gpt
	insmod btrfs
	search --no-floppy --fs-uuid --set=root ${root}
	echo	'Loading Linux ${version} ...'
	linux	/boot/vmlinuz-${version} root=UUID=${root} \${extra_cmdline} ${options}
	echo	'Loading initial ramdisk ...'
	initrd	/boot/initrd-${version}
}
`;
	writeFiles(tree, {
		"etc/fstab": [
			`UUID=${root}  /  btrfs  defaults  0  0`,
			`UUID=${swap}  swap  swap  defaults  0  0`,
			...mounts.map(([at, subvolume]) => `UUID=${root}  ${at}  btrfs  subvol=/${subvolume}  0  0`),
			`UUID=${root}  /.snapshots  btrfs  subvol=/@/.snapshots  0  0`,
			"",
		].join("\n"),
		"etc/dracut.conf.d/01-dist.conf": 'hostonly="yes"\n',
		"etc/sysconfig/network/ifcfg-eth0": "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n",
		"boot/grub2/grubenv": grubEnvironment([]),
		"boot/grub2/grub.cfg": `set btrfs_relative_path="y"
export btrfs_relative_path
if [ -f $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "\${next_entry}" ] ; then
   set default="\${next_entry}"
else
   set default="0"
fi
${item("SLES 15-SP6", "splash=silent mitigations=auto quiet")}submenu 'Advanced options for SLES 15-SP6' --hotkey=1 $menuentry_id_option 'gnulinux-advanced-${root}' {
${item(`SLES 15-SP6, with Linux ${version} (recovery mode)`, "single")}}
`,
	});
	makeImage(image, work, {
		size: 20 * 1024,
		table: "gpt",
		partitions: [
			{ type: "bios", size: 8, filesystem: "none" },
			{
				type: "linux",
				size: 18 * 1024,
				filesystem: "btrfs",
				uuid: root,
				mount: "/",
				subvolumes,
				defaultSubvolume: "@/.snapshots/1/snapshot",
			},
			{ type: "swap", filesystem: "swap", uuid: swap },
		],
		grubBios: "(hd0,gpt2)/@/.snapshots/1/snapshot/boot/grub2",
		tree,
	});
}

/** ext4; a kernel for VMware with its drivers compiled in, named by variables in a file of their own. */
function photon(image, work) {
	const name = "photon-5";
	const version = "6.1.10-11.ph5-esx";
	const tree = path.join(work, "tree");
	const [root, esp] = [uuidOf(name, "root"), fatIdOf(name)];
	makeUserland(tree, 'NAME="VMware Photon OS"\nID=photon\nVERSION_ID=5.0\nPRETTY_NAME="VMware Photon OS/Linux"\n');
	const { ata, scsi, nvme, network, video, filesystems } = drivers;
	// Built in, they are on no list of the initramfs. It has no drivers of other hypervisors but virtio.
	const builtin = "vmw_pvscsi sd_mod ext4 ata_piix ahci nvme crc32c_generic";
	const names = [ata, scsi, nvme, drivers.virtio, network, video, filesystems].join(" ");
	writeModules(path.join(tree, "usr"), { version, names, compression: "xz", builtin });
	writeKernelImage(path.join(tree, `boot/vmlinuz-${version}`), version);
	const archive = path.join(tree, `boot/initrd.img-${version}`);
	dracutArchive(archive, work, { version, modules: "dm_mod", compression: "xz", codec: "zstd", microcode: false });
	writeFiles(tree, {
		"etc/fstab": `UUID=${root}\t/\text4\tdefaults,barrier,noatime,noacl,data=ordered\t1\t1\nUUID=${esp}\t/boot/efi\tvfat\tdefaults\t1\t2\n`,
		"etc/dracut.conf.d/photon.conf": 'hostonly="yes"\n',
		"etc/systemd/network/99-dhcp-en.network": "[Match]\nName=e*\n\n[Network]\nDHCP=yes\n",
		[`boot/linux-${version}.cfg`]: `# GRUB Environment Block
photon_cmdline=init=/lib/systemd/systemd rcupdate.rcu_expedited=1 rw systemd.show_status=0 quiet noreplace-smp cpu_init_udelay=0 plymouth.enable=0
photon_linux=vmlinuz-${version}
photon_initrd=initrd.img-${version}
`,
		"boot/grub2/grub.cfg": `# Begin /boot/grub2/grub.cfg

set default=0
set timeout=2
search -n -u ${root} -s

loadfont ascii

insmod all_video
insmod gfxterm
insmod png
insmod ext2
insmod part_gpt

set gfxmode="640x480"
gfxpayload=keep

terminal_output gfxterm

set rootpartition=UUID=${root}
load_env -f /boot/photon.cfg
if [ -f  /boot/systemd.cfg ]; then
    load_env -f /boot/systemd.cfg
else
    set systemd_cmdline=net.ifnames=0
fi
menuentry "Photon" {
    linux /boot/$photon_linux root=$rootpartition $photon_cmdline $systemd_cmdline
    if [ -f /boot/$photon_initrd ]; then
        initrd /boot/$photon_initrd
    fi
}
# End /boot/grub2/grub.cfg
`,
	});
	symlinkSync(`linux-${version}.cfg`, path.join(tree, "boot/photon.cfg"));
	const early = `search -n -u ${root} -s\nconfigfile /boot/grub2/grub.cfg\n`;
	const program = grubProgram(work, { early, prefix: "/boot/grub2", modules: grubModules.split(" ") });
	writeEsp(path.join(tree, "boot/efi/EFI/BOOT"), {
		"bootx64.efi": program,
		"grubx64.efi": program,
	});
	makeImage(image, work, {
		size: 16 * 1024,
		table: "gpt",
		partitions: [
			{ type: "bios", size: 4, filesystem: "none" },
			{ type: "esp", size: 64, filesystem: "vfat", uuid: esp, mount: "/boot/efi" },
			{ type: "linux", filesystem: "ext4", uuid: root, mount: "/" },
		],
		grubBios: "(hd0,gpt3)/boot/grub2",
		tree,
	});
}

/** The ESP is /boot, with kernel and initramfs under names without a version; systemd-boot. */
function arch(image, work, { name, filesystem, hooks, home }) {
	const version = "6.12.4-arch1-1";
	const tree = path.join(work, "tree");
	const [root, esp] = [uuidOf(name, "root"), fatIdOf(name)];
	makeUserland(tree, 'NAME="Arch Linux"\nID=arch\nBUILD_ID=rolling\nPRETTY_NAME="Arch Linux"\n');
	const modules = `${home} ${filesystem}`;
	writeModules(path.join(tree, "usr"), { version, names: all, compression: "zst" });
	writeKernelImage(path.join(tree, "boot/vmlinuz-linux"), version);
	cpSync(path.join(tree, "boot/vmlinuz-linux"), path.join(tree, `usr/lib/modules/${version}/vmlinuz`));
	mkinitcpioArchive(path.join(tree, "boot/initramfs-linux.img"), work, {
		version,
		modules,
		compression: "zst",
		codec: "zstd",
		hooks,
	});
	const { ata, scsi, nvme, virtio, xen, hyperv, filesystems } = drivers;
	const everything = [ata, scsi, nvme, virtio, xen, hyperv, filesystems].join(" ");
	mkinitcpioArchive(path.join(tree, "boot/initramfs-linux-fallback.img"), work, {
		...{ version, modules: everything, compression: "zst", codec: "zstd" },
		hooks: hooks.replace(" autodetect", ""),
	});
	const btrfs = filesystem === "btrfs";
	const cmdline = `root=UUID=${root} ${btrfs ? "rootflags=subvol=@ " : ""}rw`;
	const entry = (title, initrd) => `title   ${title}\nlinux   /vmlinuz-linux\ninitrd  /${initrd}\noptions ${cmdline}\n`;
	writeFiles(tree, {
		"etc/fstab": `UUID=${root} / ${filesystem} rw,relatime${btrfs ? ",subvol=/@" : ""} 0 1\nUUID=${esp} /boot vfat rw,relatime,fmask=0022 0 2\n`,
		"etc/mkinitcpio.conf": `MODULES=()\nBINARIES=()\nFILES=()\nHOOKS=(${hooks})\n`,
		"etc/mkinitcpio.d/linux.preset":
			"ALL_kver=\"/boot/vmlinuz-linux\"\nPRESETS=('default' 'fallback')\ndefault_image=\"/boot/initramfs-linux.img\"\n",
		[`usr/lib/modules/${version}/pkgbase`]: "linux\n",
		"etc/systemd/network/20-wired.network": "[Match]\nName=en*\n\n[Network]\nDHCP=yes\n",
		"boot/loader/loader.conf": "default arch.conf\ntimeout 3\n",
		"boot/loader/entries/arch.conf": entry("Arch Linux", "initramfs-linux.img"),
		"boot/loader/entries/arch-fallback.conf": entry("Arch Linux (fallback initramfs)", "initramfs-linux-fallback.img"),
	});
	writeEsp(path.join(tree, "boot/EFI"), {
		"systemd/systemd-bootx64.efi": systemdBoot(),
		"BOOT/BOOTX64.EFI": systemdBoot(),
	});
	makeImage(image, work, {
		size: 20 * 1024,
		table: "gpt",
		partitions: [
			{ type: "esp", size: 512, filesystem: "vfat", uuid: esp, mount: "/boot" },
			{
				type: "linux",
				filesystem,
				uuid: root,
				mount: "/",
				...(btrfs && { subvolumes: { "/": "@", "/home": "@home" } }),
			},
		],
		tree,
	});
}

/** An MBR with syslinux's boot code, extlinux on /boot, /lib apart from /usr/lib; what a feature list put together. */
function alpine(image, work) {
	const name = "alpine-3.20";
	const version = "6.6.31-0-lts";
	const tree = path.join(work, "tree");
	const [boot, root, swap] = ["boot", "root", "swap"].map((purpose) => uuidOf(name, purpose));
	makeUserland(tree, 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.0\nPRETTY_NAME="Alpine Linux v3.20"\n', {
		merged: false,
	});
	writeModules(tree, { version, names: all, compression: "gz" });
	writeKernelImage(path.join(tree, "boot/vmlinuz-lts"), version);
	const { ata, scsi, nvme } = drivers;
	const modules = `${ata} ${scsi} ${nvme} virtio_pci virtio_blk virtio_scsi hv_storvsc ext4`;
	mkinitfsArchive(path.join(tree, "boot/initramfs-lts"), work, { version, modules, compression: "gz", codec: "gzip" });
	writeFiles(tree, {
		"etc/fstab": `UUID=${root}\t/\text4\trw,relatime 0 1\nUUID=${boot}\t/boot\text4\trw,relatime 0 2\nUUID=${swap}\tswap\tswap\tdefaults\t0 0\n`,
		"etc/mkinitfs/mkinitfs.conf": 'features="ata base cdrom ext4 keymap kms mmc nvme raid scsi usb virtio"\n',
		"etc/network/interfaces": "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n",
		"etc/update-extlinux.conf": "overwrite=1\nroot=UUID=x\nmodules=sd-mod,usb-storage,ext4\ndefault=lts\n",
		"boot/extlinux.conf": `# Generated by update-extlinux 6.04_pre1-r15
DEFAULT menu.c32
PROMPT 0
MENU TITLE Alpine/Linux Boot Menu
MENU HIDDEN
MENU AUTOBOOT Alpine will be booted automatically in # seconds.
TIMEOUT 10
LABEL lts
  MENU DEFAULT
  MENU LABEL Linux lts
  LINUX vmlinuz-lts
  INITRD initramfs-lts
  APPEND root=UUID=${root} modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4

MENU SEPARATOR
`,
		"boot/ldlinux.sys": "SYSLINUX\n",
	});
	symlinkSync(".", path.join(tree, "boot/boot"));
	makeImage(image, work, {
		size: 20 * 1024,
		table: "mbr",
		partitions: [
			{ type: "linux", size: 300, bootable: true, filesystem: "ext4", uuid: boot, mount: "/boot" },
			{ type: "swap", size: 1024, filesystem: "swap", uuid: swap },
			{ type: "linux", filesystem: "ext4", uuid: root, mount: "/" },
		],
		// Boot code is all that is looked at: syslinux's own would need its package.
		grubBios: "(hd0,msdos1)/grub",
		tree,
	});
}

const udevHooks = "base udev autodetect microcode modconf kms keyboard keymap consolefont block filesystems fsck";
const systemdHooks = "base systemd autodetect microcode modconf kms keyboard sd-vconsole block filesystems fsck";

/** Name to a function that makes the image. */
export const distributions = {
	"rhel-7": (image, work) =>
		rhel(image, work, {
			name: "rhel-7",
			major: 7,
			release: "7.9",
			version: "3.10.0-1160.el7.x86_64",
			home: "vmw_pvscsi sd_mod",
			codec: "gzip",
		}),
	"rhel-8": (image, work) =>
		rhel(image, work, {
			name: "rhel-8",
			major: 8,
			release: "8.10",
			version: "4.18.0-553.el8_10.x86_64",
			home: "virtio_pci virtio_blk",
			codec: "gzip",
		}),
	"rhel-9": (image, work) =>
		rhel(image, work, {
			...{ name: "rhel-9", major: 9, release: "9.4", version: "5.14.0-427.13.1.el9_4.x86_64", uefi: true },
			...{ home: "hv_vmbus hv_storvsc sd_mod", codec: "gzip" },
		}),
	"rhel-10": (image, work) =>
		rhel(image, work, {
			...{ name: "rhel-10", major: 10, release: "10.0", version: "6.12.0-55.9.1.el10_0.x86_64", uefi: true },
			...{ home: "vmw_pvscsi sd_mod", codec: "zstd" },
		}),
	"fedora-41": fedora,
	"sles-15": sles,
	"photon-5": photon,
	"arch-ext4": (image, work) =>
		arch(image, work, { name: "arch-ext4", filesystem: "ext4", hooks: udevHooks, home: "virtio_pci virtio_blk" }),
	"arch-btrfs": (image, work) =>
		arch(image, work, { name: "arch-btrfs", filesystem: "btrfs", hooks: systemdHooks, home: "ahci sd_mod" }),
	"alpine-3.20": alpine,
};
