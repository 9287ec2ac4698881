import { canBeAddedTo, isSealed } from "../../driver/judge-device.js";
import { modulesToAdd } from "../../driver/modules-to-add.js";
import type { Initramfs, LinuxKernel } from "../../guest/guest.js";
import { nextAddOn } from "../../guest/linux/uki/add-ons.js";
import type { AppendModules } from "../change.js";
import { initramfsOf } from "../initramfs-of.js";
import { moduleFiles } from "../overlay-archive.js";
import type { Planning } from "../planning.js";

/** Every installed kernel gets the drivers of every target, so that falling back to an older kernel works as well. */
export async function planInitramfs(planning: Planning): Promise<AppendModules[]> {
	const changes: AppendModules[] = [];
	const planned = new Set<string>();
	for (const kernel of planning.guest.kernels) {
		if (kernel.initramfs && !canBeAddedTo(kernel)) continue;
		for await (const initramfs of initramfsOf(planning.tree, kernel)) {
			if (planned.has(initramfs.path)) continue;
			planned.add(initramfs.path);
			const change = await planOne(planning, { ...kernel, initramfs });
			if (change) changes.push(change);
			// Where the kernel's own has all drivers, so have those that are made for any machine.
			else if (initramfs === kernel.initramfs) break;
		}
	}
	return changes;
}

async function planOne(
	{ guest, tree, targets }: Planning,
	kernel: LinuxKernel & { readonly initramfs: Initramfs },
): Promise<AppendModules | undefined> {
	const addOn = isSealed(kernel) ? nextAddOn(kernel) : undefined;
	const modules = modulesToAdd(guest, kernel, targets);
	if (modules.length === 0) return undefined;
	const files = await moduleFiles(tree, kernel, kernel.initramfs, modules);
	const sizes = new Map(files.map(({ name, bytes }) => [name, bytes]));
	return {
		rule: "initramfs",
		action: "append-modules",
		path: addOn ?? kernel.initramfs.path,
		kernel: kernel.version,
		...(addOn !== undefined && { addOnTo: kernel.image }),
		modules: modules.map((name) => ({ name, bytes: sizes.get(name) ?? 0 })),
		bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
		why: `The initramfs of ${kernel.version} lacks drivers that ${whom(targets)} to find the root disk.`,
	};
}

function whom(targets: Planning["targets"]): string {
	const [only, ...others] = targets;
	return only && others.length === 0 ? `${only.title} needs` : "other hypervisors need";
}
