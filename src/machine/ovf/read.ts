import { damaged, unsupported } from "../../bytes/errors.js";
import type { DescriptorFile, Firmware, Machine, MachineDisk, MachineNic, ReadOptions } from "../machine.js";
import { Controllers, checkedCpus, checkedMemory, enumerate, nameDisks, present } from "../shape.js";
import { macAddress, unitBytes, wholeNumber } from "../units.js";
import { attribute, child, childrenOf, descend, parseXml, textOf, type XmlElement } from "../xml-read.js";
import { type FileReference, fileReferences } from "./files.js";
import { controllerModel, ENVELOPES, nicModel, ResourceType, resourceName } from "./names.js";
import { readProducts } from "./product.js";
import { chosenSystem, kindOf, type PlacedSystem, sections } from "./systems.js";

/** Sections that say nothing about the machine itself, or that are read elsewhere. */
const READ_SECTIONS = new Set([
	"References",
	"DiskSection",
	"NetworkSection",
	"Strings",
	"Info",
	"Name",
	"VirtualSystem",
	"VirtualSystemCollection",
	"VirtualHardwareSection",
	"AnnotationSection",
	"ProductSection",
	"EulaSection",
	// A hint which guest it may be; the guest itself is inspected instead.
	"OperatingSystemSection",
]);

/**
 * Reads a virtual system of an OVF 0.9, 1.x or 2.x descriptor. It is read for what it means, not validated: most
 * descriptors in the field break the schema somewhere.
 *
 * @throws `usage` where there are several and none is chosen, with the ids of all
 */
export const readOvf = async (file: DescriptorFile, options: ReadOptions = {}): Promise<Machine> =>
	(await readOvfPackage(file, options)).machine;

/** A machine, and how the files that it names are stored, by their names. */
export async function readOvfPackage(
	file: DescriptorFile,
	{ system: wanted }: ReadOptions,
): Promise<{ readonly machine: Machine; readonly references: ReadonlyMap<string, FileReference> }> {
	const envelope = await parseXml(file);
	if (!ENVELOPES.includes(envelope.namespace)) {
		throw unsupported(`${file.name} is an OVF of an unknown version (${envelope.namespace || "no namespace"})`, {
			file: file.name,
			hint: "Export it again as OVF 1.x.",
		});
	}
	const placed = chosenSystem(envelope, wanted, file.name);
	const { system } = placed;
	const lost: string[] = [];
	noteSections(placed, lost);

	const hardware = sections(system, "VirtualHardwareSection");
	const [chosen] = hardware;
	if (chosen === undefined) {
		throw damaged(`${file.name} describes no virtual hardware`, {
			file: file.name,
			hint: "Give the disk itself instead of its descriptor.",
		});
	}
	if (hardware.length > 1) lost.push(`Only the first of ${hardware.length} alternative hardware sections is used.`);

	const items = selectItems(envelope, chosen, lost);
	const controllers = readControllers(items, lost);
	const settings = readSettings(system, chosen, lost);
	const identifier = textOf(descend(chosen, "System", "VirtualSystemIdentifier"));
	const references = fileReferences(envelope);
	const machine: Machine = {
		name: textOf(child(system, "Name")) ?? identifier ?? attribute(system, "id") ?? file.name.replace(/\.ovf$/i, ""),
		...present({ description: textOf(child(sections(system, "AnnotationSection")[0], "Annotation")) }),
		arch: architecture(system),
		firmware: settings.firmware,
		secureBoot: settings.secureBoot,
		cpus: checkedCpus(quantity(items, ResourceType.cpu, file.name)?.value, file.name, lost),
		memory: checkedMemory(memory(items, file.name), file.name, lost),
		controllers: controllers.list,
		disks: nameDisks(readDrives(envelope, references, items, controllers.byInstance, file.name, lost)),
		nics: readNics(items),
		...readProducts(envelope, [...placed.around, system], lost),
		origin: "ovf",
		lost,
	};
	return { machine, references: new Map([...references.values()].map((each) => [each.href, each])) };
}

function noteSections({ system, around }: PlacedSystem, lost: string[]): void {
	for (const parent of [...around, system]) {
		for (const section of parent.children) {
			const kind = kindOf(section);
			if (READ_SECTIONS.has(kind)) continue;
			const properties = childrenOf(section, "Property").map((property) => attribute(property, "key") ?? "?");
			lost.push(
				properties.length > 0
					? `The ${kind} is not carried over, with its properties ${enumerate(properties)}.`
					: `The ${kind} is not carried over.`,
			);
		}
	}
}

/**
 * The items in force: those of the default deployment option, each of which replaces the general item with the same
 * InstanceID, and without the items that only state a range. DSP0243 9.3.3 and 9.8.
 */
