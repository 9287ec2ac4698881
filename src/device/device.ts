/** What a device does for a guest. */
export type Role = "disk" | "network" | "video" | "input" | "console" | "balloon" | "channel" | "rng" | "bus";

/**
 * Where a device sits and what a guest reads there: exactly one modalias each, see `modaliasOf` in modalias.ts.
 * Ids are lower-case hex of fixed width, without `0x`.
 */
export type Address =
	| {
			readonly bus: "pci";
			/** Four hex digits, as the three below. */
			readonly vendor: string;
			readonly device: string;
			/** Absent: 0000, which is what a function without a subsystem reads. */
			readonly subvendor?: string;
			readonly subdevice?: string;
			/** Class, subclass, programming interface: six hex digits. */
			readonly class: string;
	  }
	| { readonly bus: "virtio" /** Device type of the virtio specification, decimal. */; readonly type: number }
	| { readonly bus: "vmbus" /** Class GUID as Microsoft writes it, lower case. */; readonly guid: string }
	| { readonly bus: "xen" /** `vbd`, `vif`, `vfb`, `vkbd`. */; readonly type: string }
	| { readonly bus: "acpi" /** The `_HID`, then the `_CID`s. */; readonly ids: readonly string[] }
	| { readonly bus: "dmi" /** SMBIOS type 1 strings. */; readonly vendor: string; readonly product: string };
