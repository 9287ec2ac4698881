import type { GuestTree } from "../../filesystem/tree.js";
import type { ReplaceLines, Rule } from "../change.js";
import type { Planning } from "../planning.js";
import { consoleEditor } from "./console.js";
import { changedLines, isRootless, stableCommandLine } from "./stable-names.js";

/** Far more menu entries than a guest has. */
const mostFiles = 1000;

/**
 * Changes kernel command lines as the rules `cmdline` and `console` ask for, of which one line may need both. A kernel
 * without an initramfs finds its root by itself, and knows no UUIDs but those of partitions: then root= is such a one.
 */
export async function planCommandLines(planning: Planning, wanted: ReadonlySet<Rule>): Promise<ReplaceLines[]> {
	const { guest, tree, stableName } = planning;
	const byKernel = isRootless(guest);
	const changes: ReplaceLines[] = [];
	for (const path of await commandLineFiles(planning)) {
		const addConsoles = wanted.has("console") ? consoleEditor(planning, path) : (text: string) => text;
		const stable = (text: string) =>
			!wanted.has("cmdline") || /^\s*#/.test(text) ? text : stableCommandLine(text, stableName, byKernel);
		const lines = await changedLines(tree, path, (text, line, all) => addConsoles(stable(text), line, all));
		if (lines.length === 0) continue;
		const asked = new Set(
			lines.flatMap(({ from, to }) => (/^#*$/.test(from) ? [] : rulesBehind(from, to, stable(from)))),
		);
		const rule = asked.has("cmdline") ? "cmdline" : "console";
		changes.push({ rule, action: "replace-lines", path, lines, why: [...asked].map((one) => reasons[one]).join(" ") });
	}
	return changes;
}

const reasons = {
	cmdline: "The kernel is told its root by a device name that differs from hypervisor to hypervisor; the UUID stays.",
	console:
		"The kernel's messages show on the screen and on the first serial port, whichever the hypervisor has; /dev/console stays what it was. systemd logs in on that port by itself; an inittab needs a line for it.",
} as const;

const rulesBehind = (from: string, to: string, stable: string): (keyof typeof reasons)[] => [
	...(stable === from ? [] : (["cmdline"] as const)),
	...(stable === to ? [] : (["console"] as const)),
];

/** Files with kernel command lines, links followed: what boots now, and what the next kernel update builds from. */
async function commandLineFiles(planning: Pick<Planning, "guest" | "tree">): Promise<string[]> {
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
