// Initial RAM disks in the layouts of other distributions: modules of the replica's own kernel around what a real
// generator made (dracut), or around the files by which a generator's images are known.
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { run, writeFiles } from "../parts.mjs";
import { initramfs } from "./initramfs.mjs";
import { writeModules } from "./modules.mjs";

const compressors = { gzip: "gzip -n -1", xz: "xz -q -0 --check=crc32", zstd: "zstd -q -3" };

/** Writes the files below `folder` as a compressed cpio archive; `early` goes before it, not compressed. */
function pack(folder, output, codec, early) {
	const archive = "find . -print0 | LC_ALL=C sort -z | cpio --null --quiet -o -H newc -R 0:0";
	const parts = early ? `(cd '${early}' && ${archive}) > '${output}' && ` : `: > '${output}' && `;
	run("sh", ["-c", `${parts}cd '${folder}' && ${archive} | ${compressors[codec]} >> '${output}'`]);
}

/** dracut's: all that it put into a real one but for the modules. */
export function dracutArchive(output, work, { version, modules, compression, codec, microcode = true }) {
	const base = path.join(work, "dracut-base");
	if (!existsSync(base)) {
		mkdirSync(base);
		const real = initramfs("hostonly", work);
		// Its programs are many, and none of them says anything to a reader.
		const wanted =
			"usr/lib/dracut/* usr/lib/systemd/* usr/lib/udev/* usr/bin/* etc/* init bin sbin lib lib64 shutdown var/*";
		const patterns = wanted.split(" ").map((pattern) => `'${pattern}'`);
		const unpack = `/usr/lib/dracut/skipcpio '${real}' | zstd -dc | cpio -idm --quiet ${patterns.join(" ")} 2>/dev/null`;
		run("sh", ["-c", `cd '${base}' && ${unpack}`]);
	}
	const folder = path.join(base, "usr");
	writeModules(folder, { version, names: modules, compression });
	let early;
	if (microcode) {
		early = path.join(work, "early");
		writeFiles(early, { early_cpio: "1\n", "kernel/x86/microcode/GenuineIntel.bin": "\u0001".repeat(4096) });
	}
	pack(base, output, codec, early);
	rmSync(path.join(folder, "lib/modules"), { recursive: true });
}

/** mkinitcpio's, with busybox or with systemd as its init. */
export function mkinitcpioArchive(output, work, { version, modules, compression, codec, hooks, forced = "" }) {
	const folder = path.join(work, "mkinitcpio");
	const config = `MODULES=(${forced})\nBINARIES=()\nFILES=()\nHOOKS=(${hooks})\n`;
	const systemd = hooks.split(" ").includes("systemd");
	mkdirSync(path.join(folder, "usr/bin"), { recursive: true });
	writeModules(path.join(folder, "usr"), { version, names: modules, compression });
	writeFiles(folder, {
		buildconfig: config,
		VERSION: `${version}\n`,
		"etc/initrd-release": 'NAME="Arch Linux"\nID=arch\n',
		...(systemd
			? { "usr/lib/systemd/systemd": "program\n", "usr/lib/systemd/system/initrd.target": "[Unit]\n" }
			: {
					init: "#!/usr/bin/ash\n. /init_functions\n",
					init_functions: "parse_cmdline() { :; }\n",
					config: `MODULES=(${forced})\nEARLYHOOKS="udev"\nHOOKS="udev"\n`,
					"hooks/udev": "run_earlyhook() { :; }\n",
				}),
	});
	run("cp", ["/bin/busybox", path.join(folder, "usr/bin/busybox")]);
	const links = ["lib usr/lib", "bin usr/bin", ...(systemd ? ["init usr/lib/systemd/systemd"] : [])];
	for (const link of links) run("ln", ["-s", link.split(" ")[1], path.join(folder, link.split(" ")[0])]);
	pack(folder, output, codec);
	rmSync(folder, { recursive: true });
}

/** Alpine's mkinitfs. */
export function mkinitfsArchive(output, work, { version, modules, compression, codec }) {
	const folder = path.join(work, "mkinitfs");
	mkdirSync(path.join(folder, "bin"), { recursive: true });
	writeModules(folder, { version, names: modules, compression });
	writeFiles(folder, {
		init: '#!/bin/sh\n# this is the init script version\nVERSION=3.10.0\nSYSROOT="$sysroot"\n',
		"sbin/nlplug-findfs": "program\n",
		"etc/modprobe.d/aliases.conf": "",
		".modloop/.keep": "",
		"newroot/.keep": "",
		"lib/mdev/usbdisk_link": "",
	});
	run("cp", ["/bin/busybox", path.join(folder, "bin/busybox")]);
	writeFileSync(path.join(folder, "etc/mdev.conf"), "");
	pack(folder, output, codec);
	rmSync(folder, { recursive: true });
}
