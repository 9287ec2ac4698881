import type { LinuxGuest, LinuxKernel } from "../guest/guest.js";
import type { Hypervisor } from "../hypervisor/hypervisor.js";
import { closure } from "./closure.js";
import { judgeDevice, rootFilesystemOf } from "./judge-device.js";
import { driversOf } from "./kernel-drivers.js";

/**
 * Modules that the kernel's initramfs lacks for the guest to find its root disk on each of the hypervisors, whichever of
 * the disk models in {@link Hypervisor.boot} is attached, and for a keyboard to work there. In load order, dependencies
 * included; what the kernel has no file for is left out. Network drivers only have to be installed. Empty where there is
 * no initramfs to add to.
 */
export function modulesToAdd(guest: LinuxGuest, kernel: LinuxKernel, hypervisors: readonly Hypervisor[]): string[] {
	if (kernel.initramfs === undefined) return [];
	const lookup = driversOf(kernel);
	const root = rootFilesystemOf(guest);
	const wanted = new Set<string>();
	for (const { devices, boot, also = [] } of hypervisors) {
		const disks = new Set([boot, ...also].flatMap(({ disk }) => disk));
		for (const model of devices) {
			if (!disks.has(model.id) && model.role !== "input") continue;
			const { verdict, drivers } = judgeDevice(model, kernel, lookup, root);
			const modules = model.role === "disk" || verdict.state === "absent" ? verdict.missing : lookup.lacking(drivers);
			for (const module of modules) wanted.add(module);
		}
	}
	return closure([...wanted], kernel.modules).order.filter((module) => wanted.has(module));
}
