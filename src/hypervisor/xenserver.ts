import type { Hypervisor } from "./hypervisor.js";
import { xenDevices, xenEmulatedE1000, xenEmulatedIde, xenEmulatedRtl8139, xenPlaces } from "./xen.js";

export const xenserver: Hypervisor = {
	id: "xenserver",
	title: "XenServer, XCP-ng",
	vendor: "Citrix, Vates",
	family: "xen",
	arch: ["x86_64", "i686"],
	firmware: ["bios", "uefi"],
	devices: [
		...xenDevices,
		xenEmulatedIde,
		{
			id: "nvme",
			title: "NVMe controller, emulated",
			role: "disk",
			addresses: [{ bus: "pci", vendor: "8086", device: "5845", class: "010802", drivers: ["nvme"] }],
			traps: ["xen-unplug"],
			firmware: "uefi",
			verified: false,
			source:
				"XenServer device model profile qemu-upstream-uefi; its ids, and that it is unplugged like IDE, are assumed from QEMU 4.2 hw/block/nvme.c",
		},
		xenEmulatedRtl8139,
		{ ...xenEmulatedE1000, firmware: "uefi" },
		{
			id: "cirrus",
			title: "Cirrus Logic GD 5446",
			role: "video",
			addresses: [
				{
					bus: "pci",
					vendor: "1013",
					device: "00b8",
					subvendor: "5853",
					subdevice: "0001",
					class: "030000",
					drivers: ["cirrus", "cirrusfb"],
				},
			],
			verified: true,
			source: "Linux drivers/gpu/drm/tiny/cirrus.c; QEMU hw/display/cirrus_vga.c",
		},
		{
			id: "std-vga",
			title: "Standard VGA",
			role: "video",
			addresses: [{ bus: "pci", vendor: "1234", device: "1111", class: "030000", drivers: ["bochs", "bochs_drm"] }],
			verified: true,
			source: "Linux drivers/gpu/drm/tiny/bochs.c; QEMU hw/display/vga-pci.c",
		},
	],
	boot: { disk: ["vbd"], fallback: ["ide", "nvme"], network: ["vif", "rtl8139", "e1000"] },
	cards: {
		keepMacs: false,
		toKeepMacs: "Import it with xe vm-import preserve=true.",
		virtualization: "xen",
		places: xenPlaces,
	},
	limits: { nics: 7 },
	notes: [
		"Every disk is shown twice, emulated and as a vbd; a kernel that was built with xen_blkfront gives the emulated ones up at boot, even where xen_blkfront cannot be loaded.",
		"With UEFI at most 4 disks and 2 NICs are emulated.",
		"Windows Update can be offered drivers through a device of its own, 5853:c000 (XCP-ng: 5853:c200); Linux has no use for it.",
	],
};
