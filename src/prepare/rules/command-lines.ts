import type { GuestTree } from "../../filesystem/tree.js";
import type { Planning } from "../planning.js";

/** Far more menu entries than a guest has. */
const mostFiles = 1000;

/** Files with kernel command lines, links followed: what boots now, and what the next kernel update builds from. */
export async function commandLineFiles(planning: Pick<Planning, "guest" | "tree">): Promise<string[]> {
	const found = new Set<string>();
	for (const named of [...(await menus(planning)), ...(await defaults(planning.tree))]) {
		const place = await planning.tree.resolve(named);
		if (place) found.add(place.guestPath);
	}
	return [...found];
}

/** What boot loaders read. */
async function menus({ guest: { boot, esp }, tree }: Pick<Planning, "guest" | "tree">): Promise<string[]> {
	// The loader of each firmware may have a menu of its own.
	const folders = [
		"/boot/grub",
		"/boot/grub2",
		...(esp?.loaders ?? []).map((loader) => loader.replace(/\/[^/]*$/, "")),
	];
	const grub = [...new Set(folders)].flatMap((folder) =>
		["grub.cfg", "custom.cfg", "grubenv"].map((name) => `${folder}/${name}`),
	);
	const mounts = new Set(["/boot", "/efi", ...(esp ? [esp.mount] : [])]);
	const entries = await Promise.all([...mounts].map((mount) => filesIn(tree, `${mount}/loader/entries`, ".conf")));
	const syslinux = ["/boot", "/boot/extlinux", "/boot/syslinux", "/extlinux", "/syslinux"].flatMap((folder) =>
		["extlinux.conf", "syslinux.cfg"].map((name) => `${folder}/${name}`),
	);
	return [...(boot.config === "" ? [] : [boot.config]), ...grub, ...entries.flat(), ...syslinux];
}

/** What grub-mkconfig, kernel-install, and their like write menus from. */
const defaults = async (tree: GuestTree) => [
	"/etc/default/grub",
	...(await filesIn(tree, "/etc/default/grub.d", ".cfg")),
	"/etc/grub.d/40_custom",
	"/etc/kernel/cmdline",
	"/etc/kernel/uki.conf",
	...(await filesIn(tree, "/etc/cmdline.d", ".conf")),
	"/etc/default/extlinux",
	"/etc/update-extlinux.conf",
	"/etc/zipl.conf",
];

async function filesIn(tree: GuestTree, folder: string, end: string): Promise<string[]> {
	const names = (await tree.listIfExists(folder)).map(({ name }) => name).filter((name) => name.endsWith(end));
	return names.slice(0, mostFiles).map((name) => `${folder}/${name}`);
}
