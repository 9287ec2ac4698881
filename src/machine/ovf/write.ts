import { unsupported } from "../../bytes/errors.js";
import type { Controller, Machine, MachineDisk, MachineNic } from "../machine.js";
import { hardwareVersion } from "../vmx.js";
import { element, type Markup, xmlDocument } from "../xml-write.js";
import { controllerItem, nicSubtype, ResourceType } from "./names.js";
import { eulaSection, productSection } from "./product.js";

/** What a package says beyond its machine. */
export interface OvfDetails {
	/** Lengths of the files beside the descriptor, in bytes, by name. */
	readonly sizes?: ReadonlyMap<string, number>;
	/** Guest: CIM_OperatingSystem.OsType, VMware's name for it, and words for people. */
	readonly guest?: { readonly cim: number; readonly vmware: string; readonly title: string };
}

const NAMESPACES = {
	xmlns: "http://schemas.dmtf.org/ovf/envelope/1",
	"xmlns:ovf": "http://schemas.dmtf.org/ovf/envelope/1",
	"xmlns:rasd": "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData",
	"xmlns:vmw": "http://www.vmware.com/schema/ovf",
	"xmlns:vssd": "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData",
};

const STREAM_OPTIMIZED = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";

/**
 * The OVF 1.1 descriptor that VMware, VirtualBox, Proxmox VE, Xen Orchestra and virt-v2v all accept: `Item`s only, one
 * virtual system, memory in `byte * 2^20`, disks by `ovf:/disk/…`, the firmware as VMware's `Config`.
 * https://www.dmtf.org/sites/default/files/standards/documents/DSP0243_1.1.1.pdf
 *
 * @throws `unsupported` for a controller that OVF has no word for, and for a disk without a file or size.
 */
export function writeOvf(machine: Machine, details: OvfDetails = {}): string {
	const files = machine.disks.flatMap(({ id, file }) => (file === undefined ? [] : [{ id, file }]));
	const disks = machine.disks.filter(({ kind }) => kind === "disk");
	const networks = [...new Set(machine.nics.flatMap(({ network }) => network ?? []))];
	return xmlDocument(
		element(
			"Envelope",
			NAMESPACES,
			element(
				"References",
				{},
				...files.map(({ id, file }) =>
					element("File", {
						"ovf:compression": /\.gz$/i.test(file) ? "gzip" : undefined,
						"ovf:href": file,
						"ovf:id": `file-${id}`,
						"ovf:size": details.sizes?.get(file),
					}),
				),
			),
			disks.length === 0 ? undefined : element("DiskSection", {}, info("Virtual disks"), ...disks.map(diskEntry)),
			networks.length === 0
				? undefined
				: element("NetworkSection", {}, info("Logical networks"), ...networks.map(networkEntry)),
			element(
				"VirtualSystem",
				{ "ovf:id": machine.name },
				info("A virtual machine"),
				element("Name", {}, machine.name),
				...guestSection(details),
				...annotation(machine.description),
				...(machine.products ?? []).map(productSection),
				...(machine.eulas ?? []).map(eulaSection),
				hardware(machine),
			),
		),
	);
}

const info = (text: string) => element("Info", {}, text);

function diskEntry({ id, file, capacity }: MachineDisk): Markup {
	if (capacity === undefined) throw unsupported(`OVF needs the size of ${id}, which is not known`);
	return element("Disk", {
		"ovf:capacity": capacity,
		"ovf:capacityAllocationUnits": "byte",
		"ovf:diskId": id,
		"ovf:fileRef": file === undefined ? undefined : `file-${id}`,
		"ovf:format": STREAM_OPTIMIZED,
	});
}

const networkEntry = (name: string) =>
	element("Network", { "ovf:name": name }, element("Description", {}, `The network "${name}"`));

const guestSection = ({ guest }: OvfDetails) =>
	guest === undefined
		? []
		: [
				element(
					"OperatingSystemSection",
					{ "ovf:id": guest.cim, "vmw:osType": guest.vmware },
					info("The installed guest operating system"),
					element("Description", {}, guest.title),
				),
			];

