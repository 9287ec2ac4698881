// Every guest that verdicts are held against: name, and how it is made.
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { cache, kernel, keyOf } from "../parts.mjs";
import { userlandFiles } from "../userland.mjs";
import { debianName, makeDebian } from "./debian.mjs";
import { distributions } from "./distributions.mjs";

const here = import.meta.dirname;

/** For each generator and boot loader, the roots that are always made; together they are every pair of the three. */
const usual = {
	dep: { "grub-bios": "ext4", "grub-uefi": "xfs lvm", "systemd-boot": "btrfs" },
	list: { "grub-bios": "xfs ext4", "grub-uefi": "btrfs", "systemd-boot": "lvm" },
	most: { "grub-bios": "btrfs", "grub-uefi": "lvm", "systemd-boot": "ext4 xfs" },
	hostonly: { "grub-bios": "lvm", "grub-uefi": "ext4 btrfs", "systemd-boot": "xfs" },
	generic: { "grub-bios": "lvm ext4", "grub-uefi": "xfs", "systemd-boot": "btrfs" },
};

const combinations = Object.entries(usual).flatMap(([modules, loaders]) =>
	Object.entries(loaders).flatMap(([loader, list]) =>
		["ext4", "xfs", "btrfs", "lvm"].map((root) => ({
			options: { modules, loader, lvm: root === "lvm", filesystem: root === "lvm" ? "ext4" : root },
			isUsual: list.split(" ").includes(root),
		})),
	),
);

const makers = new Map([
	...combinations.map(({ options }) => [debianName(options), (image, work) => makeDebian(image, work, options)]),
	...Object.entries(distributions),
]);

/** All that there are. */
export const guestNames = [...makers.keys()];

/** Those that do not take minutes to make. */
export const usualNames = [
	...combinations.filter(({ isUsual }) => isUsual).map(({ options }) => debianName(options)),
	...Object.keys(distributions),
];

const shared = ["../parts.mjs", "as-machine", "debian.mjs", "image.mjs", "initramfs.mjs", "modules.mjs", "uuid.mjs"];
const sources = (names) => names.map((name) => path.join(here, name));

/** Where the guest of that name is or will be. */
export function imageOf(name) {
	const files = name in distributions ? [...shared, "archives.mjs", "distributions.mjs"] : shared;
	return path.join(cache, `${name}-${keyOf([kernel, name], [...sources(files), ...userlandFiles])}.raw`);
}

/** Makes it where it is not there yet, in a folder of its own below `work`. */
export function makeGuest(name, work, make = makers.get(name)) {
	const image = imageOf(name);
	if (existsSync(image)) return image;
	const folder = path.join(work, name);
	mkdirSync(folder, { recursive: true });
	mkdirSync(cache, { recursive: true });
	make(image, folder);
	rmSync(folder, { recursive: true });
	// Those of older recipes are of no use any more.
	const others = readdirSync(cache).filter((file) => file.startsWith(`${name}-`) && file !== path.basename(image));
	for (const file of others)
		if (/^[0-9a-f]{16}\.raw$/.test(file.slice(name.length + 1))) rmSync(path.join(cache, file));
	return image;
}

/** A Debian guest in a combination of one's own. */
export const makeCombination = (options, work) =>
	makeGuest(debianName(options), work, (image, folder) => makeDebian(image, folder, options));
