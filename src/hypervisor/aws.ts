import type { Hypervisor } from "./hypervisor.js";

export const aws: Hypervisor = {
	id: "aws",
	title: "Amazon Web Services, EC2 instances on Nitro",
	vendor: "Amazon",
	family: "aws",
	arch: ["x86_64", "i686"],
	firmware: ["bios", "uefi"],
	devices: [
		{
			id: "nvme",
			title: "Amazon EBS volume, by NVMe",
			role: "disk",
			addresses: [{ bus: "pci", vendor: "1d0f", device: "8061", class: "010802", drivers: ["nvme"] }],
			verified: true,
			source: "Linux drivers/nvme/host/pci.c, PCI_VENDOR_ID_AMAZON",
		},
		{
			id: "ena",
			title: "Amazon Elastic Network Adapter",
			role: "network",
			addresses: [{ bus: "pci", vendor: "1d0f", device: "ec20", class: "020000", drivers: ["ena"] }],
			verified: true,
			source: "Linux drivers/net/ethernet/amazon/ena/ena_pci_id_tbl.h, PCI_DEV_ID_ENA_VF",
		},
	],
	boot: { disk: ["nvme"], network: ["ena"] },
	cards: { keepMacs: false, virtualization: "amazon", places: [] },
	limits: { diskBytes: 16 * 2 ** 40, disks: 21 },
	notes: [
		"Instance types that are older than Nitro run on Xen, with the devices of XenServer: they are not judged here.",
		"VM Import takes the distributions and kernels that Amazon lists, and looks into the guest before it accepts it.",
	],
};
