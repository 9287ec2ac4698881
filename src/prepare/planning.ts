import type { GuestTree } from "../filesystem/tree.js";
import type { LinuxGuest } from "../guest/guest.js";
import type { Hypervisor } from "../hypervisor/hypervisor.js";
import type { MachineNic } from "../machine/machine.js";

/** What a rule looks at. */
export interface Planning {
	readonly guest: LinuxGuest;
	readonly tree: GuestTree;
	/** The machine's network cards. */
	readonly nics: readonly MachineNic[];
	/** The same as they will be there, where they get new MACs. */
	readonly nicsOn?: (hypervisor: Hypervisor) => readonly MachineNic[];
	/** Hypervisors that the guest shall run on. */
	readonly targets: readonly Hypervisor[];
	/**
	 * Name that does not depend on the disk's controller, such as `UUID=…`, for a `/dev/sdX1`; `undefined`: no such volume,
	 * or none by which a kernel finds it without an initramfs, where it has to (`PARTUUID=…`).
	 */
	readonly stableName: (device: string, byKernel?: boolean) => string | undefined;
}
