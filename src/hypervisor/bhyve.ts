import type { DeviceModel, Hypervisor } from "./hypervisor.js";
import { kvmCards, kvmDevices } from "./kvm.js";

/** Virtio's devices are the same on PCI, whoever emulates them. */
const virtio = kvmDevices("virtio-blk", "virtio-net").map((device): DeviceModel => {
	const { id, title, role, addresses } = device;
	return { id, title, role, addresses, verified: false, source: `bhyve(8), ${id}; addresses as in QEMU` };
});

export const bhyve: Hypervisor = {
	id: "bhyve",
	title: "FreeBSD bhyve",
	vendor: "FreeBSD",
	family: "bhyve",
	arch: ["x86_64"],
	firmware: ["uefi"],
	devices: [
		...virtio,
		{
			id: "ahci",
			title: "Intel ICH8 SATA AHCI",
			role: "disk",
			addresses: [{ bus: "pci", vendor: "8086", device: "2821", class: "010601", drivers: ["ahci"] }],
			needs: ["sd_mod"],
			verified: false,
			source: "bhyve(8), ahci-hd",
		},
		{
			id: "nvme",
			title: "NVMe controller",
			role: "disk",
			addresses: [{ bus: "pci", vendor: "fb5d", device: "0a0a", class: "010802", drivers: ["nvme"] }],
			verified: false,
			source: "bhyve(8), nvme; bound by class",
		},
		{
			id: "e1000",
			title: "Intel 82545EM",
			role: "network",
			addresses: [{ bus: "pci", vendor: "8086", device: "100f", class: "020000", drivers: ["e1000"] }],
			verified: false,
			source: "bhyve(8), e1000",
		},
	],
	boot: { disk: ["virtio-blk", "nvme"], fallback: ["ahci"], network: ["virtio-net", "e1000"] },
	cards: { ...kvmCards({ keepMacs: true }), virtualization: "bhyve" },
	limits: {},
	notes: ["It boots by UEFI only here: guests that boot by BIOS need grub-bhyve and a menu of its own."],
};
