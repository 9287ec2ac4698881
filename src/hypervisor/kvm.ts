import type { Role } from "../device/device.js";
import type { Cards, DeviceModel, Hypervisor } from "./hypervisor.js";

/** A virtio device on PCI with the id of virtio 1; a transitional function (1000 to 103f) binds alike. */
function virtio(
	id: string,
	role: Role,
	title: string,
	type: number,
	pciClass: string,
	drivers: readonly string[],
): DeviceModel {
	const device = (0x1040 + type).toString(16);
	return {
		id,
		title,
		role,
		addresses: [
			{
				bus: "pci",
				vendor: "1af4",
				device,
				subvendor: "1af4",
				subdevice: "1100",
				class: pciClass,
				drivers: ["virtio_pci"],
			},
			{ bus: "virtio", type, drivers },
		],
		...(id === "virtio-scsi" ? { needs: ["sd_mod"] } : {}),
		verified: true,
		source: `Linux include/uapi/linux/virtio_ids.h (${type}), drivers/virtio/virtio_pci_common.c; QEMU hw/virtio`,
	};
}

const nics = ["virtio-net", "e1000e", "e1000", "rtl8139"];

export const kvm: Hypervisor = {
	id: "kvm",
	title: "KVM: QEMU, libvirt, Proxmox VE, oVirt, KubeVirt, Nutanix AHV",
	vendor: "open source",
	family: "kvm",
	arch: ["x86_64", "i686"],
	firmware: ["bios", "uefi"],
	devices: [
		virtio("virtio-blk", "disk", "virtio block device", 2, "010000", ["virtio_blk"]),
		virtio("virtio-scsi", "disk", "virtio SCSI controller", 8, "010000", ["virtio_scsi"]),
		{
			id: "ahci",
			title: "Intel ICH9 SATA AHCI",
			role: "disk",
			addresses: [{ bus: "pci", vendor: "8086", device: "2922", class: "010601", drivers: ["ahci"] }],
			needs: ["sd_mod"],
			verified: true,
			source: "QEMU hw/ide/ich.c",
		},
		{
			id: "ide",
			title: "Intel PIIX3 IDE",
			role: "disk",
			addresses: [{ bus: "pci", vendor: "8086", device: "7010", class: "010180", drivers: ["ata_piix"] }],
			needs: ["sd_mod"],
			verified: true,
			source: "QEMU hw/ide/piix.c",
		},
		{
			id: "nvme",
			title: "QEMU NVMe controller",
			role: "disk",
			addresses: [{ bus: "pci", vendor: "1b36", device: "0010", class: "010802", drivers: ["nvme"] }],
			verified: true,
			source: "QEMU hw/nvme/ctrl.c",
		},
		virtio("virtio-net", "network", "virtio network device", 1, "020000", ["virtio_net"]),
		{
			id: "e1000e",
			title: "Intel 82574L",
			role: "network",
			addresses: [{ bus: "pci", vendor: "8086", device: "10d3", class: "020000", drivers: ["e1000e"] }],
			verified: true,
			source: "QEMU hw/net/e1000e.c",
		},
		{
			id: "e1000",
			title: "Intel 82540EM",
			role: "network",
			addresses: [{ bus: "pci", vendor: "8086", device: "100e", class: "020000", drivers: ["e1000"] }],
			verified: true,
			source: "QEMU hw/net/e1000.c",
		},
		{
			id: "rtl8139",
			title: "Realtek RTL8139",
			role: "network",
			addresses: [{ bus: "pci", vendor: "10ec", device: "8139", class: "020000", drivers: ["8139cp", "8139too"] }],
			verified: true,
			source: "QEMU hw/net/rtl8139.c",
		},
		virtio("virtio-gpu", "video", "virtio GPU", 16, "030000", ["virtio_gpu"]),
		{
			id: "std-vga",
			title: "Standard VGA",
			role: "video",
			addresses: [{ bus: "pci", vendor: "1234", device: "1111", class: "030000", drivers: ["bochs", "bochs_drm"] }],
			verified: true,
			source: "QEMU hw/display/vga-pci.c; Linux drivers/gpu/drm/tiny/bochs.c",
		},
		{
			id: "qxl",
			title: "QXL",
			role: "video",
			addresses: [{ bus: "pci", vendor: "1b36", device: "0100", class: "030000", drivers: ["qxl"] }],
			verified: true,
			source: "QEMU hw/display/qxl.c; Linux drivers/gpu/drm/qxl/qxl_drv.c",
		},
		virtio("virtio-console", "console", "virtio console and serial ports", 3, "078000", ["virtio_console"]),
		virtio("virtio-rng", "rng", "virtio entropy source", 4, "00ff00", ["virtio_rng"]),
		virtio("virtio-balloon", "balloon", "virtio memory balloon", 5, "00ff00", ["virtio_balloon"]),
		virtio("virtio-vsock", "channel", "virtio socket", 19, "078000", ["vmw_vsock_virtio_transport"]),
		{
			id: "pvpanic",
			title: "QEMU pvpanic",
			role: "channel",
			addresses: [{ bus: "pci", vendor: "1b36", device: "0011", class: "088000", drivers: ["pvpanic_pci"] }],
			verified: true,
			source: "QEMU hw/misc/pvpanic-pci.c; Linux drivers/misc/pvpanic/pvpanic-pci.c",
		},
	],
	boot: {
		disk: ["virtio-blk", "virtio-scsi"],
		fallback: ["ahci", "ide"],
		network: nics,
	},
	cards: {
		keepMacs: true,
		virtualization: "kvm",
		places: [
			{
				models: nics,
				disks: ["ide"],
				cards: [3, 4, 5, 6].map((device) => ({ on: "pci", address: `0000:00:0${device}.0`, slot: device })),
				verified: true,
				source: "libvirt gives interfaces the first free slots of pci.0; QEMU hw/acpi/pcihp.c numbers slots by device",
			},
			{
				models: nics,
				cards: [1, 2, 3, 4, 5, 6, 7, 8].map((bus) => ({ on: "pci", address: `0000:0${bus}:00.0` })),
				verified: true,
				source: "libvirt gives interfaces the first root ports of q35, whose slots have the number 0",
			},
		],
	},
	limits: {},
	notes: [],
};

/** The models of {@link kvm} that a platform built on it offers, by id. */
export const kvmDevices = (...ids: readonly string[]): readonly DeviceModel[] =>
	kvm.devices.filter(({ id }) => ids.includes(id));

/** Cards of a platform built on KVM, of which it is not known where they sit. */
export const kvmCards = (keeping: Pick<Cards, "keepMacs" | "toKeepMacs">): Cards => ({
	...keeping,
	virtualization: "kvm",
	places: [],
});
