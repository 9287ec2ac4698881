import type { Hypervisor } from "./hypervisor.js";
import { kvm, kvmCards, kvmDevices } from "./kvm.js";

export const cloudstack: Hypervisor = {
	...kvm,
	id: "cloudstack",
	title: "Apache CloudStack",
	vendor: "Apache Software Foundation",
	devices: kvmDevices("virtio-blk", "virtio-scsi", "ide", "virtio-net", "e1000", "rtl8139"),
	boot: { disk: ["virtio-blk", "virtio-scsi"], fallback: ["ide"], network: ["virtio-net", "e1000", "rtl8139"] },
	cards: kvmCards({ keepMacs: false }),
	notes: ["This is for its zones of KVM hosts; those of VMware and XenServer hosts take what these take."],
};
