import type { Firmware } from "../machine/machine.js";

/**
 * A hypervisor's device model as QEMU can emulate it. The emulated devices bear the hypervisor's own ids; the hypervisor
 * itself is not there, so what only exists on the real one (VMBus, Xen's PV devices) cannot be booted this way.
 */
export interface BootModel {
	readonly id: string;
	readonly title: string;
	/** {@link Hypervisor.id}, and the {@link DeviceModel.id}s that are emulated. */
	readonly hypervisor: string;
	readonly disk: string;
	readonly network: string;
	readonly firmware: Firmware;
	/** Linux drivers that must be found on the root disk and on the NIC, as the kernel names them in sysfs. */
	readonly drivers: { readonly disk: string; readonly network: string };
	/** QEMU's machine type, and its arguments for the disk (`drive=boot`), the NIC (`netdev=net`) and the rest. */
	readonly machine: "pc" | "q35";
	readonly devices: readonly string[];
	/**
	 * The hypervisor's own presence, which some drivers look for before they yield to others, is not emulated: the traps
	 * that a verdict names do not spring here.
	 */
	readonly bare?: true;
	/** DMI identity: some drivers look at it. */
	readonly smbios?: { readonly manufacturer: string; readonly product: string; readonly serial?: string };
}

const vmwareIdentity = {
	manufacturer: "VMware, Inc.",
	product: "VMware7,1",
	serial: "VMware-56 4d 00 11 22 33 44 55-66 77 88 99 aa bb cc dd",
};

const ide = "ide-hd,bus=ide.0,drive=boot,bootindex=0";

const hypervGen1 = {
	hypervisor: "hyperv-gen1",
	disk: "ide",
	network: "tulip",
	firmware: "bios",
	drivers: { disk: "ata_piix", network: "tulip" },
	machine: "pc",
	devices: [ide, "tulip,netdev=net"],
} as const;

/** https://www.qemu.org/docs/master/system/qemu-manpage.html */
export const bootModels: readonly BootModel[] = [
	{
		id: "vmware-pvscsi",
		title: "VMware: PVSCSI, VMXNET3",
		hypervisor: "vmware",
		disk: "pvscsi",
		network: "vmxnet3",
		firmware: "bios",
		drivers: { disk: "vmw_pvscsi", network: "vmxnet3" },
		machine: "pc",
		devices: ["pvscsi,id=scsi", "scsi-hd,bus=scsi.0,drive=boot,bootindex=0", "vmxnet3,netdev=net"],
		smbios: vmwareIdentity,
	},
	{
		id: "vmware-nvme",
		title: "VMware: NVMe, VMXNET3, UEFI",
		hypervisor: "vmware",
		disk: "nvme",
		network: "vmxnet3",
		firmware: "uefi",
		drivers: { disk: "nvme", network: "vmxnet3" },
		machine: "q35",
		devices: ["nvme,serial=anyvisor,drive=boot,bootindex=0", "vmxnet3,netdev=net"],
		smbios: vmwareIdentity,
	},
	{
		id: "xenserver-emulated",
		title: "XenServer: emulated IDE, RTL8139",
		hypervisor: "xenserver",
		disk: "ide",
		network: "rtl8139",
		firmware: "bios",
		drivers: { disk: "ata_piix", network: "8139cp" },
		machine: "pc",
		devices: [ide, "rtl8139,netdev=net"],
		bare: true,
		smbios: { manufacturer: "Xen", product: "HVM domU" },
	},
	{ ...hypervGen1, id: "hyperv-gen1-emulated", title: "Hyper-V Gen1: emulated IDE, DEC 21140", bare: true },
	{
		...hypervGen1,
		id: "hyperv-gen1-identity",
		title: "Hyper-V Gen1: the same with Microsoft's identity",
		smbios: { manufacturer: "Microsoft Corporation", product: "Virtual Machine" },
	},
	{
		id: "kvm-virtio-blk",
		title: "KVM: virtio-blk, virtio-net",
		hypervisor: "kvm",
		disk: "virtio-blk",
		network: "virtio-net",
		firmware: "bios",
		drivers: { disk: "virtio_blk", network: "virtio_net" },
		machine: "pc",
		devices: ["virtio-blk-pci,drive=boot,bootindex=0", "virtio-net-pci,netdev=net"],
	},
	{
		id: "kvm-virtio-scsi",
		title: "KVM: virtio-scsi, virtio-net",
		hypervisor: "kvm",
		disk: "virtio-scsi",
		network: "virtio-net",
		firmware: "bios",
		drivers: { disk: "virtio_scsi", network: "virtio_net" },
		machine: "q35",
		devices: ["virtio-scsi-pci,id=scsi", "scsi-hd,bus=scsi.0,drive=boot,bootindex=0", "virtio-net-pci,netdev=net"],
	},
	{
		id: "virtualbox-ahci",
		title: "VirtualBox: AHCI, E1000",
		hypervisor: "virtualbox",
		disk: "ahci",
		network: "e1000",
		firmware: "bios",
		drivers: { disk: "ahci", network: "e1000" },
		machine: "pc",
		devices: ["ahci,id=sata", "ide-hd,bus=sata.0,drive=boot,bootindex=0", "e1000-82540em,netdev=net"],
		smbios: { manufacturer: "innotek GmbH", product: "VirtualBox" },
	},
	{
		id: "virtualbox-ide",
		title: "VirtualBox: IDE, PCnet",
		hypervisor: "virtualbox",
		disk: "ide",
		network: "pcnet",
		firmware: "bios",
		drivers: { disk: "ata_piix", network: "pcnet32" },
		machine: "pc",
		devices: [ide, "pcnet,netdev=net"],
		smbios: { manufacturer: "innotek GmbH", product: "VirtualBox" },
	},
];

export function bootModel(id: string): BootModel | undefined {
	return bootModels.find((model) => model.id === id);
}
