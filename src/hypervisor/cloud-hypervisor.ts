import type { Hypervisor } from "./hypervisor.js";
import { kvm, kvmCards, kvmDevices } from "./kvm.js";

export const cloudHypervisor: Hypervisor = {
	...kvm,
	id: "cloud-hypervisor",
	title: "Cloud Hypervisor",
	vendor: "Linux Foundation",
	arch: ["x86_64"],
	firmware: ["uefi"],
	devices: kvmDevices("virtio-blk", "virtio-net", "virtio-console", "virtio-rng", "virtio-balloon"),
	boot: { disk: ["virtio-blk"], network: ["virtio-net"] },
	cards: kvmCards({ keepMacs: true }),
	notes: [
		"It has no VGA: what the guest says is on its first serial port, where its kernel must write to (--with console).",
	],
};
