// Initial RAM disks made by the real generators, each made once and cached.
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { cache, kernel, keyOf, MiB, makeFile, run } from "../parts.mjs";

const here = import.meta.dirname;
/** Of every root that is tried here. */
const filesystems = "ext4 xfs btrfs";
const hooksFolder = "/usr/share/initramfs-tools/hooks";
const pvscsi = "pci:v000015ADd000007C0sv000015ADsd000007C0bc01sc07i00";

/** Made on VMware with a paravirtual SCSI controller, where a generator looks at its machine. */
const recipes = {
	/** Debian's default; the host's own, which Debian made when the kernel was installed, where it is one. */
	most(output, work) {
		const own = `/boot/initrd.img-${kernel}`;
		const configured = readFileSync("/etc/initramfs-tools/initramfs.conf", "utf8");
		if (existsSync(own) && /^MODULES=most/m.test(configured)) cpSync(own, output);
		else initramfsTools(output, work, "most", "");
	},
	list: (output, work) => initramfsTools(output, work, "list", `vmw_pvscsi sd_mod ${filesystems}`),
	dep: (output, work) => initramfsTools(output, work, "dep", filesystems),
	hostonly: (output, work) =>
		dracut(output, work, "--hostonly", "--drivers", `vmw_pvscsi sd_mod ${filesystems} dm_mod`),
	generic: (output, work) => dracut(output, work, "--no-hostonly"),
};

export const generators = Object.keys(recipes);

const folder = path.join(cache, "initramfs");

function fileOf(kind) {
	const key = keyOf([kernel, kind], [path.join(here, "initramfs.mjs"), path.join(here, "as-machine")]);
	return path.join(folder, `${kind}-${key}.img`);
}

export const existingInitramfs = (kind) => existsSync(fileOf(kind));

/** The path of one, made where it is not there yet. */
export function initramfs(kind, work) {
	const file = fileOf(kind);
	if (existsSync(file)) return file;
	mkdirSync(folder, { recursive: true });
	const output = path.join(work, `${kind}.img`);
	recipes[kind](output, work);
	cpSync(output, `${file}.partial-${process.pid}`);
	renameSync(`${file}.partial-${process.pid}`, file);
	rmSync(output);
	return file;
}

function initramfsTools(output, work, modules, listed) {
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
	if (modules === "dep") {
		makeFile(machine, 16 * MiB);
		run("mke2fs", ["-q", "-t", "ext4", machine]);
		make.unshift("sh", path.join(here, "as-machine"), pvscsi, machine);
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
