import type { GuestTree } from "../filesystem/tree.js";
import type { Initramfs, LinuxKernel } from "../guest/guest.js";
import { attempt } from "../guest/linux/attempt.js";
import { openInitramfs } from "../guest/linux/kernels.js";

type Other = NonNullable<LinuxKernel["otherInitramfs"]>[number];

/** A rescue image is large: it is read for the first plan that needs it, and not again. */
const read = new WeakMap<Other, Promise<Initramfs | undefined>>();

/** The kernel's own initramfs first; the others only where that is asked for. */
export async function* initramfsOf(tree: GuestTree, kernel: LinuxKernel): AsyncGenerator<Initramfs, void> {
	if (kernel.initramfs) yield kernel.initramfs;
	for (const other of kernel.otherInitramfs ?? []) {
		const open = () => openInitramfs(tree, [...other.before, other.path], kernel.version);
		// One that cannot be read is left as it is.
		const opened = read.get(other) ?? attempt([], open);
		read.set(other, opened);
		const initramfs = await opened;
		if (initramfs) yield initramfs;
	}
}
