import { wordsOf } from "../../bytes/words.js";
import type { ControllerModel } from "../machine.js";

/** CIM_ResourceAllocationSettingData.ResourceType; https://www.dmtf.org/standards/cim, DSP0243 9.3. */
export const ResourceType = {
	cpu: 3,
	memory: 4,
	ide: 5,
	scsi: 6,
	ethernet: 10,
	floppy: 14,
	cdrom: 15,
	dvd: 16,
	disk: 17,
	storage: 20,
	display: 24,
	/** A `StorageItem` of OVF 2.x says it, VirtualBox's says 17. */
	logicalDisk: 31,
} as const;

/** What the resource types that no {@link Machine} can hold are called in sentences. */
const OTHER_RESOURCES: Readonly<Record<number, string>> = {
	1: "other device",
	2: "computer system",
	7: "Fibre Channel adapter",
	8: "iSCSI adapter",
	9: "InfiniBand adapter",
	11: "network adapter",
	12: "I/O slot",
	13: "I/O device",
	18: "tape drive",
	19: "storage extent",
	21: "serial port",
	22: "parallel port",
	23: "USB controller",
	25: "IEEE 1394 controller",
	26: "partitionable unit",
	27: "partitionable base",
	28: "power",
	29: "cooling",
	30: "Ethernet switch port",
	32: "storage volume",
	33: "Ethernet connection",
	35: "sound card",
};

export const resourceName = (type: number | undefined) =>
	(type === undefined ? undefined : OTHER_RESOURCES[type]) ?? `device of resource type ${type ?? "unknown"}`;

/** Controllers by ResourceType and the ResourceSubTypes in use, the one to write first. */
const CONTROLLERS: readonly { type: number; model: ControllerModel; subtypes: readonly string[] }[] = [
	// Written without a subtype: PIIX4 has been refused by VMware, and no importer asks for one.
	{ type: ResourceType.ide, model: "ide", subtypes: [] },
	{ type: ResourceType.scsi, model: "lsilogic", subtypes: ["lsilogic"] },
	{ type: ResourceType.scsi, model: "lsisas1068", subtypes: ["lsilogicsas", "lsisas1068"] },
	{ type: ResourceType.scsi, model: "buslogic", subtypes: ["buslogic"] },
	{ type: ResourceType.scsi, model: "pvscsi", subtypes: ["VirtualSCSI", "pvscsi"] },
	{ type: ResourceType.storage, model: "ahci", subtypes: ["vmware.sata.ahci", "AHCI"] },
	{ type: ResourceType.storage, model: "nvme", subtypes: ["vmware.nvme.controller", "NVMe"] },
	{ type: ResourceType.storage, model: "virtio-scsi", subtypes: ["VirtioSCSI", "virtio-scsi"] },
];

/**
 * The model of a controller item. `subtype` may list alternatives, separated by commas or spaces: the first one known
 * counts. Undefined where `type` is none of a controller that disks hang on.
 */
export function controllerModel(type: number, subtype: string | undefined): ControllerModel | undefined {
	if (type === ResourceType.ide) return "ide";
	const ofType = CONTROLLERS.filter((entry) => entry.type === type);
	if (ofType.length === 0) return undefined;
	for (const word of words(subtype)) {
		const entry = ofType.find(({ subtypes }) => subtypes.some((known) => known.toLowerCase() === word.toLowerCase()));
		if (entry !== undefined) return entry.model;
	}
	return "unknown";
}

/** How a controller model is written; undefined where OVF has no word for it that importers know. */
export function controllerItem(model: ControllerModel): { type: number; subtype: string | undefined } | undefined {
	const entry = CONTROLLERS.find((candidate) => candidate.model === model);
	return entry && { type: entry.type, subtype: entry.subtypes[0] };
}

/** {@link MachineNic.model} to the ResourceSubType that importers know it by. */
const NIC_SUBTYPES: Readonly<Record<string, string>> = wordsOf({
	e1000: "E1000",
	e1000e: "E1000e",
	vmxnet3: "VmxNet3",
	pcnet32: "PCNet32",
	"virtio-net": "virtio",
});

export const nicSubtype = (model: string) => NIC_SUBTYPES[model] ?? model;

/** The model behind a NIC's ResourceSubType: the first alternative listed; without one, VMware's and VirtualBox's default. */
export function nicModel(subtype: string | undefined): string {
	const [first] = words(subtype);
	if (first === undefined) return "pcnet32";
	const known = Object.entries(NIC_SUBTYPES).find(([, name]) => name.toLowerCase() === first.toLowerCase());
	return known?.[0] ?? first;
}

const words = (list: string | undefined) => list?.split(/[\s,]+/).filter((word) => word !== "") ?? [];

/** Namespaces of the envelopes that are read: OVF 1.x, OVF 2.x, and VMware's 0.9. */
export const ENVELOPES: readonly string[] = [
	"http://schemas.dmtf.org/ovf/envelope/1",
	"http://schemas.dmtf.org/ovf/envelope/2",
	"http://www.vmware.com/schema/ovf/1/envelope",
];
