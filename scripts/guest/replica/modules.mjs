// A kernel's modules as a distribution ships them: some of the installed kernel's, compressed, indexed by depmod.
import {
	cpSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import path from "node:path";
import { cache, kernel, keyOf, run } from "../parts.mjs";

const installed = path.join("/lib/modules", kernel);

/** Drivers of the disks, network cards and displays of hypervisors, and of the file systems of roots. */
export const drivers = {
	ata: "ata_piix ata_generic ahci",
	scsi: "sd_mod sr_mod vmw_pvscsi mptspi mptsas",
	nvme: "nvme",
	virtio: "virtio_pci virtio_blk virtio_scsi virtio_net",
	xen: "xen_blkfront xen_netfront",
	hyperv: "hv_vmbus hv_storvsc hv_netvsc hyperv_keyboard hv_utils",
	network: "e1000 e1000e vmxnet3 8139cp 8139too tulip pcnet32",
	input: "hid_hyperv hid_generic usbhid",
	video: "vmwgfx hyperv_drm vboxvideo qxl bochs cirrus",
	filesystems: "ext4 xfs btrfs vfat nls_ascii dm_mod crc32c_generic",
};

const nameOf = (file) =>
	path
		.basename(file)
		.replace(/\.ko.*$/, "")
		.replaceAll("-", "_");

const dependencies = new Map(
	readFileSync(path.join(installed, "modules.dep"), "utf8")
		.split("\n")
		.filter((line) => line !== "")
		.map((line) => {
			const [file, needs] = line.split(":");
			return [nameOf(file), { file, needs: needs.split(" ").filter(Boolean).map(nameOf) }];
		}),
);

/** Files below /lib/modules/VERSION of these modules and of all they need. */
function filesOf(names) {
	const found = new Map();
	const pending = names.split(" ").map((name) => name.replaceAll("-", "_"));
	for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
		const module = dependencies.get(name);
		if (!module || found.has(name)) continue;
		found.set(name, module.file);
		pending.push(...module.needs);
	}
	return [...found.values()].sort((a, b) => (a < b ? -1 : 1));
}

const compressors = {
	xz: ["xz", "-q", "-0", "--check=crc32"],
	zst: ["zstd", "-q", "--rm", "-1"],
	gz: ["gzip", "-n", "-1"],
};

/**
 * Modules of a kernel called `version` below `base`/lib/modules. `builtin` are modules that this kernel has compiled in,
 * and lists as such. Nothing in there depends on the version: what was compressed and indexed once is copied.
 */
export function writeModules(base, { version, names, compression, builtin = "" }) {
	const key = keyOf([kernel, names, compression, builtin], [import.meta.filename]);
	const cached = path.join(cache, "modules", key);
	if (!existsSync(cached)) {
		mkdirSync(path.join(cache, "modules"), { recursive: true });
		const partial = mkdtempSync(path.join(cache, "modules", "partial-"));
		makeModules(partial, version, names, compression, builtin);
		renameSync(path.join(partial, "lib/modules", version), cached);
		rmSync(partial, { recursive: true });
	}
	cpSync(cached, path.join(base, "lib/modules", version), { recursive: true });
}

function makeModules(base, version, names, compression, builtin) {
	const folder = path.join(base, "lib/modules", version);
	mkdirSync(folder, { recursive: true });
	const inside = new Set(builtin === "" ? [] : filesOf(builtin));
	const files = filesOf(names).filter((file) => !inside.has(file));
	for (const file of files) {
		mkdirSync(path.join(folder, path.dirname(file)), { recursive: true });
		cpSync(path.join(installed, file), path.join(folder, file));
	}
	writeFileSync(path.join(folder, "modules.order"), files.map((file) => `${file}\n`).join(""));
	writeBuiltin(folder, [...inside]);

	const whole = files.map((file) => path.join(folder, file));
	const [command, ...args] = compressors[compression];
	// Debian's kmod is built without zlib and passes over .ko.gz: it is shown the modules under a name of that length.
	if (compression === "gz") for (const file of whole) renameSync(file, `${file}.xz`);
	else run(command, [...args, ...whole]);
	run("depmod", ["-b", base, version]);
	if (compression !== "gz") return;
	for (const file of whole) renameSync(`${file}.xz`, file);
	run(command, [...args, ...whole]);
	for (const name of ["modules.dep", "modules.dep.bin"]) {
		const index = path.join(folder, name);
		writeFileSync(index, readFileSync(index, "latin1").replaceAll(".ko.xz", ".ko.gz"), "latin1");
	}
}

function writeBuiltin(folder, files) {
	const own = (name) => readFileSync(path.join(installed, name));
	const list = files.map((file) => `${file}\n`).join("");
	writeFileSync(path.join(folder, "modules.builtin"), Buffer.concat([own("modules.builtin"), Buffer.from(list)]));
	const records = files.flatMap((file) =>
		run("modinfo", ["-0", "-F", "alias", path.join(installed, file)])
			.toString()
			.split("\0")
			.filter(Boolean)
			.map((alias) => `${nameOf(file)}.alias=${alias}\0`),
	);
	const modinfo = Buffer.concat([own("modules.builtin.modinfo"), Buffer.from(records.join(""))]);
	writeFileSync(path.join(folder, "modules.builtin.modinfo"), modinfo);
}

/** The installed kernel's modules under its own name: every index, and the files of `names` with all they need. */
export function copyModules(base, names) {
	const folder = path.join(base, "lib/modules", kernel);
	mkdirSync(folder, { recursive: true });
	for (const name of readdirSync(installed)) {
		if (name.startsWith("modules.")) cpSync(path.join(installed, name), path.join(folder, name));
	}
	for (const file of filesOf(names)) {
		mkdirSync(path.join(folder, path.dirname(file)), { recursive: true });
		cpSync(path.join(installed, file), path.join(folder, file));
	}
	// What file systems ask for by an algorithm's name.
	for (const name of ["crypto", "arch/x86/crypto"]) {
		cpSync(path.join(installed, "kernel", name), path.join(folder, "kernel", name), { recursive: true });
	}
}

/** The installed kernel's image, which says that it is `release`. */
export function writeKernelImage(file, release) {
	const image = readFileSync(`/boot/vmlinuz-${kernel}`);
	// Where its version's text is: https://docs.kernel.org/arch/x86/boot.html
	const at = image.readUInt16LE(0x20e) + 0x200;
	const end = image.indexOf(0, at);
	image.fill(0, at, end);
	image.write(`${release} (builder@replica) #1 SMP`, at, end - at, "latin1");
	mkdirSync(path.dirname(file), { recursive: true });
	writeFileSync(file, image);
}
