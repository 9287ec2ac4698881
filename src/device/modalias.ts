import type { Address } from "./device.js";

/**
 * The `MODALIAS` a Linux kernel announces for the device. The formats are each bus's own:
 *
 * | bus | kernel source |
 * | --- | --- |
 * | pci | `pci_uevent`, drivers/pci/pci-driver.c |
 * | virtio | `virtio_uevent`, drivers/virtio/virtio.c |
 * | vmbus | `vmbus_uevent`, drivers/hv/vmbus_drv.c |
 * | xen | `xenbus_uevent_frontend`, drivers/xen/xenbus/xenbus_probe_frontend.c |
 * | acpi | `create_modalias`, drivers/acpi/device_sysfs.c |
 * | dmi | `get_modalias`, drivers/firmware/dmi-id.c |
 *
 * The patterns they are matched with come from scripts/mod/file2alias.c.
 */
export function modaliasOf(address: Address): string {
	switch (address.bus) {
		case "pci": {
			const { vendor, device, subvendor = "0000", subdevice = "0000" } = address;
			const ids = `v${hex(vendor, 8)}d${hex(device, 8)}sv${hex(subvendor, 8)}sd${hex(subdevice, 8)}`;
			const [base, sub, programming] = [0, 2, 4].map((at) => hex(address.class.slice(at, at + 2), 2));
			return `pci:${ids}bc${base}sc${sub}i${programming}`;
		}
		case "virtio":
			return `virtio:d${hex(address.type.toString(16), 8)}v${VIRTIO_VENDOR}`;
		case "vmbus":
			return `vmbus:${guidInMemory(address.guid)}`;
		case "xen":
			return `xen:${address.type}`;
		case "acpi":
			return `acpi:${address.ids.map((id) => `${id}:`).join("")}`;
		case "dmi":
			// The fields before and after the two are present on every machine; here they are empty.
			return `dmi:bvn:bvr:bd:svn${dmiText(address.vendor)}:pn${dmiText(address.product)}:pvr:`;
		default:
			return address satisfies never;
	}
}

/** virtio-pci hands on its subsystem vendor, which is Red Hat's 1AF4 unless a hypervisor chose otherwise. */
const VIRTIO_VENDOR = "00001AF4";

function hex(digits: string, width: number): string {
	return digits.toUpperCase().padStart(width, "0");
}

/** A GUID's first three fields are little-endian in memory, and the kernel prints the bytes as they lie there. */
function guidInMemory(guid: string): string {
	return guid
		.toLowerCase()
		.split("-")
		.map((field, position) => (position < 3 ? (field.match(/../g) ?? []).reverse().join("") : field))
		.join("");
}

/** The kernel leaves out blanks, colons and everything outside printable ASCII (`ascii_filter`). */
function dmiText(text: string): string {
	return text.replace(/[^\x21-\x39\x3b-\x7e]/g, "");
}
