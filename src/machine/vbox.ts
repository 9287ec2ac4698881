import { damaged, refused } from "../bytes/errors.js";
import { wordsOf } from "../bytes/words.js";
import type { Controller, ControllerModel, DescriptorFile, Machine, MachineDisk, MachineFormat } from "./machine.js";
import { Controllers, checkedCpus, checkedMemory, enumerate, nameDisks, present } from "./shape.js";
import { macAddress, uuidOf, wholeNumber } from "./units.js";
import { rootTag } from "./xml-head.js";
import { attribute, child, childrenOf, descend, parseXml, textOf, type XmlElement } from "./xml-read.js";

/**
 * VirtualBox's machine settings.
 * https://www.virtualbox.org/browser/vbox/trunk/src/VBox/Main/xml/VirtualBox-settings.xsd
 */
export const vbox: MachineFormat = {
	id: "vbox",
	matches: ({ bytes }) => rootTag(bytes)?.name === "VirtualBox",
	read: readSettings,
};

const CONTROLLERS: Readonly<Record<string, ControllerModel>> = wordsOf({
	PIIX3: "ide",
	PIIX4: "ide",
	ICH6: "ide",
	AHCI: "ahci",
	LsiLogic: "lsilogic",
	LsiLogicSas: "lsisas1068",
	BusLogic: "buslogic",
	NVMe: "nvme",
	VirtioSCSI: "virtio-scsi",
});

const NICS: Readonly<Record<string, string>> = wordsOf({
	Am79C970A: "pcnet32",
	Am79C973: "pcnet32",
	Am79C960: "pcnet32",
	"82540EM": "e1000",
	"82543GC": "e1000",
	"82545EM": "e1000",
	"82583V": "e1000e",
	virtio: "virtio-net",
});

const KINDS: Readonly<Record<string, MachineDisk["kind"]>> = wordsOf({
	HardDisk: "disk",
	DVD: "cdrom",
	Floppy: "floppy",
});

/** How a network card may be attached; the first that is there counts. */
const NETWORKS = ["BridgedInterface", "HostOnlyInterface", "HostOnlyNetwork", "InternalNetwork", "NATNetwork"];

/** No chain of snapshots is as long; beyond, it is an attack on the stack. */
const MAX_CHAIN = 1000;

/** Those that VirtualBox emulates itself. */
const TPMS: Readonly<Record<string, Machine["tpm"]>> = wordsOf({ v1_2: "1.2", v2_0: "2.0" });

async function readSettings(file: DescriptorFile): Promise<Machine> {
	const root = await parseXml(file);
	if (child(root, "MachineEncrypted") !== undefined) {
		throw refused(`${file.name} is encrypted`, {
			file: file.name,
			hint: "Remove the encryption in VirtualBox (Settings > General > Disk Encryption), then try again.",
		});
	}
	const machine = child(root, "Machine");
	if (machine === undefined) {
		throw damaged(`${file.name} describes no virtual machine`, {
			file: file.name,
			hint: "Name the .vbox file in the VM's own folder, not VirtualBox.xml.",
		});
	}
	const hardware = child(machine, "Hardware");
	const lost: string[] = [];
	const controllers = new Controllers();
	// Since version 1.19 of the settings they are a part of the hardware.
	const storage = child(hardware, "StorageControllers") ?? child(machine, "StorageControllers");
	const disks = readDrives(childrenOf(storage, "StorageController"), mediaOf(machine), controllers, lost);
	const megabytes = wholeNumber(attribute(child(hardware, "Memory"), "RAMSize"));
	noteLost(machine, hardware, lost);
	return {
		name: attribute(machine, "name") ?? file.name.replace(/\.vbox$/i, ""),
		...present({
			description: textOf(child(machine, "Description")),
			uuid: uuidOf(attribute(hardware, "uuid") ?? attribute(machine, "uuid")),
		}),
		arch: /arm64/i.test(attribute(machine, "OSType") ?? "") ? "aarch64" : "x86_64",
		firmware: /^EFI/i.test(firmwareOf(hardware) ?? "") ? "uefi" : "bios",
		secureBoot: attribute(descend(hardware, "BIOS", "NVRAM", "SecureBoot"), "enabled") === "true",
		...present({ tpm: TPMS[attribute(child(hardware, "TrustedPlatformModule"), "type") ?? ""] }),
		cpus: checkedCpus(wholeNumber(attribute(child(hardware, "CPU"), "count")) ?? 1, file.name, lost),
		memory: checkedMemory(megabytes === undefined ? undefined : megabytes * 2 ** 20, file.name, lost),
		controllers: controllers.list(),
		disks: nameDisks(disks),
		nics: childrenOf(child(hardware, "Network"), "Adapter")
			.filter((adapter) => attribute(adapter, "enabled") === "true")
			.toSorted((a, b) => slotOf(a) - slotOf(b))
			.map(readNic),
		origin: "vbox",
		lost,
	};
}

