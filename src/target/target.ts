import type { OutputFolder } from "../bytes/sink.js";
import type { Disk } from "../disk/disk.js";
import type { Hypervisor } from "../hypervisor/hypervisor.js";
import type { Machine } from "../machine/machine.js";

/** A finished machine on its way out: its disks are prepared, the first one boots. */
export interface Appliance {
	readonly machine: Machine;
	/** Parallel to the machine's disks of kind `disk`. */
	readonly disks: readonly Disk[];
	/** Device models the package attaches, chosen by the verdict: {@link DeviceModel.id}. */
	readonly attach: { readonly disk: string; readonly network: string };
	readonly hypervisor: Hypervisor;
	/** What the machine's networks are called there, where a user said so. */
	readonly networks?: ReadonlyMap<string, string>;
	/** The machine's UUID and MACs are new. */
	readonly newIdentity?: boolean;
	/** Called with the machine as the package has it, before anything is written. */
	readonly onAttached?: (machine: Machine) => void;
	/** What `uname` would tell, for guest-type fields: os-release id, version and architecture. */
	readonly guest: { readonly system: string; readonly id: string; readonly version: string; readonly arch: string };
	/** What a platform without firmware starts; rejected where the guest's kernel is not such. */
	readonly kernel?: () => Promise<DirectBoot>;
	/** The same machine for the other hypervisors that the package serves, where it is one for several. */
	readonly together?: readonly Appliance[];
	/** Recorded in descriptors; seconds since 1970. Fixed by callers that want reproducible packages. */
	readonly now: number;
}

/** A kernel that is started without firmware or boot loader. */
export interface DirectBoot {
	/** An ELF file. */
	readonly kernel: Uint8Array;
	/** All archives that the boot loader would load, one after the other; absent where there is none. */
	readonly initramfs?: Uint8Array;
	readonly cmdline: string;
}

export interface LayoutOptions {
	/** 0 to 9 on zlib's scale. */
	readonly level?: number | undefined;
	/** Of an XVA's chunks; `xxhash` when left out. */
	readonly checksum?: "sha1" | "xxhash" | undefined;
	readonly onProgress?: (bytes: number) => void;
	readonly signal?: AbortSignal;
}

/** What lies in the folder that a user carries to a hypervisor. */
export interface Layout {
	/** `ova`, `vmx`, `xva`, `hyperv`, `libvirt`, `vhd`, … */
	readonly id: string;
	/** {@link Hypervisor.id}s it serves. */
	readonly hypervisors: readonly string[];
	/** Written only where its own id is asked for, not for its hypervisors: they have a package without it. */
	readonly onRequest?: { readonly title: string };
	/** What lies in the folder, in a line. */
	readonly summary: string;
	/** The platform's own way to import it, in a line. */
	readonly imported: string;
	/** Who, other than Anyvisor, judged what is written, and what nobody did; in a line. */
	readonly judged: string;
	/**
	 * Writes the files, IMPORT.md included; the caller commits the folder. Each disk is read once, in ascending order.
	 *
	 * @throws `unsupported` where the hypervisor cannot hold the machine: firmware, device models, sizes, counts.
	 */
	write(appliance: Appliance, folder: OutputFolder, options: LayoutOptions): Promise<void>;
}

/** A layout for one hypervisor. */
export interface PlacedLayout extends Layout {
	/** Name of the folder to write it into, unique among all hypervisors: `xenserver`, `vmware-ova`. */
	readonly folder: string;
}
