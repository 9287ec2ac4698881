import type { Role } from "../device/device.js";

/** Where a driver is, best first. */
export type DriverState = "builtin" | "initramfs" | "installed" | "absent";

export interface DeviceVerdict {
	readonly role: Role;
	/** {@link DeviceModel.id} */
	readonly device: string;
	/** The module that binds the device itself (the last address); null when the guest has none. */
	readonly driver: string | null;
	/** The worst state among all drivers that the device needs. */
	readonly state: DriverState;
	/** Will it work as the guest is: disk drivers must be built in or in the initramfs, others at least installed. */
	readonly works: boolean;
	/** Modules that would have to enter the initramfs for it to work, dependencies included; empty when it works. */
	readonly missing: readonly string[];
	/** Rests on a fact nobody has verified. */
	readonly verified: boolean;
	/** Attached by the package that `expand` writes. */
	readonly chosen: boolean;
	/** Why it does not work although drivers are present, where so. */
	readonly note?: string;
}

export interface Verdict {
	readonly hypervisor: string;
	readonly title: string;
	/** `ready`: boots with disk and network as it is. `fixable`: will after preparing. `blocked`: cannot. */
	readonly verdict: "ready" | "fixable" | "blocked";
	readonly devices: readonly DeviceVerdict[];
	/** Sentences a person understands, the decisive one first. */
	readonly reasons: readonly string[];
}
