import { canBeAppendedTo } from "../../driver/judge-device.js";
import { modulesToAdd } from "../../driver/modules-to-add.js";
import type { AppendModules } from "../change.js";
import { overlayFiles } from "../overlay-archive.js";
import type { Planning } from "../planning.js";

/** Every installed kernel gets the drivers of every target, so that falling back to an older kernel works as well. */
export async function planInitramfs({ guest, tree, targets }: Planning): Promise<AppendModules[]> {
	const changes: AppendModules[] = [];
	for (const kernel of guest.kernels) {
		if (!kernel.initramfs || !canBeAppendedTo(kernel)) continue;
		const modules = modulesToAdd(guest, kernel, targets);
		if (modules.length === 0) continue;
		const { bytes } = await overlayFiles(tree, kernel, kernel.initramfs, modules);
		changes.push({
			rule: "initramfs",
			action: "append-modules",
			path: kernel.initramfs.path,
			kernel: kernel.version,
			modules,
			bytes,
			why: `The initramfs of ${kernel.version} lacks drivers that ${whom(targets)} to find the root disk.`,
		});
	}
	return changes;
}

function whom(targets: Planning["targets"]): string {
	const [only, ...others] = targets;
	return only && others.length === 0 ? `${only.title} needs` : "other hypervisors need";
}
