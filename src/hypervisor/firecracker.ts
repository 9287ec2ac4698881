import type { DeviceModel, Hypervisor } from "./hypervisor.js";
import { kvmCards, kvmDevices } from "./kvm.js";

/** Firecracker shows virtio's devices on a bus of its own, found by ACPI. */
const onMmio = kvmDevices("virtio-blk", "virtio-net").map((device): DeviceModel => {
	const { id, title, role, addresses } = device;
	const virtio = addresses.filter(({ bus }) => bus === "virtio");
	return {
		id,
		title,
		role,
		addresses: [{ bus: "acpi", ids: ["LNRO0005"], drivers: ["virtio_mmio"] }, ...virtio],
		verified: false,
		source: "Linux drivers/virtio/virtio_mmio.c, LNRO0005; that Firecracker from 1.7 on says so was not verified",
	};
});

export const firecracker: Hypervisor = {
	id: "firecracker",
	title: "Firecracker",
	vendor: "Amazon",
	family: "firecracker",
	arch: ["x86_64"],
	// It has neither, and starts the kernel itself.
	firmware: ["bios", "uefi"],
	devices: onMmio,
	boot: { disk: ["virtio-blk"], network: ["virtio-net"] },
	cards: kvmCards({ keepMacs: true }),
	limits: {},
	notes: [
		"It starts the kernel that lies beside the disks: after an update of the guest's kernel, expand anew.",
		"What the guest says is on its first serial port.",
		"Versions before 1.7 do not use ACPI: there the guest's kernel must take its devices from the command line (CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES).",
	],
};
