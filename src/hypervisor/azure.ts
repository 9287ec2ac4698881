import type { Firmware } from "../machine/machine.js";
import { hypervGen1 } from "./hyperv-gen1.js";
import { hypervGen2 } from "./hyperv-gen2.js";
import type { DeviceModel, Hypervisor } from "./hypervisor.js";

/** Both generations offer the same on a VMBus that ACPI names differently; the machine's firmware decides which it is. */
const generation =
	(prefix: string, firmware: Firmware) =>
	(device: DeviceModel): DeviceModel => ({ ...device, id: prefix + device.id, firmware });
const gen1 = hypervGen1.devices.filter(({ id }) => id !== "ide" && id !== "tulip").map(generation("gen1-", "bios"));
const gen2 = hypervGen2.devices.map(generation("", "uefi"));

export const azure: Hypervisor = {
	id: "azure",
	title: "Microsoft Azure",
	vendor: "Microsoft",
	family: "azure",
	arch: ["x86_64"],
	firmware: ["uefi", "bios"],
	devices: [
		...gen2,
		...gen1,
		{
			id: "mana",
			title: "Microsoft Azure Network Adapter, beside the one of Hyper-V",
			role: "network",
			addresses: [{ bus: "pci", vendor: "1414", device: "00ba", class: "020000", drivers: ["mana"] }],
			verified: true,
			source: "Linux drivers/net/ethernet/microsoft/mana/gdma_main.c, MANA_VF_DEVICE_ID",
		},
	],
	boot: { disk: ["hyperv-scsi", "gen1-hyperv-ide"], network: ["netvsc", "gen1-netvsc"] },
	cards: { keepMacs: false, virtualization: "microsoft", places: [] },
	// What a VHD holds.
	limits: { diskBytes: 2040 * 2 ** 30 },
	notes: [
		"A machine that boots by BIOS becomes one of generation 1, by UEFI one of generation 2.",
		"Sizes of machines that offer their disks by NVMe only are not judged here.",
		"Azure waits for its agent (waagent) or cloud-init in the guest to report; without either the machine runs, but its creation is shown as failed.",
	],
};
