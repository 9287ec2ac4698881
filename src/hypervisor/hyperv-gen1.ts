import type { DeviceAddress, Hypervisor } from "./hypervisor.js";
import { vmbusDevices } from "./vmbus.js";

const root: DeviceAddress = { bus: "acpi", ids: ["VMBUS"], drivers: ["hv_vmbus"] };

export const hypervGen1: Hypervisor = {
	id: "hyperv-gen1",
	title: "Microsoft Hyper-V, generation 1",
	vendor: "Microsoft",
	family: "hyperv",
	arch: ["x86_64", "i686"],
	firmware: ["bios"],
	devices: [
		{
			id: "hyperv-ide",
			title: "Hyper-V IDE disk, accelerated",
			role: "disk",
			addresses: [root, { bus: "vmbus", guid: "32412632-86cb-44a2-9b5c-50d1417354f5", drivers: ["hv_storvsc"] }],
			needs: ["sd_mod"],
			verified: true,
			source: "Linux include/linux/hyperv.h, HV_IDE_GUID",
		},
		{
			id: "ide",
			title: "Intel PIIX4 IDE, emulated",
			role: "disk",
			addresses: [{ bus: "pci", vendor: "8086", device: "7111", class: "01018a", drivers: ["ata_piix"] }],
			needs: ["sd_mod"],
			traps: ["ata-piix-yields-to-storvsc"],
			verified: false,
			source: "Microsoft, Virtual Machine Specifications for Hyper-V: Intel 440BX chipset with PIIX4",
		},
		...vmbusDevices(root),
		{
			id: "tulip",
			title: "DEC 21140, legacy network adapter",
			role: "network",
			addresses: [{ bus: "pci", vendor: "1011", device: "0009", class: "020000", drivers: ["tulip"] }],
			verified: false,
			source: "Microsoft, Virtual Machine Specifications for Hyper-V: DEC 21140 Ethernet adapter",
		},
		{
			id: "vga",
			title: "Hyper-V VGA",
			role: "video",
			addresses: [
				{ bus: "pci", vendor: "1414", device: "5353", class: "030000", drivers: ["hyperv_drm", "hyperv_fb"] },
			],
			verified: true,
			source: "Linux drivers/gpu/drm/hyperv/hyperv_drm_drv.c, PCI_DEVICE_ID_HYPERV_VIDEO",
		},
	],
	boot: { disk: ["hyperv-ide"], fallback: ["ide"], network: ["netvsc", "tulip"] },
	cards: {
		keepMacs: true,
		virtualization: "microsoft",
		places: [
			{
				models: ["netvsc"],
				cards: Array.from({ length: 8 }, () => ({ on: "vmbus" })),
				verified: true,
				source:
					"systemd src/udev/udev-builtin-net_id.c knows no VMBus; Linux drivers/net/hyperv/netvsc_drv.c probes in order",
			},
		],
	},
	limits: { diskBytes: 64 * 2 ** 40 },
	notes: [
		"A kernel that was built with hv_storvsc does not use the emulated IDE disks, even where hv_storvsc cannot be loaded.",
		"A disk on the SCSI controller cannot be booted from.",
	],
};