function selectItems(envelope: XmlElement, hardware: XmlElement, lost: string[]): XmlElement[] {
	const options = sections(envelope, "DeploymentOptionSection").flatMap((section) =>
		childrenOf(section, "Configuration"),
	);
	const chosen = options.find((option) => attribute(option, "default") === "true") ?? options[0];
	const configuration = attribute(chosen, "id");
	if (configuration !== undefined && options.length > 1) {
		lost.push(`Of ${options.length} deployment options, the default one, "${configuration}", is used.`);
	}
	const items = new Map<string, XmlElement>();
	for (const item of hardware.children) {
		if (!/^(Item|StorageItem|EthernetPortItem)$/.test(item.name)) continue;
		const bound = attribute(item, "bound");
		if (bound !== undefined && bound !== "normal") continue;
		const restricted = attribute(item, "configuration")?.split(/\s+/);
		if (restricted !== undefined && !(configuration !== undefined && restricted.includes(configuration))) continue;
		items.set(instance(item) ?? `unnumbered ${items.size}`, item);
	}
	return [...items.values()];
}

const value = (item: XmlElement, name: string) => textOf(child(item, name));
const instance = (item: XmlElement) => value(item, "InstanceID") ?? value(item, "InstanceId");
const typeOf = (item: XmlElement) => wholeNumber(value(item, "ResourceType"));
const label = (item: XmlElement) => value(item, "ElementName") ?? value(item, "Caption") ?? instance(item) ?? "unnamed";

function quantity(items: readonly XmlElement[], type: number, file: string) {
	const item = items.find((candidate) => typeOf(candidate) === type);
	if (item === undefined) return undefined;
	const text = value(item, "VirtualQuantity");
	if (text === undefined) return undefined;
	const number = wholeNumber(text);
	if (number === undefined) throw damaged(`${file}: "${text}" is no quantity for "${label(item)}"`, { file });
	return { value: number, units: value(item, "AllocationUnits") };
}

/** Bytes of memory. Where the units are missing, small numbers can only be MiB. */
function memory(items: readonly XmlElement[], file: string): number | undefined {
	const found = quantity(items, ResourceType.memory, file);
	if (found === undefined) return undefined;
	const unit = found.units === undefined ? (found.value < 2 ** 20 ? 2 ** 20 : 1) : unitBytes(found.units);
	if (unit === undefined) throw damaged(`${file} gives memory in unknown units, "${found.units}"`, { file });
	return found.value * unit;
}

function readControllers(items: readonly XmlElement[], lost: string[]) {
	const controllers = new Controllers();
	const byInstance = new Map<string, string>();
	for (const item of items) {
		const type = typeOf(item);
		const subtype = value(item, "ResourceSubType");
		if (isNic(item)) continue;
		const model = type === undefined ? undefined : controllerModel(type, subtype);
		if (model === undefined) {
			if (!isHeld(type) && subtype !== VMCI) {
				lost.push(`The ${resourceName(type)} "${label(item)}" is not carried over.`);
			}
			continue;
		}
		if (model === "unknown") {
			lost.push(
				`The controller "${label(item)}" is of an unknown model${subtype === undefined ? "" : `, ${subtype}`}.`,
			);
		}
		const wanted = wholeNumber(value(item, "Address")) ?? wholeNumber(value(item, "BusNumber"));
		const controller = controllers.add(model, wanted !== undefined && wanted < 64 ? wanted : undefined);
		const id = instance(item);
		if (id !== undefined) byInstance.set(id, controller.id);
	}
	return { list: controllers.list(), byInstance };
}

/** VMware's channel to the guest; every hypervisor has its own. */
const VMCI = "vmware.vmci";
const HELD: readonly (number | undefined)[] = Object.values(ResourceType);
const isHeld = (type: number | undefined) => HELD.includes(type);

type Drive = Omit<MachineDisk, "id">;

