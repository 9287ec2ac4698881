export type Firmware = "bios" | "uefi";

/** Controller models by the name the field knows them by. */
export type ControllerModel =
	| "ide"
	| "ahci"
	| "nvme"
	| "pvscsi"
	| "lsilogic"
	| "lsisas1068"
	| "buslogic"
	| "virtio-blk"
	| "virtio-scsi"
	| "xen-vbd"
	| "hyperv-ide"
	| "hyperv-scsi"
	| "unknown";

export interface Controller {
	/** Unique within the machine. */
	readonly id: string;
	readonly model: ControllerModel;
	/** Bus number among controllers of its kind, from 0. */
	readonly index: number;
}

export interface MachineDisk {
	/** Unique within the machine. */
	readonly id: string;
	/** File or member that holds it, relative to the descriptor; absent for an empty drive. */
	readonly file?: string;
	/** Virtual size in bytes where the descriptor says it. */
	readonly capacity?: number;
	/** {@link Controller.id}; absent where the descriptor does not say. */
	readonly controller?: string;
	/** Position on the controller, from 0. */
	readonly unit?: number;
	readonly kind: "disk" | "cdrom" | "floppy";
}

export interface MachineNic {
	/** `e1000`, `e1000e`, `vmxnet3`, `virtio-net`, `rtl8139`, `pcnet32`, `tulip`, `netvsc`, `xen-vif`, or the descriptor's own word. */
	readonly model: string;
	/** Lower case with colons. */
	readonly mac?: string;
	readonly network?: string;
}

/** What an appliance says it is, and what it asks of whoever deploys it: a ProductSection of OVF. */
export interface Product {
	/** Makes keys of properties unique, as in `org.example.app`. */
	readonly class?: string;
	readonly instance?: string;
	readonly product?: string;
	readonly vendor?: string;
	readonly version?: string;
	readonly fullVersion?: string;
	readonly productUrl?: string;
	readonly vendorUrl?: string;
	readonly appUrl?: string;
	readonly properties: readonly ProductProperty[];
}

export interface ProductProperty {
	readonly key: string;
	/** In OVF's words: `string`, `uint16`, `boolean`, … */
	readonly type: string;
	/** As in `MinLen(1), MaxLen(64)`. */
	readonly qualifiers?: string;
	/** What it is where nobody sets it. */
	readonly value?: string;
	readonly userConfigurable?: true;
	readonly password?: true;
	readonly label?: string;
	readonly description?: string;
	readonly category?: string;
}

/** A virtual machine as a descriptor tells it: plain JSON data. */
export interface Machine {
	readonly name: string;
	readonly description?: string;
	/** What the firmware tells the guest (SMBIOS), in lower case; licences and cloud-init go by it. */
	readonly uuid?: string;
	/** `x86_64`, `aarch64`, … */
	readonly arch: string;
	readonly firmware: Firmware;
	readonly secureBoot: boolean;
	/** Version of the virtual TPM, where there is one. What it holds never leaves its host. */
	readonly tpm?: "1.2" | "2.0";
	readonly cpus: number;
	/** Bytes. */
	readonly memory: number;
	readonly controllers: readonly Controller[];
	/** In boot order, then in the descriptor's order. */
	readonly disks: readonly MachineDisk[];
	readonly nics: readonly MachineNic[];
	readonly products?: readonly Product[];
	/** Texts that whoever deploys it has to agree to. */
	readonly eulas?: readonly string[];
	/** How properties reach the guest: `iso`, `com.vmware.guestInfo`. */
	readonly propertyTransport?: readonly string[];
	/** Where the descriptor came from: a {@link MachineFormat} id, or `inferred` from a bare disk. */
	readonly origin: string;
	/** What the descriptor says and this shape cannot; one sentence each. */
	readonly lost: readonly string[];
}

/** A descriptor file, read whole (it is at most a few MiB). */
export interface DescriptorFile {
	readonly name: string;
	readonly bytes: Uint8Array;
}

/** Parts of a machine that only some formats can say. */
export type Extra = "product" | "tpm" | "secure-boot" | "floppy";

export interface ReadOptions {
	/** Which machine of a descriptor of several, by its id. Only OVF has such. */
	readonly system?: string | undefined;
}

export interface MachineFormat {
	readonly id: string;
	/** Recognises by content. */
	matches(file: DescriptorFile): boolean;
	read(file: DescriptorFile, options?: ReadOptions): Promise<Machine>;
	/** The descriptor's text. `machine.disks[].file` are the names the disks have beside it. */
	write?(machine: Machine): string;
	/** What it has a place for beyond hardware. */
	readonly says?: readonly Extra[];
	/** Models that can be written. */
	readonly takes?: {
		readonly controllers: readonly ControllerModel[];
		readonly nics: readonly string[];
		/** Of these controllers, those that no machine with Secure Boot has. */
		readonly withoutSecureBoot?: readonly ControllerModel[];
	};
}
