import type { Hypervisor } from "./hypervisor.js";
import { kvm, kvmCards, kvmDevices } from "./kvm.js";

export const ovirt: Hypervisor = {
	...kvm,
	id: "ovirt",
	title: "oVirt, Oracle Linux Virtualization Manager",
	vendor: "open source",
	devices: kvmDevices("virtio-blk", "virtio-scsi", "ahci", "virtio-net", "e1000", "rtl8139"),
	boot: { disk: ["virtio-scsi", "virtio-blk"], fallback: ["ahci"], network: ["virtio-net", "e1000", "rtl8139"] },
	cards: kvmCards({
		keepMacs: false,
		toKeepMacs: "Enter the original MAC address at each network card of the machine.",
	}),
};
