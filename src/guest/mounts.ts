import type { AnyvisorError } from "../bytes/errors.js";
import type { Filesystem } from "../filesystem/filesystem.js";
import { GuestTree, type Mount } from "../filesystem/tree.js";
import type { Volume } from "../volume/volume.js";
import { attempt, isGuestsFault } from "./linux/attempt.js";
import { readBootLoader } from "./linux/boot.js";
import { cryptParameters, parseCrypttab } from "./linux/crypttab.js";
import { parseFstab } from "./linux/fstab.js";
import { words } from "./linux/text.js";

/** A volume that may hold no file system that can be read, such as swap. */
export interface MountableVolume {
	readonly volume: Volume;
	readonly filesystem?: Filesystem | undefined;
	/** Absent: the file system's. */
	readonly uuid?: string;
	/** The number of its disk; absent: the disks are told apart by the numbers of their volumes. */
	readonly disk?: number;
}

/** What Anyvisor looks into beside the root; anything else in an fstab is data. */
const wantedMounts = new Set(["/boot", "/boot/efi", "/efi", "/usr", "/var"]);

const espTypes = new Set(["c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "ef"]);

/** What the Boot Loader Specification calls XBOOTLDR. */
const extendedBootTypes = new Set(["bc13c2ff-59e6-4262-a352-b275fd6f7172", "ea"]);

/** Where installers put the root when they give it a subvolume: Ubuntu and Arch, Fedora, Debian, openSUSE. */
const rootSubvolumes = ["@", "root", "@rootfs", "@/.snapshots/1/snapshot"];

/**
 * The guest's files as its own fstab mounts them, from the volumes of all its disks in disk order. Where several hold a
 * system, the one that a boot loader's `root=` names. `undefined` when none does; when that may be because one cannot be
 * read, its error.
 */
export async function assembleTree(volumes: readonly MountableVolume[]): Promise<GuestTree | undefined> {
	const roots: { readonly root: Filesystem; readonly filesystem: Filesystem; readonly tree: GuestTree }[] = [];
	let failure: AnyvisorError | undefined;
	for (const { filesystem: root } of volumes) {
		if (root === undefined) continue;
		try {
			for (const filesystem of await rootsOf(root)) {
				const alone = new GuestTree([{ mount: "/", filesystem }]);
				if (await isRoot(alone)) roots.push({ root, filesystem, tree: await mountFstab(alone, filesystem, volumes) });
			}
		} catch (error) {
			if (!isGuestsFault(error)) throw error;
			failure ??= error;
		}
	}
	if (roots.length === 0 && failure) throw failure;
	for (const { root, filesystem, tree } of roots.length > 1 ? roots : []) {
		const boot = await attempt([], () => readBootLoader(tree));
		const cmdline = boot?.entries[boot.default]?.cmdline ?? "";
		const spec = lastOf(cmdline, "root=");
		if (spec === undefined || findVolume(spec, await namedByGuest(volumes, tree))?.filesystem !== root) continue;
		const flags = lastOf(cmdline, "rootflags=") ?? "";
		if ((await attempt([], () => mountedWith(root, flags))) === filesystem) return tree;
	}
	return roots[0]?.tree;
}

/** What of a volume may be a guest's root: what is mounted by default, and subvolumes with a name for that. */
async function rootsOf(filesystem: Filesystem): Promise<ReadonlySet<Filesystem>> {
	const found = new Set([filesystem]);
	for (const name of filesystem.subvolume ? rootSubvolumes : []) {
		const subvolume = await filesystem.subvolume?.(name);
		if (subvolume) found.add(subvolume);
	}
	return found;
}

/**
 * What mount options make of a volume: one of its subvolumes, or what it is without any; `undefined` where there is no
 * such subvolume. https://btrfs.readthedocs.io/en/latest/Administration.html#mount-options
 */
async function mountedWith(filesystem: Filesystem, options: string): Promise<Filesystem | undefined> {
	const chosen = options.split(",").findLast((option) => /^subvol(id)?=/.test(option));
	if (!filesystem.subvolume || chosen === undefined) return filesystem;
	const value = chosen.slice(chosen.indexOf("=") + 1);
	return filesystem.subvolume(chosen.startsWith("subvolid=") ? Number(value) : value);
}

/** Where /usr is a volume of its own, only its mount point is there: os-release may then be missing. */
async function isRoot(tree: GuestTree): Promise<boolean> {
	const exists = async (path: string) => (await tree.lstat(path)) !== undefined;
	const existsAny = async (...paths: string[]) => (await Promise.all(paths.map(exists))).includes(true);
	return (
		(await exists("/etc")) &&
		(await existsAny("/lib", "/usr")) &&
		(await existsAny("/etc/os-release", "/usr/lib/os-release", "/etc/fstab", "/sbin/init"))
	);
}

async function mountFstab(alone: GuestTree, root: Filesystem, found: readonly MountableVolume[]) {
	const volumes = await namedByGuest(found, alone);
	// Unreadable, it is told by detectLinux.
	const fstab = await attempt([], () => alone.readText("/etc/fstab"));
	const mounts: Mount[] = [...alone.mounts];
	const used = new Set([root]);
	for (const { spec, mount, options } of parseFstab(fstab ?? "")) {
		const path = mount.length > 1 ? mount.replace(/\/+$/, "") : mount;
		if (!wantedMounts.has(path)) continue;
		const whole = findVolume(spec, volumes)?.filesystem;
		const filesystem = whole && (await attempt([], () => mountedWith(whole, options)));
		if (filesystem === undefined || used.has(filesystem)) continue;
		used.add(filesystem);
		mounts.push({ mount: path, filesystem });
	}
	const mounted = (...paths: string[]) => mounts.some(({ mount }) => paths.includes(mount));
	const unused = (types: ReadonlySet<string>) =>
		volumes.find(({ filesystem, volume }) => filesystem && !used.has(filesystem) && types.has(volume.type))?.filesystem;
	const extended = unused(extendedBootTypes);
	if (extended && !mounted("/boot")) mounts.push({ mount: "/boot", filesystem: extended });
	const esp = unused(espTypes);
	if (esp && !mounted("/boot/efi", "/efi")) mounts.push({ mount: await espMount(mounts), filesystem: esp });
	return new GuestTree(mounts);
}

/**
 * The volumes, of which those that were encrypted have the names as well that the guest itself gives them, in
 * /etc/crypttab and on its command line.
 */
export async function namedByGuest<V extends MountableVolume>(
	volumes: readonly V[],
	tree: GuestTree,
): Promise<readonly V[]> {
	if (!volumes.some(({ volume }) => volume.scheme === "luks")) return volumes;
	const boot = await attempt([], () => readBootLoader(tree));
	const entries = [
		...parseCrypttab((await attempt([], () => tree.readText("/etc/crypttab"))) ?? ""),
		...cryptParameters(boot?.entries[boot.default]?.cmdline ?? ""),
	];
	const names = new Map<Volume, string[]>();
	for (const { name, device } of entries) {
		const encrypted = findVolume(device, volumes)?.volume;
		if (encrypted) names.set(encrypted, [...(names.get(encrypted) ?? []), `/dev/mapper/${name}`]);
	}
	return volumes.map((found) => {
		const { volume } = found;
		const [encrypted] = volume.assembled?.from ?? [];
		const more = encrypted && names.get(encrypted);
		if (volume.assembled === undefined || volume.scheme !== "luks" || more === undefined) return found;
		// The guest's own come first: it is them that an operator knows.
		const devices = [...more, ...volume.assembled.devices];
		return { ...found, volume: { ...volume, assembled: { ...volume.assembled, devices } } };
	});
}

/**
 * Where the ESP is when fstab does not say: where there is a folder for it, or at /boot where nothing else is.
 * https://www.freedesktop.org/software/systemd/man/latest/systemd-gpt-auto-generator.html
 */
async function espMount(mounts: readonly Mount[]): Promise<string> {
	const tree = new GuestTree(mounts);
	for (const path of ["/boot/efi", "/efi"]) if ((await tree.stat(path))?.type === "directory") return path;
	const empty = (await attempt([], () => tree.list("/boot")))?.length === 0;
	return empty && !mounts.some(({ mount }) => mount === "/boot") ? "/boot" : "/boot/efi";
}

/** The value of the last such parameter of a kernel command line. */
const lastOf = (cmdline: string, parameter: "root=" | "rootflags="): string | undefined =>
	words(cmdline)
		.findLast((word) => word.startsWith(parameter))
		?.slice(parameter.length);

/** The volume that a device of fstab or of `root=` means; `undefined` where that cannot be told. */
export function findVolume<V extends MountableVolume>(device: string, volumes: readonly V[]): V | undefined {
	const spec = withoutQuotes(device);
	const tag = /^(UUID|LABEL|PARTUUID|PARTLABEL)=(.*)$/i.exec(spec);
	const link = /^\/dev\/disk\/by-(uuid|label|partuuid|partlabel)\/(.*)$/.exec(spec);
	const [, kind, value] = tag ?? link ?? [];
	if (kind === undefined || value === undefined) return findByName(spec, volumes);
	const wanted = withoutQuotes(link ? unescapeDevlink(value) : value);
	switch (kind.toLowerCase()) {
		case "uuid":
			return volumes.find(({ filesystem, uuid }) => same(uuid ?? filesystem?.uuid ?? "", wanted));
		case "label":
			return volumes.find(({ filesystem }) => filesystem?.label === wanted);
		case "partuuid":
			return volumes.find(({ volume }) => same(volume.partUuid ?? "", wanted));
		default:
			return volumes.find(({ volume }) => volume.label === wanted);
	}
}

const withoutQuotes = (text: string) => /^(["'])(.*)\1$/.exec(text)?.[2] ?? text;

const same = (a: string, b: string) => b !== "" && a.toLowerCase() === b.toLowerCase();

/** udev writes what a path cannot hold as `\x20`. */
const unescapeDevlink = (name: string) =>
	name.replace(/\\x([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));

/**
 * The name of an assembled volume, or `/dev/sda1` and its like: the letter or number counts the disks, the rest the
 * partitions.
 */
function findByName<V extends MountableVolume>(device: string, volumes: readonly V[]): V | undefined {
	const named = volumes.find(({ volume }) => volume.assembled?.devices.includes(device));
	if (named) return named;
	const arrays = volumes.filter(({ volume }) => volume.scheme === "md");
	// An array has the number that was free, or that a file in the initramfs gives it: a lone one is meant.
	if (/^\/dev\/md\d+$/.test(device)) return arrays.length === 1 ? arrays[0] : undefined;
	const disks = byDisk(volumes.filter(({ volume }) => volume.assembled === undefined));
	// What a disk calls itself, and where it is plugged in, says nothing about its place among others.
	const [, port, part] = /^\/dev\/disk\/by-(?:path|id)\/(?!dm-|lvm-|md-)(.+?)(?:-part(\d+))?$/.exec(device) ?? [];
	if (port !== undefined) {
		return disks.length === 1 ? disks[0]?.find(({ volume }) => volume.number === Number(part ?? 0)) : undefined;
	}
	const [, letter, partition] = /^\/dev\/(?:s|v|xv|h)d([a-z])(\d*)$/.exec(device) ?? [];
	const [, ordinal, nvmePartition] = /^\/dev\/(?:nvme|mmcblk)(\d+)(?:n1)?(?:p(\d+))?$/.exec(device) ?? [];
	const disk = letter === undefined ? Number(ordinal) : letter.charCodeAt(0) - "a".charCodeAt(0);
	const number = Number((letter === undefined ? nvmePartition : partition) || 0);
	if (Number.isNaN(disk)) return undefined;
	// A lone disk is the one that is meant, whatever its letter was when a second one stood before it.
	return (disks.length === 1 ? disks[0] : disks[disk])?.find(({ volume }) => volume.number === number);
}

/**
 * The volumes of each disk; of one that is empty, none. Where nobody says which disk they are on, those of one stand
 * together, their numbers rising, and a disk without partitions has the number 0.
 */
function byDisk<V extends MountableVolume>(volumes: readonly V[]): readonly (readonly V[])[] {
	const numbers = volumes.flatMap(({ disk }) => disk ?? []);
	if (numbers.length === volumes.length) {
		return Array.from({ length: Math.max(-1, ...numbers) + 1 }, (_, disk) =>
			volumes.filter((candidate) => candidate.disk === disk),
		);
	}
	const disks: V[][] = [];
	for (const candidate of volumes) {
		const last = disks.at(-1);
		const before = last?.at(-1)?.volume.number ?? 0;
		if (last && before > 0 && candidate.volume.number > before) last.push(candidate);
		else disks.push([candidate]);
	}
	return disks;
}
