import type { Role } from "../device/device.js";

/** Where a driver is, best first. */
export type DriverState = "builtin" | "initramfs" | "installed" | "absent";

export interface DeviceVerdict {
	readonly role: Role;
	/** {@link DeviceModel.id} */
	readonly device: string;
	/** The module that binds the device itself (the last address); null when the guest has none. */
	readonly driver: string | null;
	/** The worst state among all drivers that the device needs; for a disk, those of the root file system included. */
	readonly state: DriverState;
	/**
	 * Will it work as the guest is: disk drivers must be built in or in the initramfs, others at least installed, and no
	 * {@link note} may stand against it.
	 */
	readonly works: boolean;
	/**
	 * Modules that have to enter the initramfs for it to work, in load order and dependencies included. Empty when it
	 * works, when a driver is absent, and for other roles than `disk`.
	 */
	readonly missing: readonly string[];
	/** False where it rests on a fact that nobody has verified. */
	readonly verified: boolean;
	/** Attached by the package that `expand` writes. */
	readonly chosen: boolean;
	/** Why it does not work although drivers are present, where so: one sentence. */
	readonly note?: string;
}

export interface Verdict {
	/** {@link Hypervisor.id} */
	readonly hypervisor: string;
	readonly title: string;
	/**
	 * `ready`: boots from its disk as it is. `fixable`: will after preparing. `blocked`: cannot. The network does not
	 * decide: a guest without a driver for any NIC boots all the same, and the reasons say that it is without network.
	 */
	readonly verdict: "ready" | "fixable" | "blocked";
	/** Every model that the hypervisor offers under the firmware it would boot the guest with. */
	readonly devices: readonly DeviceVerdict[];
	/** Sentences a person understands, the decisive one first. */
	readonly reasons: readonly string[];
}

/** What becomes on one hypervisor of an interface that the guest configures. */
export interface InterfaceVerdict {
	/** As the configuration has it: a name, patterns of names, or a MAC. */
	readonly interface: string;
	/** Where it is configured. */
	readonly files: readonly string[];
	readonly method: "dhcp" | "static" | "unknown";
	readonly addresses: readonly string[];
	/** Number of its card in the machine, from 0; null where there is none, or where that is not known. */
	readonly card: number | null;
	/** The name that it gets there; null where that is not known. */
	readonly name: string | null;
	/**
	 * `kept`: its configuration applies. `renamed`: it does not, as the interface is called otherwise. `unknown`: nobody can
	 * say. `mac`: it does not, as the card gets another MAC. `no-card`: the machine has no card for it.
	 */
	readonly state: "kept" | "renamed" | "unknown" | "mac" | "no-card";
	/** Why it is not known, half a sentence. */
	readonly why?: string;
}
