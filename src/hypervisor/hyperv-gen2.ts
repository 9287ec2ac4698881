import { hypervGen1 } from "./hyperv-gen1.js";
import type { Hypervisor } from "./hypervisor.js";
import { vmbusDevices } from "./vmbus.js";

/** Generation 2 is generation 1 without anything emulated. */
export const hypervGen2: Hypervisor = {
	...hypervGen1,
	id: "hyperv-gen2",
	title: "Microsoft Hyper-V, generation 2",
	arch: ["x86_64"],
	firmware: ["uefi"],
	// The ids are those of the DSDT in Microsoft's OpenVMM, vm/loader.
	devices: vmbusDevices({ bus: "acpi", ids: ["MSFT1000", "VMBus"], drivers: ["hv_vmbus"] }),
	boot: { disk: ["hyperv-scsi"], network: ["netvsc"] },
	notes: [
		"Needs a VHDX disk.",
		"Secure Boot is on by default, and Linux needs its template \u201cMicrosoft UEFI Certificate Authority\u201d.",
	],
};
