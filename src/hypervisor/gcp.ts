import type { Hypervisor } from "./hypervisor.js";

const legacyVirtio =
	"Linux drivers/virtio/virtio_pci_common.c binds any 1af4; that Google shows these was not verified";

export const gcp: Hypervisor = {
	id: "gcp",
	title: "Google Cloud, Compute Engine",
	vendor: "Google",
	family: "gcp",
	arch: ["x86_64"],
	firmware: ["uefi", "bios"],
	devices: [
		{
			id: "virtio-scsi",
			title: "virtio SCSI controller of a persistent disk",
			role: "disk",
			addresses: [
				{ bus: "pci", vendor: "1af4", device: "1004", class: "000000", drivers: ["virtio_pci"] },
				{ bus: "virtio", type: 8, drivers: ["virtio_scsi"] },
			],
			needs: ["sd_mod"],
			verified: false,
			source: legacyVirtio,
		},
		{
			id: "nvme",
			title: "Google persistent disk, by NVMe",
			role: "disk",
			addresses: [{ bus: "pci", vendor: "1ae0", device: "001f", class: "010802", drivers: ["nvme"] }],
			verified: true,
			source: "Linux drivers/nvme/host/pci.c, bound by class",
		},
		{
			id: "virtio-net",
			title: "virtio network device",
			role: "network",
			addresses: [
				{ bus: "pci", vendor: "1af4", device: "1000", class: "020000", drivers: ["virtio_pci"] },
				{ bus: "virtio", type: 1, drivers: ["virtio_net"] },
			],
			verified: false,
			source: legacyVirtio,
		},
		{
			id: "gvnic",
			title: "Google Virtual NIC (gVNIC)",
			role: "network",
			addresses: [{ bus: "pci", vendor: "1ae0", device: "0042", class: "020000", drivers: ["gve"] }],
			verified: true,
			source: "Linux drivers/net/ethernet/google/gve/gve.h, PCI_DEV_ID_GVNIC",
		},
	],
	boot: { disk: ["virtio-scsi", "nvme"], network: ["virtio-net", "gvnic"] },
	cards: { keepMacs: false, virtualization: "google", places: [] },
	limits: {},
	notes: ["Series of machines from the third generation on (C3, M3, N4 and later) have NVMe disks and gVNIC only."],
};
