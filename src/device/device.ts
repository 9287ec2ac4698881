/** What a device does for a guest. */
export type Role = "disk" | "network" | "video" | "input" | "console" | "balloon" | "channel" | "rng" | "bus";

/**
 * Where a device sits and what the guest reads there; each yields one modalias. Ids are lower-case hex without `0x`.
 * https://www.kernel.org/doc/html/latest/admin-guide/device-mapper/ has nothing on it: the strings are defined by
 * scripts/mod/file2alias.c and each bus's uevent function in the kernel.
 */
export type Address =
	| {
			readonly bus: "pci";
			readonly vendor: string;
			readonly device: string;
			readonly subvendor?: string;
			readonly subdevice?: string;
			/** Class, subclass, programming interface: six hex digits. */
			readonly class: string;
	  }
	| { readonly bus: "virtio" /** Device type, decimal number. */; readonly type: number }
	| { readonly bus: "vmbus" /** Class GUID as Microsoft writes it. */; readonly guid: string }
	| { readonly bus: "xen" /** `vbd`, `vif`, `vfb`, `vkbd`. */; readonly type: string }
	| { readonly bus: "acpi" /** Hardware and compatible ids, first the `_HID`. */; readonly ids: readonly string[] }
	| { readonly bus: "dmi"; readonly vendor: string; readonly product: string };
