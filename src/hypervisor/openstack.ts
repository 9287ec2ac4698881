import type { Hypervisor } from "./hypervisor.js";
import { kvm, kvmCards, kvmDevices } from "./kvm.js";

export const openstack: Hypervisor = {
	...kvm,
	id: "openstack",
	title: "OpenStack",
	vendor: "OpenInfra Foundation",
	devices: kvmDevices("virtio-blk", "virtio-scsi", "ahci", "ide", "virtio-net", "e1000e", "e1000", "rtl8139"),
	cards: kvmCards({
		keepMacs: false,
		toKeepMacs:
			"Create a port for each network card with openstack port create --mac-address, and give it to the server.",
	}),
	notes: ["Taken to run on KVM, as nearly all of its clouds do."],
};
