import type { Hypervisor } from "./hypervisor.js";
import { kvm, kvmCards, kvmDevices } from "./kvm.js";

export const nutanix: Hypervisor = {
	...kvm,
	id: "nutanix",
	title: "Nutanix AHV",
	vendor: "Nutanix",
	devices: kvmDevices("virtio-scsi", "ahci", "ide", "virtio-net", "e1000"),
	boot: { disk: ["virtio-scsi"], fallback: ["ahci", "ide"], network: ["virtio-net", "e1000"] },
	cards: kvmCards({ keepMacs: true }),
};
