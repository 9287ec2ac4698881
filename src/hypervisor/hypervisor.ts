import type { Address, Role } from "../device/device.js";
import type { Firmware } from "../machine/machine.js";

/** A place that the guest must find a driver for, and what Linux calls that driver. */
export type DeviceAddress = Address & {
	/**
	 * Linux modules known to bind it, the best first. Which module binds is otherwise the guest's own alias tables' answer;
	 * this list decides where those cannot: kernels before 6.18 record no device aliases of built-in drivers, and an alias
	 * that matches by PCI class alone may belong to a driver that declines (ata_generic does). Absent: every match counts.
	 */
	readonly drivers?: readonly string[];
};

/** One device model that a hypervisor offers. */
export interface DeviceModel {
	/** The hypervisor's or QEMU's word for it, unique within its file: `pvscsi`, `vmxnet3`, `vbd`. */
	readonly id: string;
	readonly title: string;
	readonly role: Role;
	/**
	 * What the guest sees, from the bus down: every address must be driven for the device to work. A virtio disk is a
	 * PCI function first and a virtio device on it second.
	 */
	readonly addresses: readonly DeviceAddress[];
	/** Was it checked in the hypervisor's or the kernel's sources (true), or only read in documentation or assumed? */
	readonly verified: boolean;
	/** Where the fact comes from. */
	readonly source: string;
	/** Restricts the model to one firmware; absent: both. */
	readonly firmware?: Firmware;
	/** Traps that make the model unusable although its driver is present. */
	readonly traps?: readonly Trap[];
	/** Linux modules that stack on its driver and must be there too: `sd_mod` for disks that appear as SCSI disks. */
	readonly needs?: readonly string[];
}

/** Known ways in which a guest kernel turns away from a device that it has a driver for. */
export type Trap =
	/** ata_piix ignores its disks on Hyper-V when hv_storvsc was configured (module parameter prefer_ms_hyperv). */
	| "ata-piix-yields-to-storvsc"
	/** Emulated disks and NICs are unplugged when the Xen PV drivers were compiled, even as modules. */
	| "xen-unplug";

/**
 * {@link DeviceModel.id}s that a package attaches, in order of preference: the first one that the guest can drive is
 * used, and the first one that it could be prepared for is what preparing aims at.
 */
export interface Attachments {
	readonly disk: readonly string[];
	/**
	 * Emulated disks for guests that have no driver for any of {@link disk}: slow, or on their way out. A guest is not
	 * called ready for living on one of these while it could have better.
	 */
	readonly fallback?: readonly string[];
	readonly network: readonly string[];
}

/** Where a network card sits, as far as systemd names its interface by that. */
export type CardPlace =
	| {
			readonly on: "pci";
			/** `0000:01:00.0`; absent: not known. */
			readonly address?: string;
			/** Number of the hotplug slot at that address; absent: there is none. */
			readonly slot?: number;
			/** `_SUN` of ACPI, which counts from naming scheme v257 on; absent: not known. */
			readonly sun?: number;
			/** Firmware gives an onboard index that no board has: systemd before 231 took it at its word. */
			readonly oddIndex?: true;
	  }
	| { readonly on: "xen"; readonly number: number }
	/** Hyper-V's bus, by which systemd names nothing. */
	| { readonly on: "vmbus" };

/** Places of cards of some models. */
export interface CardPlaces {
	/** {@link DeviceModel.id}s of the cards. */
	readonly models: readonly string[];
	/** Only where the package's disk is of one of these models; absent: with any. */
	readonly disks?: readonly string[];
	/** By the card's number; nothing is known of cards beyond. */
	readonly cards: readonly CardPlace[];
	readonly verified: boolean;
	readonly source: string;
}

/** What a package makes of a machine's network cards, as far as the names of their interfaces hang on it. */
export interface Cards {
	/** They keep their MACs. */
	readonly keepMacs: boolean;
	/** How whoever imports the package makes them keep their MACs, where they do not by themselves: a sentence. */
	readonly toKeepMacs?: string;
	/** systemd's word for this hypervisor: https://www.freedesktop.org/software/systemd/man/latest/systemd-detect-virt.html */
	readonly virtualization?: string;
	/** The first that fits counts. */
	readonly places: readonly CardPlaces[];
}

/** A hypervisor as a guest sees it: data only. Published as JSON; users add their own. */
export interface Hypervisor {
	readonly id: string;
	readonly title: string;
	readonly vendor: string;
	/** Shared by variants: `hyperv` for `hyperv-gen1` and `hyperv-gen2`. */
	readonly family: string;
	/** Processors whose guests it runs, as {@link LinuxGuest.arch} names them. */
	readonly arch: readonly string[];
	/** Ways it can boot a guest, the preferred one first. */
	readonly firmware: readonly Firmware[];
	/** All models it offers, per role in order of preference. */
	readonly devices: readonly DeviceModel[];
	/** What the native package attaches. */
	readonly boot: Attachments;
	/** Other environments in which the same package must boot too: NxTop images are made on Hyper-V and run on Xen. */
	readonly also?: readonly Attachments[];
	/** Absent: nothing is known of where its cards sit, and they get new MACs. */
	readonly cards?: Cards;
	/** Hard limits: bytes and counts. */
	readonly limits: { readonly diskBytes?: number; readonly disks?: number; readonly nics?: number };
	/** Facts a user should know, one sentence each. */
	readonly notes: readonly string[];
}
