import type { Hypervisor } from "./hypervisor.js";
import { kvm, kvmCards, kvmDevices } from "./kvm.js";

export const utm: Hypervisor = {
	...kvm,
	id: "utm",
	title: "UTM on macOS",
	vendor: "Turing Software",
	devices: kvmDevices("virtio-blk", "nvme", "ahci", "ide", "virtio-net", "e1000e", "e1000", "rtl8139", "virtio-gpu"),
	boot: { ...kvm.boot, disk: ["virtio-blk", "nvme"] },
	cards: { ...kvmCards({ keepMacs: true }), virtualization: "qemu" },
	notes: ["On a Mac with Apple silicon the guest's processor is emulated, which is slow."],
};