function readDrives(
	envelope: XmlElement,
	references: ReadonlyMap<string, FileReference>,
	items: readonly XmlElement[],
	controllers: ReadonlyMap<string, string>,
	file: string,
	lost: string[],
): Drive[] {
	const disks = new Map(
		sections(envelope, "DiskSection")
			.flatMap((section) => childrenOf(section, "Disk"))
			.map((entry) => [attribute(entry, "diskId") ?? "", entry]),
	);
	const nameOf = (id: string) => {
		const reference = references.get(id);
		if (reference === undefined) throw damaged(`${file} refers to a file "${id}" that it does not list`, { file });
		const { href, chunkSize, compression } = reference;
		if (chunkSize !== undefined) lost.push(`The file ${href} is stored in chunks of ${chunkSize} bytes.`);
		if (compression !== undefined) lost.push(`The file ${href} is compressed as a whole (${compression}).`);
		return href;
	};

	const drives: Drive[] = [];
	for (const item of items) {
		const kind = driveKind(typeOf(item));
		if (kind === undefined) continue;
		const parent = value(item, "Parent");
		const position = wholeNumber(value(item, "AddressOnParent"));
		const place = present({
			controller: parent === undefined ? undefined : controllers.get(parent),
			unit: position,
		});
		const resource = value(item, "HostResource");
		const [, where, reference] = /^(?:ovf:)?\/{1,2}(disk|file)\/(.+)$/.exec(resource ?? "") ?? [];
		if (reference === undefined) {
			if (resource !== undefined) lost.push(`The backing "${resource}" of "${label(item)}" is not carried over.`);
			drives.push({ kind, ...place });
		} else if (where === "file") {
			drives.push({ kind, file: nameOf(reference), ...place });
		} else {
			const disk = disks.get(reference);
			if (disk === undefined) {
				throw damaged(`${file}: "${label(item)}" is backed by a disk "${reference}" that is not described`, { file });
			}
			if (attribute(disk, "parentRef") !== undefined) {
				throw unsupported(`${file}: the disk "${reference}" only holds its difference to another disk`, {
					file,
					hint: "Export the machine without snapshots.",
				});
			}
			const backing = attribute(disk, "fileRef");
			const about = { file: backing === undefined ? undefined : nameOf(backing), capacity: capacity(disk, file, lost) };
			drives.push({ kind, ...present(about), ...place });
		}
	}
	return drives;
}

function driveKind(type: number | undefined): Drive["kind"] | undefined {
	if (type === ResourceType.disk || type === ResourceType.logicalDisk) return "disk";
	if (type === ResourceType.cdrom || type === ResourceType.dvd) return "cdrom";
	return type === ResourceType.floppy ? "floppy" : undefined;
}

function capacity(disk: XmlElement, file: string, lost: string[]): number | undefined {
	const text = attribute(disk, "capacity");
	if (text === undefined) return undefined;
	if (text.startsWith("${")) {
		lost.push(`A disk's capacity is left to the property ${text}; the disk file's own is used.`);
		return undefined;
	}
	const unit = unitBytes(attribute(disk, "capacityAllocationUnits") ?? "byte");
	const bytes = (wholeNumber(text) ?? Number.NaN) * (unit ?? Number.NaN);
	if (!Number.isSafeInteger(bytes)) throw damaged(`${file} gives a disk an impossible capacity, "${text}"`, { file });
	return bytes;
}

/** An `EthernetPortItem` (OVF 2.x) is one whatever its ResourceType: 10, 33, and by mistake others are in use. */
const isNic = (item: XmlElement) => item.name === "EthernetPortItem" || typeOf(item) === ResourceType.ethernet;

function readNics(items: readonly XmlElement[]): MachineNic[] {
	return items.filter(isNic).map((item) =>
		present({
			model: nicModel(value(item, "ResourceSubType")),
			mac: macAddress(value(item, "Address")),
			network: value(item, "Connection"),
		}),
	);
}

/** VMware's `Config` entries, and the firmware that VirtualBox states in its own section beside them. */
function readSettings(system: XmlElement, hardware: XmlElement, lost: string[]) {
	const settings = new Map<string, string>();
	const extra: string[] = [];
	for (const entry of [...hardware.children, ...hardware.children.flatMap((item) => item.children)]) {
		const key = attribute(entry, "key");
		if (key === undefined) continue;
		if (entry.name === "Config") settings.set(key, attribute(entry, "value") ?? "");
		else if (entry.name === "ExtraConfig") extra.push(key);
	}
	const virtualBox = attribute(descend(system, "Machine", "Hardware", "Firmware"), "type");
	const uefi = settings.get("firmware") === "efi" || virtualBox?.startsWith("EFI") === true;
	const firmware: Firmware = uefi ? "uefi" : "bios";
	const secureBoot = settings.get("bootOptions.efiSecureBootEnabled")?.toLowerCase() === "true";
	const unheld = [...settings.keys(), ...extra].filter(
		(key) => key !== "firmware" && key !== "bootOptions.efiSecureBootEnabled",
	);
	if (unheld.length > 0) lost.push(`VMware settings are not carried over: ${enumerate(unheld)}.`);
	const sized = hardware.children.filter((item) =>
		["Reservation", "Limit", "Weight"].some((name) => (value(item, name) ?? "0") !== "0"),
	);
	if (sized.length > 0) lost.push("Reservations, limits and shares of CPU and memory are not carried over.");
	return { firmware, secureBoot };
}

/** VMware names guests of 64-bit Arm `arm…`; every other appliance is for x86. */
const architecture = (system: XmlElement) =>
	/^arm/i.test(attribute(sections(system, "OperatingSystemSection")[0], "osType") ?? "") ? "aarch64" : "x86_64";