const annotation = (text: string | undefined) =>
	text === undefined
		? []
		: [element("AnnotationSection", {}, info("A description of the machine"), element("Annotation", {}, text))];

function hardware(machine: Machine): Markup {
	let last = 0;
	/** CIM's schema orders an item's properties by the alphabet. */
	const item = (properties: Readonly<Record<string, string | number | undefined>>) => {
		const entries = Object.entries({ ...properties, InstanceID: ++last })
			.filter(([, value]) => value !== undefined)
			.sort(([a], [b]) => (a < b ? -1 : 1));
		return element("Item", {}, ...entries.map(([name, value]) => element(`rasd:${name}`, {}, value)));
	};

	const mebibytes = Math.max(1, Math.round(machine.memory / 2 ** 20));
	const cpus = item({
		AllocationUnits: "hertz * 10^6",
		Description: "Number of virtual CPUs",
		ElementName: `${machine.cpus} virtual CPU(s)`,
		ResourceType: ResourceType.cpu,
		VirtualQuantity: machine.cpus,
	});
	const memory = item({
		AllocationUnits: "byte * 2^20",
		Description: "Memory size",
		ElementName: `${mebibytes} MB of memory`,
		ResourceType: ResourceType.memory,
		VirtualQuantity: mebibytes,
	});
	const instances = new Map<string, number>();
	const controllers = machine.controllers.map((controller) => {
		const markup = item(controllerProperties(controller));
		instances.set(controller.id, last);
		return markup;
	});
	const drives = machine.disks.map((disk) => item(driveProperties(disk, instances)));
	const nics = machine.nics.map((nic, index) => item(nicProperties(nic, index)));
	return element(
		"VirtualHardwareSection",
		{ "ovf:transport": machine.propertyTransport?.join(" ") },
		info("Virtual hardware"),
		element(
			"System",
			{},
			element("vssd:ElementName", {}, "Virtual Hardware Family"),
			element("vssd:InstanceID", {}, 0),
			element("vssd:VirtualSystemIdentifier", {}, machine.name),
			element("vssd:VirtualSystemType", {}, hardwareFamily(machine)),
		),
		cpus,
		memory,
		...controllers,
		...drives,
		...nics,
		config("firmware", machine.firmware === "uefi" ? "efi" : "bios"),
		machine.secureBoot ? config("bootOptions.efiSecureBootEnabled", "true") : undefined,
	);
}

const hardwareFamily = (machine: Machine) => `vmx-${hardwareVersion(machine)}`;

const config = (key: string, value: string) =>
	element("vmw:Config", { "ovf:required": "false", "vmw:key": key, "vmw:value": value });

function controllerProperties({ id, model, index }: Controller) {
	const words = controllerItem(model);
	if (words === undefined) {
		throw unsupported(`OVF has no word for a controller of model ${model}`, {
			hint: "Attach the disk to an AHCI, NVMe, LSI Logic or PVSCSI controller.",
		});
	}
	return { Address: index, ElementName: id, ResourceSubType: words.subtype, ResourceType: words.type };
}

const DRIVE_TYPES = { disk: ResourceType.disk, cdrom: ResourceType.cdrom, floppy: ResourceType.floppy };

function driveProperties({ id, kind, file, controller, unit }: MachineDisk, instances: ReadonlyMap<string, number>) {
	const backing = kind === "disk" ? `ovf:/disk/${id}` : file === undefined ? undefined : `ovf:/file/file-${id}`;
	return {
		AddressOnParent: unit,
		AutomaticAllocation: backing === undefined ? "false" : undefined,
		ElementName: id,
		HostResource: backing,
		Parent: controller === undefined ? undefined : instances.get(controller),
		ResourceType: DRIVE_TYPES[kind],
	};
}

const nicProperties = ({ model, mac, network }: MachineNic, index: number) => ({
	Address: mac,
	AddressOnParent: index,
	AutomaticAllocation: "true",
	Connection: network,
	ElementName: `ethernet${index}`,
	ResourceSubType: nicSubtype(model),
	ResourceType: ResourceType.ethernet,
});
