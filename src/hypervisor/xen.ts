import type { CardPlaces, DeviceAddress, DeviceModel } from "./hypervisor.js";

/**
 * Through this function a guest in an HVM finds Xen. Its driver xen_platform_pci is part of current kernels and bears no
 * module name there; the Xenbus front end, which has one, is configured along with it.
 */
const platform: DeviceAddress = {
	bus: "pci",
	vendor: "5853",
	device: "0001",
	subvendor: "5853",
	subdevice: "0001",
	class: "ff8000",
	drivers: ["xen_platform_pci", "platform_pci", "xenbus_probe_frontend"],
};

/** The paravirtualised devices of any Xen HVM guest. */
export const xenDevices: readonly DeviceModel[] = [
	{
		id: "vbd",
		title: "Xen virtual block device",
		role: "disk",
		addresses: [platform, { bus: "xen", type: "vbd", drivers: ["xen_blkfront"] }],
		verified: true,
		source: "Linux drivers/block/xen-blkfront.c",
	},
	{
		id: "vif",
		title: "Xen virtual network interface",
		role: "network",
		addresses: [platform, { bus: "xen", type: "vif", drivers: ["xen_netfront"] }],
		verified: true,
		source: "Linux drivers/net/xen-netfront.c",
	},
	{
		id: "xen-platform",
		title: "Xen platform device",
		role: "bus",
		addresses: [platform],
		verified: true,
		source: "Linux drivers/xen/platform-pci.c",
	},
];

/** Interfaces are named by the number of the vif, from naming scheme v250 on. */
export const xenPlaces: readonly CardPlaces[] = [
	{
		models: ["vif"],
		cards: [0, 1, 2, 3, 4, 5, 6].map((number) => ({ on: "xen", number })),
		verified: true,
		source: "systemd.net-naming-scheme(7), v250",
	},
];

/** What QEMU's i440fx machine emulates in a Xen HVM guest that boots by BIOS, until the guest unplugs it. */
export const xenEmulatedIde: DeviceModel = {
	id: "ide",
	title: "Intel PIIX3 IDE, emulated",
	role: "disk",
	addresses: [{ bus: "pci", vendor: "8086", device: "7010", class: "010180", drivers: ["ata_piix"] }],
	needs: ["sd_mod"],
	traps: ["xen-unplug"],
	firmware: "bios",
	verified: true,
	source: "XenServer device model profile qemu-upstream-compat; QEMU hw/ide/piix.c",
};

export const xenEmulatedRtl8139: DeviceModel = {
	id: "rtl8139",
	title: "Realtek RTL8139, emulated",
	role: "network",
	addresses: [{ bus: "pci", vendor: "10ec", device: "8139", class: "020000", drivers: ["8139cp", "8139too"] }],
	traps: ["xen-unplug"],
	firmware: "bios",
	verified: true,
	source: "XenServer device model profile qemu-upstream-compat; QEMU hw/net/rtl8139.c",
};

export const xenEmulatedE1000: DeviceModel = {
	id: "e1000",
	title: "Intel 82540EM, emulated",
	role: "network",
	addresses: [{ bus: "pci", vendor: "8086", device: "100e", class: "020000", drivers: ["e1000"] }],
	traps: ["xen-unplug"],
	verified: true,
	source: "XenServer device model profile qemu-upstream-uefi; QEMU hw/net/e1000.c",
};
