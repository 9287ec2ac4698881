import type { GuestTree } from "../../filesystem/tree.js";
import type { ReplaceLines } from "../change.js";
import { splitLines } from "../lines.js";
import type { Planning } from "../planning.js";

/** A partition named by its controller: the name changes with the hypervisor. */
const device = "/dev/(?:sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+|nvme\\d+n\\d+p|mmcblk\\d+p)\\d+";
const wholeDevice = new RegExp(`^${device}$`);
/** Group 3 is the device; it may have quotes of its own inside those of a shell. */
const rootArgument = new RegExp(`(?<![^\\s"'=])(root|resume)=(\\\\?["']?)(${device})(?![^\\s"'\\\\])`, "g");

/** Bytes. */
const largestFile = 16 * 2 ** 20;
/** Far more menu entries than a guest has. */
const mostFiles = 1000;

/** fstab mounts by UUID. */
export async function planFstab({ guest, tree, stableName }: Planning): Promise<ReplaceLines[]> {
	const path = "/etc/fstab";
	const entries = new Map(guest.fstab.map((entry) => [entry.line, entry]));
	const lines = await changedLines(tree, path, (text, line) => {
		const spec = entries.get(line)?.spec ?? "";
		const stable = wholeDevice.test(spec) ? stableName(spec) : undefined;
		return stable === undefined ? text : text.replace(spec, () => stable);
	});
	if (lines.length === 0) return [];
	const why = "Device names such as /dev/sda1 differ from hypervisor to hypervisor; the UUID stays.";
	return [{ rule: "fstab", action: "replace-lines", path, lines, why }];
}

/**
 * root= and resume= by UUID, in what boots now and in what the next kernel update builds from. Where a kernel has no
 * initramfs it finds its root by itself, and knows no UUIDs: all is left alone.
 */
export async function planCommandLine(planning: Planning): Promise<ReplaceLines[]> {
	const { guest, tree, stableName } = planning;
	if (guest.kernels.some((kernel) => !kernel.initramfs && kernel.problems.length === 0)) return [];
	const why =
		"The kernel is told its root by a device name that differs from hypervisor to hypervisor; the UUID stays.";
	const changes: ReplaceLines[] = [];
	const seen = new Set<string>();
	for (const named of [...(await menus(planning)), ...(await defaults(tree))]) {
		const path = (await tree.resolve(named))?.guestPath;
		if (path === undefined || seen.has(path)) continue;
		seen.add(path);
		const lines = await changedLines(tree, path, (text) =>
			/^\s*#/.test(text) ? text : stableCommandLine(text, stableName),
		);
		if (lines.length > 0) changes.push({ rule: "cmdline", action: "replace-lines", path, lines, why });
	}
	return changes;
}

/** What boot loaders read. */
async function menus({ guest: { boot, esp }, tree }: Planning): Promise<string[]> {
	// The loader of each firmware may have a menu of its own.
	const beside = (esp?.loaders ?? []).map((loader) => loader.replace(/[^/]*$/, "grub.cfg"));
	const folders = ["/boot/loader/entries", ...(esp ? [`${esp.mount}/loader/entries`] : [])];
	const entries = await Promise.all(folders.map((folder) => filesIn(tree, folder, ".conf")));
	const config = boot.config === "" ? [] : [boot.config];
	return [...config, "/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", ...beside, ...entries.flat()];
}

/** What grub-mkconfig and kernel-install write menus from. */
const defaults = async (tree: GuestTree) => [
	"/etc/default/grub",
	...(await filesIn(tree, "/etc/default/grub.d", ".cfg")),
	"/etc/kernel/cmdline",
];

async function filesIn(tree: GuestTree, folder: string, end: string): Promise<string[]> {
	const names = (await tree.listIfExists(folder)).map(({ name }) => name).filter((name) => name.endsWith(end));
	return names.slice(0, mostFiles).map((name) => `${folder}/${name}`);
}

function stableCommandLine(text: string, stableName: Planning["stableName"]): string {
	return text
		.replace(rootArgument, (all, key: string, quote: string, name: string) => {
			const stable = stableName(name);
			return stable === undefined ? all : `${key}=${quote}${stable}`;
		})
		.replace(/^(\s*(?:export\s+)?GRUB_DISABLE_LINUX_UUID=)(["']?)true\2(?=\s|$)/, "$1$2false$2");
}

/** The lines of the file at `path` that `change` does not give back as they are; none where there is no such file. */
export async function changedLines(
	tree: GuestTree,
	path: string,
	change: (text: string, line: number) => string,
): Promise<ReplaceLines["lines"]> {
	if ((await tree.stat(path))?.type !== "file") return [];
	return splitLines(await tree.readFile(path, largestFile)).flatMap((raw, i) => {
		const from = raw.replace(/\r$/, "");
		const to = change(from, i + 1);
		return to === from ? [] : [{ line: i + 1, from, to }];
	});
}
