import { refused } from "../../bytes/errors.js";
import type { GuestTree } from "../../filesystem/tree.js";
import type { FstabEntry } from "../../guest/guest.js";
import type { ReplaceLines } from "../change.js";
import { splitLines } from "../lines.js";
import type { Planning } from "../planning.js";

/** A partition named by its controller, or by what its disk calls itself: the name changes with the hypervisor. */
const device =
	"/dev/(?:(?:sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+|nvme\\d+n\\d+p|mmcblk\\d+p)\\d+|disk/by-(?:path|id)/(?!dm-|md-|lvm-)[\\w.:+@#-]+)";
/** In fstab and crypttab, also a disk that has no partitions. */
const wholeDevice = new RegExp(
	`^(?:${device}|/dev/(?:sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+|nvme\\d+n\\d+|mmcblk\\d+))$`,
);
/** Group 3 is the device; it may have quotes of its own inside those of a shell. */
const rootArgument = new RegExp(
	`(?<![^\\s"'=])(root|resume|cryptdevice|cryptroot)=(\\\\?["']?)(${device})(?![^\\s"'\\\\:])`,
	"g",
);

/** Bytes. */
const largestFile = 16 * 2 ** 20;

/** fstab mounts, and crypttab opens, by UUID; GRUB's map of disks no longer names any. */
export async function planFstab(planning: Planning): Promise<ReplaceLines[]> {
	const { guest, tree, stableName } = planning;
	const entries = new Map(guest.fstab.map((entry) => [entry.line, entry]));
	const files = {
		"/etc/fstab": (text: string, line: number) => {
			const { spec } = changing(entries.get(line)) ?? {};
			const stable = spec === undefined ? undefined : stableName(spec);
			return spec === undefined || stable === undefined ? text : text.replace(spec, () => stable);
		},
		"/etc/crypttab": (text: string) => {
			const [, before = "", spec = "", key = ""] = crypttabLine.exec(text) ?? [];
			const stable = wholeDevice.test(spec) ? stableName(spec) : undefined;
			// What is encrypted with a random key at each boot has no UUID that stays.
			if (stable === undefined || (/^\/dev\/u?random$/.test(key) && !stable.startsWith("PARTUUID="))) return text;
			return before + stable + text.slice(before.length + spec.length);
		},
	};
	const why = "Device names such as /dev/sda1 differ from hypervisor to hypervisor; the UUID stays.";
	const changes: ReplaceLines[] = [];
	for (const [path, change] of Object.entries(files)) {
		const lines = await changedLines(tree, path, change);
		if (lines.length > 0) changes.push({ rule: "fstab", action: "replace-lines", path, lines, why });
	}
	return [...changes, ...(await planDeviceMap(planning))];
}

