// Lays out a disk and fills it: partitions, LVM, any of the file systems that guests have. Needs root, for loop devices
// and mounts. What is empty takes no room: disks may be as large as real ones.
import {
	closeSync,
	cpSync,
	existsSync,
	mkdirSync,
	openSync,
	readdirSync,
	renameSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import path from "node:path";
import { copySparse, embedGrub, MiB, makeFile, run, SECTOR } from "../parts.mjs";

/** Partition types, by their names in sfdisk's script for a GPT and for an MBR. */
const types = {
	gpt: { bios: "21686148-6449-6E6F-744E-656564454649", esp: "uefi", linux: "linux", lvm: "lvm", swap: "swap" },
	mbr: { linux: "83", lvm: "8e", swap: "82" },
};
const grubModules =
	"part_gpt part_msdos fat ext2 xfs btrfs lvm gzio normal linux configfile search search_fs_uuid search_fs_file echo ls test";

/**
 * Makes `image` of a plan:
 *
 * - `size` in MiB, `table` gpt or mbr;
 * - `partitions`: each `{ type, size (MiB; absent: the rest), bootable, filesystem, uuid, label, mount, subvolumes,
 *   volumes }`; `subvolumes` maps mount points to the names of Btrfs subvolumes; `volumes` are the LVM volumes of a
 *   partition of type lvm, of the volume group `group`;
 * - `grubBios`: GRUB is put where a BIOS finds it;
 * - `tree`: the files, as the guest sees them. What belongs on an ESP is moved away from there.
 */
export function makeImage(image, work, { size, table, partitions, grubBios, tree }) {
	const disk = path.join(work, "disk.raw");
	makeFile(disk, size * MiB);
	const placed = place(partitions, size, table);
	const script = placed.map(
		({ at, sectors, type, bootable }) =>
			`start=${at}, size=${sectors}, type=${types[table][type]}${bootable ? ", bootable" : ""}\n`,
	);
	run("sfdisk", ["-q", disk], { input: `label: ${table === "mbr" ? "dos" : "gpt"}\n${script.join("")}` });

	const volumes = placed.flatMap((partition) => (partition.volumes ? makeLvm(disk, work, partition) : [partition]));
	for (const volume of volumes.filter(({ filesystem }) => filesystem === "vfat")) makeFat(disk, work, volume, tree);
	fill(disk, work, volumes, tree);

	if (grubBios) {
		const at = table === "mbr" ? 1 : placed.find(({ type }) => type === "bios").at;
		const file = openSync(disk, "r+");
		const { uuid } = volumes.find(({ mount }) => mount === "/boot") ?? volumes.find(({ mount }) => mount === "/");
		const early = `search --no-floppy --fs-uuid --set=root ${uuid}\n`;
		embedGrub(file, work, { at, early, prefix: grubBios, modules: grubModules.split(" ") });
		closeSync(file);
	}
	const partial = `${image}.partial-${process.pid}`;
	run("cp", ["--sparse=always", disk, partial]);
	renameSync(partial, image);
}

function place(partitions, mebibytes, table) {
	// Of a GPT a copy lies at the end.
	const end = (mebibytes - 1) * 2048;
	const fixed = partitions.reduce((sum, { size = 0 }) => sum + size * 2048, 0);
	let at = 2048;
	return partitions.map((partition) => {
		const sectors = partition.size ? partition.size * 2048 : end - 2048 - fixed;
		at += sectors;
		return { ...partition, table, at: at - sectors, sectors, start: (at - sectors) * SECTOR, bytes: sectors * SECTOR };
	});
}

/** Does `work` with a loop device over a part of a file. */
function withLoop(file, { start, bytes }, work) {
	const options = ["-f", "--show", "-o", String(start), "--sizelimit", String(bytes), file];
	const device = run("losetup", options).toString().trim();
	try {
		return work(device);
	} finally {
		run("losetup", ["-d", device]);
	}
}

/** LVM's own tools write the metadata; nothing is activated, so that no device mapper is needed. */
function makeLvm(disk, work, partition) {
	const extent = 4 * MiB;
	const first = withLoop(disk, partition, (device) => {
		const config = `devices { use_devicesfile=0 filter=["a|^${device}$|", "r|.*|"] } backup { backup=0 archive=0 } global { locking_dir="${work}" }`;
		const env = { ...process.env, LVM_SYSTEM_DIR: work, LVM_SUPPRESS_FD_WARNINGS: "1" };
		const lvm = (command, ...args) =>
			run(command, ["--driverloaded", "n", "--config", config, ...args], { env }).toString();
		lvm("pvcreate", "-q", device);
		lvm("vgcreate", "-q", "-s", "4m", partition.group, device);
		for (const { name, size } of partition.volumes) {
			lvm("lvcreate", "-q", "-an", "-Zn", "-Wn", "-y", "-L", `${size}m`, "-n", name, partition.group);
		}
		return Number(lvm("pvs", "--noheadings", "--nosuffix", "--units", "b", "-o", "pe_start", device));
	});
	let start = partition.start + first;
	return partition.volumes.map((volume) => {
		const bytes = Math.ceil((volume.size * MiB) / extent) * extent;
		start += bytes;
		return { ...volume, start: start - bytes, bytes };
	});
}

function makeFat(disk, work, { start, bytes, mount, uuid, label = "ESP" }, tree) {
	const image = path.join(work, "esp.img");
	makeFile(image, bytes);
	run("mkfs.vfat", ["-F", "32", "-n", label, "-i", uuid.replace("-", ""), image]);
	const from = path.join(tree, mount);
	const names = existsSync(from) ? readdirSync(from).map((name) => path.join(from, name)) : [];
	if (names.length > 0) run("mcopy", ["-s", "-i", image, ...names, "::"]);
	for (const name of names) rmSync(name, { recursive: true });
	const file = openSync(disk, "r+");
	copySparse(image, file, start);
	closeSync(file);
	rmSync(image);
}

/** Lets mkfs.xfs make logs of less than 64 MiB, as older releases of it do by themselves: a log is written out in full. */
const env = { ...process.env, TEST_DIR: "x", TEST_DEV: "x", QA_CHECK_FS: "x" };

const makers = {
	ext4: ({ uuid, label, options = [] }) =>
		["mke2fs", "-q", "-F", "-t", "ext4", "-U", uuid, "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"].concat(
			label ? ["-L", label] : [],
			options,
		),
	xfs: ({ uuid, label, options = [] }) =>
		["mkfs.xfs", "-q", "-f", "-K", "-l", "size=16m"].concat(
			["-m", `uuid=${uuid}`],
			label ? ["-L", label] : [],
			options,
		),
	btrfs: ({ uuid, label }) => ["mkfs.btrfs", "-q", "-f", "-K", "-U", uuid].concat(label ? ["-L", label] : []),
	swap: ({ uuid }) => ["mkswap", "-q", "-U", uuid],
};

/** Makes the other file systems, mounts them as the guest does, and copies the tree into them. */
function fill(disk, work, volumes, tree) {
	const top = path.join(work, "mounted");
	mkdirSync(top);
	const devices = [];
	const mounts = [];
	const mount = (device, at, ...options) => {
		mkdirSync(at, { recursive: true });
		run("mount", [...options, device, at]);
		mounts.push(at);
	};
	try {
		const ordered = volumes.toSorted((a, b) => (a.mount ?? "~").localeCompare(b.mount ?? "~"));
		for (const volume of ordered) {
			const make = makers[volume.filesystem];
			if (!make) continue;
			const options = ["-f", "--show", "-o", String(volume.start), "--sizelimit", String(volume.bytes), disk];
			const device = run("losetup", options).toString().trim();
			devices.push(device);
			const [command, ...args] = make(volume);
			run(command, [...args, device], { env });
			if (!volume.mount) continue;
			if (volume.subvolumes) mountSubvolumes(device, work, top, volume, mount);
			else mount(device, path.join(top, volume.mount));
		}
		cpSync(tree, top, { recursive: true, verbatimSymlinks: true });
	} finally {
		for (const at of mounts.toReversed()) run("umount", [at]);
		for (const device of devices) run("losetup", ["-d", device]);
	}
}

function mountSubvolumes(device, work, top, { subvolumes, defaultSubvolume }, mount) {
	const whole = path.join(work, "volume");
	mkdirSync(whole);
	run("mount", [device, whole]);
	try {
		for (const name of Object.values(subvolumes)) {
			mkdirSync(path.dirname(path.join(whole, name)), { recursive: true });
			run("btrfs", ["subvolume", "create", path.join(whole, name)]);
		}
		if (defaultSubvolume) run("btrfs", ["subvolume", "set-default", path.join(whole, defaultSubvolume)]);
	} finally {
		run("umount", [whole]);
	}
	for (const [at, name] of Object.entries(subvolumes)) {
		if (at.startsWith("/")) mount(device, path.join(top, at), "-o", `subvol=${name}`);
	}
}

/** What the firmware starts, on an ESP below `folder` of the tree. */
export function writeEsp(folder, programs) {
	for (const [name, from] of Object.entries(programs)) {
		const to = path.join(folder, name);
		mkdirSync(path.dirname(to), { recursive: true });
		if (typeof from === "string") cpSync(from, to);
		else writeFileSync(to, from.text);
	}
}

export { grubModules };
