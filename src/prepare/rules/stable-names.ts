import type { ReplaceLines } from "../change.js";
import type { Planning } from "../planning.js";

/** A partition named by its controller: the name changes with the hypervisor. */
const device = /\/dev\/(?:sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+|nvme\d+n\d+p|mmcblk\d+p)\d+/;

/** fstab mounts by UUID. */
export async function planFstab({ guest, tree, stableName }: Planning): Promise<ReplaceLines[]> {
	const path = "/etc/fstab";
	const text = await tree.readText(path);
	if (text === undefined) return [];
	const lines = text.split("\n");
	const replaced = guest.fstab.flatMap(({ line, spec }) => {
		const from = lines[line - 1];
		const stable = new RegExp(`^${device.source}$`).test(spec) ? stableName(spec) : undefined;
		return from === undefined || stable === undefined ? [] : [{ line, from, to: from.replace(spec, stable) }];
	});
	if (replaced.length === 0) return [];
	return [
		{
			rule: "fstab",
			action: "replace-lines",
			path,
			lines: replaced,
			why: "Device names such as /dev/sda1 differ from hypervisor to hypervisor; the UUID stays.",
		},
	];
}

/** Files that hold kernel command lines: what boots now, and what the next kernel update builds from. */
const commandLines = ["/etc/default/grub", "/etc/kernel/cmdline"];

/** root= and resume= by UUID. Without an initramfs the kernel itself finds its root, and knows no UUIDs: left alone. */
export async function planCommandLine({ guest, tree, stableName }: Planning): Promise<ReplaceLines[]> {
	if (guest.kernels.some((kernel) => !kernel.initramfs)) return [];
	const entries = (await tree.listIfExists("/boot/loader/entries"))
		.filter(({ name }) => name.endsWith(".conf"))
		.map(({ name }) => `/boot/loader/entries/${name}`);
	const paths = new Set([guest.boot.config, ...entries, ...commandLines].filter((path) => path !== ""));

	const changes: ReplaceLines[] = [];
	for (const path of paths) {
		const lines = ((await tree.readText(path, 16 * 2 ** 20)) ?? "").split("\n").flatMap((from, i) => {
			const to = /^\s*#/.test(from) ? from : stableLine(from, stableName);
			return to === from ? [] : [{ line: i + 1, from, to }];
		});
		if (lines.length === 0) continue;
		changes.push({
			rule: "cmdline",
			action: "replace-lines",
			path,
			lines,
			why: "The kernel is told its root by a device name that differs from hypervisor to hypervisor; the UUID stays.",
		});
	}
	return changes;
}

function stableLine(line: string, stableName: Planning["stableName"]): string {
	return line
		.replace(new RegExp(`\\b(root|resume)=(${device.source})(?=[\\s"']|$)`, "g"), (all, key: string, name: string) => {
			const stable = stableName(name);
			return stable === undefined ? all : `${key}=${stable}`;
		})
		.replace(/^(\s*)GRUB_DISABLE_LINUX_UUID=(["']?)true\2\s*$/, "$1GRUB_DISABLE_LINUX_UUID=false");
}