/** Name, device and key file. https://man7.org/linux/man-pages/man5/crypttab.5.html */
const crypttabLine = /^(\s*[^#\s]\S*\s+)(\S+)(?:\s+(\S+))?/;

/** An entry whose device has a name that changes; discs in a drive are none of the disks. */
function changing(entry: FstabEntry | undefined): FstabEntry | undefined {
	const disc = entry !== undefined && /^(iso9660|udf|udf,iso9660)$/.test(entry.type);
	return entry && !disc && wholeDevice.test(entry.spec) ? entry : undefined;
}

/** Names that change with the hypervisor and stay as they are: what they mean cannot be told, or they cannot be changed. */
export function namesThatChange({ guest, stableName }: Pick<Planning, "guest" | "stableName">): string[] {
	const unknown = "which changes from hypervisor to hypervisor, and which volume it means cannot be told";
	const mounts = guest.fstab.flatMap((entry) => {
		const { spec, mount } = changing(entry) ?? {};
		return spec === undefined || stableName(spec) !== undefined
			? []
			: [`/etc/fstab has ${mount} on ${spec}, ${unknown}`];
	});
	const entry = guest.boot.entries[guest.boot.default];
	const sealed = `which changes from hypervisor to hypervisor, inside the unified kernel image ${entry?.kernel}: rebuild it in the guest with the UUID`;
	const byKernel = isRootless(guest);
	const names = Array.from((entry?.cmdline ?? "").matchAll(rootArgument), ([, key, , name]) => ({
		key,
		name: name ?? "",
	}));
	const arguments_ = names.flatMap(({ key, name }) =>
		entry?.uki || stableName(name, byKernel) === undefined
			? [`The kernel is told ${key}=${name}, ${entry?.uki ? sealed : unknown}`]
			: [],
	);
	return [...mounts, ...arguments_];
}

const mappedDisk = /^\s*\(hd\d+\)\s+\/dev\/(?:(?:s|v|xv|h)d[a-z]+|nvme\d+n\d+|mmcblk\d+|disk\/by-(?:path|id)\/\S+)\s*$/;

/** grub-install takes a map of disk names for the truth; without an entry it looks for the disk itself. */
async function planDeviceMap({ tree }: Planning): Promise<ReplaceLines[]> {
	const changes: ReplaceLines[] = [];
	for (const path of ["/boot/grub/device.map", "/boot/grub2/device.map"]) {
		if (((await tree.resolve(path))?.guestPath ?? path) !== path) continue;
		const lines = await changedLines(tree, path, (text) => (mappedDisk.test(text) ? `# ${text}` : text));
		const why =
			"The next grub-install would look for the disk under a name that differs from hypervisor to hypervisor; without this entry it finds the disk by itself.";
		if (lines.length > 0) changes.push({ rule: "fstab", action: "replace-lines", path, lines, why });
	}
	return changes;
}

/** Whether there is a kernel that finds its root by itself, without an initramfs that knows UUIDs. */
export const isRootless = ({ kernels }: Pick<Planning["guest"], "kernels">): boolean =>
	kernels.some((kernel) => !kernel.initramfs && kernel.problems.length === 0);

/** root=, resume=, and what is opened for them, by UUID; by what a kernel understands itself where there is a bare one. */
export function stableCommandLine(text: string, stableName: Planning["stableName"], byKernel: boolean): string {
	const stable = text.replace(rootArgument, (all, key: string, quote: string, name: string) => {
		const found = stableName(name, byKernel);
		return found === undefined ? all : `${key}=${quote}${found}`;
	});
	if (byKernel) return stable;
	return stable.replace(/^(\s*(?:export\s+)?GRUB_DISABLE_LINUX_UUID=)(["']?)true\2(?=\s|$)/, "$1$2false$2");
}

/** The lines of the file at `path` that `change` does not give back as they are; none where there is no such file. */
export async function changedLines(
	tree: GuestTree,
	path: string,
	change: (text: string, line: number, all: readonly string[]) => string,
): Promise<ReplaceLines["lines"]> {
	if ((await tree.stat(path))?.type !== "file") return [];
	const all = splitLines(await tree.readFile(path, largestFile));
	const changed = all.flatMap((raw, i) => {
		const from = raw.replace(/\r$/, "");
		const to = change(from, i + 1, all);
		return to === from ? [] : [{ line: i + 1, from, to }];
	});
	return changed.length > 0 && path.endsWith("/grubenv") ? [...changed, padding(path, all, changed)] : changed;
}

/**
 * GRUB writes its environment block in place and never makes it longer: what is added to a line is taken from the `#`
 * that fill its end. https://www.gnu.org/software/grub/manual/grub/html_node/Environment-block.html
 */
function padding(path: string, all: readonly string[], changed: ReplaceLines["lines"]) {
	const from = all.at(-1) ?? "";
	const added = changed.reduce((sum, line) => sum + line.to.length - line.from.length, 0);
	if (!/^#*$/.test(from) || added > from.length) {
		throw refused(`${path} has no room for ${added} more bytes`, {
			file: path,
			hint: "Shorten the kernel's options in the guest with grub2-editenv, or leave this change out with --skip cmdline.",
		});
	}
	return { line: all.length, from, to: "#".repeat(from.length - added) };
}