const firmwareOf = (hardware: XmlElement | undefined) =>
	attribute(child(hardware, "Firmware"), "type") ?? attribute(descend(hardware, "BIOS", "Firmware"), "type");

const slotOf = (adapter: XmlElement) => wholeNumber(attribute(adapter, "slot")) ?? 0;

/** Where each image of the machine's own registry lies, by its UUID: those of snapshots inside of what they began with. */
function mediaOf(machine: XmlElement): ReadonlyMap<string, string> {
	const places = new Map<string, string>();
	const note = (element: XmlElement, depth: number) => {
		const uuid = uuidOf(attribute(element, "uuid"));
		const location = attribute(element, "location") ?? attribute(element, "src");
		if (uuid !== undefined && location !== undefined) places.set(uuid, location);
		if (depth < MAX_CHAIN) for (const below of element.children) note(below, depth + 1);
	};
	for (const kind of child(machine, "MediaRegistry")?.children ?? []) note(kind, 0);
	return places;
}

function readDrives(
	entries: readonly XmlElement[],
	media: ReadonlyMap<string, string>,
	controllers: Controllers,
	lost: string[],
): Omit<MachineDisk, "id">[] {
	return entries.flatMap((entry) => {
		const type = attribute(entry, "type") ?? "";
		const name = attribute(entry, "name") ?? type;
		const model = CONTROLLERS[type];
		// They come in the order in which they were attached.
		const place = (device: XmlElement) =>
			(wholeNumber(attribute(device, "port")) ?? 0) * 2 + (wholeNumber(attribute(device, "device")) ?? 0);
		const devices = childrenOf(entry, "AttachedDevice").toSorted((a, b) => place(a) - place(b));
		const floppies = type === "I82078";
		if (model === undefined && !floppies) {
			if (devices.length > 0) lost.push(`The controller ${name} is of the type ${type}, which machines do not have.`);
			return devices.map((device) => readDrive(device, media, undefined));
		}
		// One controller with two channels here; a controller per channel, as VMware and OVF count, in a machine.
		const own = model === undefined || model === "ide" ? undefined : controllers.add(model);
		return devices.map((device) => {
			const port = wholeNumber(attribute(device, "port")) ?? 0;
			if (model === undefined) return readDrive(device, media, undefined);
			const controller = own ?? controllers.at(model, port);
			const unit = own === undefined ? (wholeNumber(attribute(device, "device")) ?? 0) : port;
			return readDrive(device, media, { controller, unit });
		});
	});
}

function readDrive(
	device: XmlElement,
	media: ReadonlyMap<string, string>,
	place: { readonly controller: Controller; readonly unit: number } | undefined,
): Omit<MachineDisk, "id"> {
	const uuid = uuidOf(attribute(child(device, "Image"), "uuid"));
	return present({
		kind: KINDS[attribute(device, "type") ?? ""] ?? ("disk" as const),
		// A DVD's image may be registered for all machines: which file it is only the host knows then.
		file: uuid === undefined ? undefined : media.get(uuid),
		controller: place?.controller.id,
		unit: place?.unit,
	});
}

function readNic(adapter: XmlElement) {
	const word = attribute(adapter, "type") ?? "Am79C973";
	const attached = adapter.children.find(({ name }) => NETWORKS.includes(name));
	return present({
		model: NICS[word] ?? word,
		mac: macAddress(attribute(adapter, "MACAddress")),
		network: attribute(attached, "name") ?? (child(adapter, "NAT") === undefined ? undefined : "nat"),
	});
}

function noteLost(machine: XmlElement, hardware: XmlElement | undefined, lost: string[]): void {
	const snapshots: string[] = [];
	const note = (snapshot: XmlElement, depth: number) => {
		snapshots.push(attribute(snapshot, "name") ?? "unnamed");
		if (depth < MAX_CHAIN)
			for (const next of childrenOf(child(snapshot, "Snapshots"), "Snapshot")) note(next, depth + 1);
	};
	for (const snapshot of childrenOf(machine, "Snapshot")) note(snapshot, 0);
	if (snapshots.length > 0) lost.push(`These snapshots are not carried over: ${enumerate(snapshots)}.`);
	const folders = childrenOf(child(hardware, "SharedFolders"), "SharedFolder").map(
		(folder) => attribute(folder, "name") ?? "unnamed",
	);
	if (folders.length > 0) lost.push(`These shared folders are not carried over: ${enumerate(folders)}.`);
	const tpm = attribute(child(hardware, "TrustedPlatformModule"), "type");
	if (tpm !== undefined && tpm !== "None" && TPMS[tpm] === undefined) lost.push(`The TPM ${tpm} is not carried over.`);
	const forwarded = childrenOf(descend(hardware, "Network"), "Adapter").flatMap((adapter) =>
		childrenOf(child(adapter, "NAT"), "Forwarding").map((rule) => attribute(rule, "name") ?? "unnamed"),
	);
	if (forwarded.length > 0) lost.push(`These forwarded ports are not carried over: ${enumerate(forwarded)}.`);
}
