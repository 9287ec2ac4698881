import type { Hypervisor } from "./hypervisor.js";
import { kvm, kvmCards, kvmDevices } from "./kvm.js";

export const kubevirt: Hypervisor = {
	...kvm,
	id: "kubevirt",
	title: "KubeVirt",
	vendor: "Cloud Native Computing Foundation",
	devices: kvmDevices("virtio-blk", "virtio-scsi", "ahci", "virtio-net", "e1000e", "e1000", "rtl8139"),
	boot: { ...kvm.boot, fallback: ["ahci"] },
	cards: kvmCards({ keepMacs: true }),
};

export const openshift: Hypervisor = {
	...kubevirt,
	id: "openshift",
	title: "Red Hat OpenShift Virtualization",
	vendor: "Red Hat",
};

export const harvester: Hypervisor = {
	...kubevirt,
	id: "harvester",
	title: "SUSE Virtualization, Harvester",
	vendor: "SUSE",
};
