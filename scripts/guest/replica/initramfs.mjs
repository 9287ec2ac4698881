// Initial RAM disks made by the real generators, each made once and cached.
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { cache, kernel, keyOf, MiB, makeFile, run } from "../parts.mjs";

const here = import.meta.dirname;
/** Of every root that is tried here. */
const filesystems = "ext4 xfs btrfs";
const hooksFolder = "/usr/share/initramfs-tools/hooks";

/** Machines that an initramfs may be made on: what their root disk lies below, and what drives that. */
const homes = {
	/** Its paravirtual SCSI controller. */
	vmware: {
		modaliases: "pci:v000015ADd000007C0sv000015ADsd000007C0bc01sc07i00 scsi:t-0x00",
		drivers: "vmw_pvscsi sd_mod",
	},
	/** A virtio block device. */
	kvm: {
		modaliases: "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00 virtio:d00000002v00001AF4",
		drivers: "virtio_pci virtio_blk",
	},
};

/** By what Debian calls the mode; what is made for one machine is made at home. */
const recipes = {
	/** Debian's default; the host's own, which Debian made when the kernel was installed, where it is one. */
	most(output, work) {
		const own = `/boot/initrd.img-${kernel}`;
		const configured = readFileSync("/etc/initramfs-tools/initramfs.conf", "utf8");
		if (existsSync(own) && /^MODULES=most/m.test(configured)) cpSync(own, output);
		else initramfsTools(output, work, "most", "");
	},
	list: (output, work, home) => initramfsTools(output, work, "list", `${home.drivers} ${filesystems}`),
	dep: (output, work, home) => initramfsTools(output, work, "dep", filesystems, home.modaliases),
	hostonly: (output, work, home) =>
		dracut(output, work, "--hostonly", "--drivers", `${home.drivers} ${filesystems} dm_mod`),
	generic: (output, work) => dracut(output, work, "--no-hostonly"),
};

export const generators = Object.keys(recipes);

const folder = path.join(cache, "initramfs");

function fileOf(kind, home) {
	const key = keyOf([kernel, kind, homes[home]], [path.join(here, "initramfs.mjs"), path.join(here, "as-machine")]);
	return path.join(folder, `${kind}-${key}.img`);
}

export const existingInitramfs = (kind) => existsSync(fileOf(kind, "vmware"));

/** The path of one, made where it is not there yet; `home` is vmware or kvm. */
export function initramfs(kind, work, home = "vmware") {
	const file = fileOf(kind, home);
	if (existsSync(file)) return file;
	mkdirSync(folder, { recursive: true });
	const output = path.join(work, `${kind}.img`);
	recipes[kind](output, work, homes[home]);
	cpSync(output, `${file}.partial-${process.pid}`);
	renameSync(`${file}.partial-${process.pid}`, file);
	rmSync(output);
	return file;
}

function initramfsTools(output, work, modules, listed, modaliases) {
	const configuration = path.join(work, "initramfs-tools");
	cpSync("/etc/initramfs-tools", configuration, { recursive: true });
	const file = path.join(configuration, "initramfs.conf");
	const text = readFileSync(file, "utf8")
		.replace(/^MODULES=.*/m, `MODULES=${modules}`)
		.replace(/^COMPRESS=.*/m, "COMPRESS=zstd\nCOMPRESSLEVEL=1");
	writeFileSync(file, text);
	writeFileSync(path.join(configuration, "modules"), `${listed.split(" ").join("\n")}\n`);
	const hooks = path.join(work, "hooks");
	mkdirSync(hooks);
	for (const name of ["btrfs", "dmsetup", "fsck", "klibc-utils", "kmod", "lvm2", "udev"]) {
		const hook = path.join(hooksFolder, name);
		if (existsSync(hook)) cpSync(hook, path.join(hooks, name));
	}
	// As on a system with fewer packages: hooks take most of the time.
	const few = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', hooks, hooksFolder];
	const make = ["mkinitramfs", "-d", configuration, "-o", output, kernel];
	const machine = path.join(work, "machine.img");
	if (modaliases) {
		makeFile(machine, 16 * MiB);
		run("mke2fs", ["-q", "-t", "ext4", machine]);
		make.unshift("sh", path.join(here, "as-machine"), modaliases, machine);
	}
	run(few[0], [...few.slice(1), ...make]);
	rmSync(hooks, { recursive: true });
	rmSync(machine, { force: true });
	rmSync(configuration, { recursive: true });
}

function dracut(output, work, ...options) {
	const configuration = path.join(work, "dracut.conf");
	const none = path.join(work, "none");
	writeFileSync(configuration, "");
	mkdirSync(none, { recursive: true });
	run("dracut", [
		...["--conf", configuration, "--confdir", none, "--force", "--kver", kernel],
		...["--no-hostonly-cmdline", "--no-hostonly-default-device", "--nostrip", "--compress", "zstd -q -1"],
		...["--modules", "bash udev-rules kernel-modules dm lvm btrfs rootfs-block base fs-lib"],
		...["--filesystems", filesystems],
		...options,
		output,
	]);
}
