import { damaged, unsupported } from "../bytes/errors.js";
import { letters } from "../bytes/letters.js";
import { wordsOf } from "../bytes/words.js";
import type { Controller, ControllerModel, DescriptorFile, Machine, MachineDisk, MachineFormat } from "./machine.js";
import { busOf, Controllers, checkedCpus, checkedMemory, enumerate, nameDisks, present } from "./shape.js";
import { libvirtUnit, macAddress, statedNumber, uuidOf, wholeNumber } from "./units.js";
import { rootTag } from "./xml-head.js";
import { attribute, child, childrenOf, descend, parseXml, textOf, type XmlElement } from "./xml-read.js";
import { element, type Markup, xmlDocument } from "./xml-write.js";

/** libvirt's domain XML. https://libvirt.org/formatdomain.html */
export const libvirt: MachineFormat = {
	id: "libvirt",
	matches: ({ bytes }) => rootTag(bytes)?.name === "domain",
	read: readDomain,
	write: writeDomain,
	says: ["tpm", "secure-boot", "floppy"],
	takes: {
		controllers: ["virtio-blk", "virtio-scsi", "ahci", "ide", "pvscsi", "lsilogic", "lsisas1068"],
		nics: ["virtio-net", "e1000", "e1000e", "rtl8139", "pcnet32", "vmxnet3"],
		withoutSecureBoot: ["ide"],
	},
};

/** Where libvirt's default storage pool keeps images; a domain names its disks by absolute path. */
export const IMAGE_FOLDER = "/var/lib/libvirt/images";

const SCSI_MODELS: Readonly<Record<string, ControllerModel>> = wordsOf({
	"virtio-scsi": "virtio-scsi",
	"virtio-transitional": "virtio-scsi",
	"virtio-non-transitional": "virtio-scsi",
	lsilogic: "lsilogic",
	lsisas1068: "lsisas1068",
	buslogic: "buslogic",
	vmpvscsi: "pvscsi",
});

/** Controllers by the bus of a disk's target; those of `scsi` disks are told apart by their own model. */
const BUS_MODELS: Readonly<Record<string, ControllerModel>> = wordsOf({
	virtio: "virtio-blk",
	xen: "xen-vbd",
	sata: "ahci",
	ide: "ide",
	nvme: "nvme",
});

/** {@link MachineNic.model} to libvirt's word where the two differ. */
const NICS: Readonly<Record<string, string>> = wordsOf({
	"virtio-net": "virtio",
	"xen-vif": "netfront",
	pcnet32: "pcnet",
});

/** Devices that every hypervisor brings by itself, in one form or another. */
const EVERYWHERE = new Set(
	"emulator disk controller interface tpm console serial channel input video graphics memballoon rng audio panic".split(
		" ",
	),
);

/** Parts of a domain that are read, or that only this host's life of the domain concerns. */
const READ_PARTS = new Set(
	(
		"name uuid title description metadata memory currentMemory vcpu os devices clock cpu features pm seclabel resource " +
		"on_poweroff on_reboot on_crash iothreads sysinfo genid"
	).split(" "),
);

async function readDomain(file: DescriptorFile): Promise<Machine> {
	const domain = await parseXml(file);
	const lost: string[] = [];
	const devices = child(domain, "devices");
	const os = child(domain, "os");
	const controllers = new Controllers();
	// Bus numbers are taken as the domain states them, so that disks find their controller by its number.
	for (const entry of childrenOf(devices, "controller")) {
		const index = wholeNumber(attribute(entry, "index"));
		const model = controllerModel(entry);
		if (model === undefined || index === undefined || index > 255) continue;
		if (model === "unknown") lost.push(`The SCSI controller ${index} is of a model that the host chooses.`);
		if (controllers.find(busOf(model), index) === undefined) controllers.add(model, index);
	}
	const drives = readDrives(childrenOf(devices, "disk"), controllers, lost);
	noteLost(domain, devices, lost);
	return {
		name: textOf(child(domain, "name")) ?? file.name.replace(/\.xml$/i, ""),
		...present({
			description: textOf(child(domain, "description")) ?? textOf(child(domain, "title")),
			uuid: uuidOf(textOf(child(domain, "uuid"))),
		}),
		arch: attribute(child(os, "type"), "arch") ?? "x86_64",
		...readFirmware(os),
		...readTpm(child(devices, "tpm"), lost),
		cpus: checkedCpus(
			statedNumber(attribute(child(domain, "vcpu"), "current") ?? textOf(child(domain, "vcpu"))) ?? 1,
			file.name,
			lost,
		),
		memory: checkedMemory(readMemory(domain, file.name), file.name, lost),
		controllers: controllers.list(),
		disks: nameDisks(drives),
		nics: childrenOf(devices, "interface").map((entry) => readNic(entry, attribute(domain, "type"))),
		origin: "libvirt",
		lost,
	};
}

/** https://libvirt.org/formatdomain.html#tpm-device: an emulated one is of version 2.0 if nothing is said. */
function readTpm(tpm: XmlElement | undefined, lost: string[]): Pick<Machine, "tpm"> {
	if (tpm === undefined) return {};
	const backend = child(tpm, "backend");
	const type = attribute(backend, "type");
	if (type === "emulator") return { tpm: attribute(backend, "version") === "1.2" ? "1.2" : "2.0" };
	lost.push(`The TPM of its host (${type ?? "of no type"}) is not carried over.`);
	return {};
}

function readMemory(domain: XmlElement, file: string): number | undefined {
	const memory = child(domain, "memory") ?? child(domain, "currentMemory");
	const text = textOf(memory);
	if (text === undefined) return undefined;
	const unit = libvirtUnit(attribute(memory, "unit") ?? "KiB");
	const size = (wholeNumber(text) ?? Number.NaN) * (unit ?? Number.NaN);
	if (Number.isNaN(size)) throw damaged(`${file} gives an impossible memory size, "${text}"`, { file });
	return size;
}

function readFirmware(os: XmlElement | undefined): Pick<Machine, "firmware" | "secureBoot"> {
	const loader = child(os, "loader");
	const uefi =
		attribute(os, "firmware") === "efi" || attribute(loader, "type") === "pflash" || child(os, "nvram") !== undefined;
	const enabled = childrenOf(child(os, "firmware"), "feature").some(
		(feature) => attribute(feature, "name") === "secure-boot" && attribute(feature, "enabled") === "yes",
	);
	return { firmware: uefi ? "uefi" : "bios", secureBoot: enabled || attribute(loader, "secure") === "yes" };
}

function controllerModel(entry: XmlElement): ControllerModel | undefined {
	const type = attribute(entry, "type");
	if (type === "sata") return "ahci";
	return type === "scsi" ? (SCSI_MODELS[attribute(entry, "model")?.toLowerCase() ?? ""] ?? "unknown") : undefined;
}

/** The drives in boot order, then as the domain lists them. */
function readDrives(
	entries: readonly XmlElement[],
	controllers: Controllers,
	lost: string[],
): Omit<MachineDisk, "id">[] {
	const taken = new Map<string, Set<number>>();
	const drives = entries.map((entry) => {
		const target = child(entry, "target");
		const name = attribute(target, "dev") ?? "";
		const device = attribute(entry, "device");
		const kind: MachineDisk["kind"] = device === "cdrom" || device === "floppy" ? device : "disk";
		const bus = attribute(target, "bus") ?? busByName(name);
		const place = kind === "floppy" ? undefined : findPlace(bus, name, child(entry, "address"), controllers);
		if (place === undefined && kind !== "floppy")
			lost.push(`The drive ${name} is on a ${bus} bus, which machines do not have.`);
		let unit = place?.unit ?? (place === undefined ? position(name) : 0);
		if (place !== undefined) {
			const units = taken.get(place.controller) ?? new Set();
			while (units.has(unit)) unit++;
			taken.set(place.controller, units.add(unit));
		}
		return {
			order: wholeNumber(attribute(child(entry, "boot"), "order")) ?? Number.MAX_SAFE_INTEGER,
			drive: present({ kind, file: readSource(entry, name, lost), controller: place?.controller, unit }),
		};
	});
	return drives.sort((a, b) => a.order - b.order).map(({ drive }) => drive);
}

/** Path of the file or device behind a drive; other kinds of storage have none. */
function readSource(entry: XmlElement, name: string, lost: string[]): string | undefined {
	const source = child(entry, "source");
	if (child(source, "encryption") !== undefined || child(entry, "encryption") !== undefined) {
		lost.push(`The drive ${name} is encrypted with a secret that the host keeps.`);
	}
	const file = attribute(source, "file") ?? attribute(source, "dev");
	if (file === undefined && source !== undefined && source.attributes.size > 0) {
		lost.push(`The drive ${name} lies on ${attribute(entry, "type") ?? "other"} storage, not in a file.`);
	}
	return file;
}

/** The bus that a target's name implies where none is stated. */
const busByName = (name: string) =>
	({ hd: "ide", sd: "scsi", vd: "virtio", xv: "xen", fd: "fdc" })[name.slice(0, 2)] ?? "unknown";

/** 0 for `vda`, 25 for `vdz`, 26 for `vdaa`, the inverse of {@link letters}; 0 for names that are none. */
function position(name: string): number {
	const suffix = /^(?:[hsvf]d|xvd)([a-z]{1,3})$/.exec(name)?.[1] ?? "a";
	return Array.from(suffix).reduce((sum, letter) => sum * 26 + letter.charCodeAt(0) - 96, 0) - 1;
}

function findPlace(bus: string, name: string, address: XmlElement | undefined, controllers: Controllers) {
	const stated = (key: string) =>
		attribute(address, "type") === "drive" ? wholeNumber(attribute(address, key)) : undefined;
	const unit = stated("unit");
	if (bus === "ide") {
		// One controller with two channels here; a controller per channel, as VMware and OVF count, in a machine.
		const at = position(name);
		const { id } = controllers.at("ide", stated("bus") ?? Math.floor(at / 2));
		return { controller: id, unit: unit ?? at % 2 };
	}
	if (bus === "scsi") {
		const index = stated("controller") ?? 0;
		const scsi = (model: ControllerModel) => busOf(model) === "scsi" || model === "unknown";
		const known = controllers.list().find((other) => other.index === index && scsi(other.model));
		const { id } = known ?? controllers.add("unknown", index);
		return { controller: id, unit: stated("target") || unit };
	}
	const model = BUS_MODELS[bus];
	if (model === undefined) return undefined;
	if (bus === "sata") return { controller: controllers.at(model, stated("controller") ?? 0).id, unit };
	return { controller: controllers.at(model, 0).id, unit: position(name) };
}

function readNic(entry: XmlElement, domainType: string | undefined) {
	const word = attribute(child(entry, "model"), "type") ?? (domainType === "xen" ? "netfront" : "rtl8139");
	const model = Object.entries(NICS).find(([, name]) => word === name || word.startsWith(`${name}-`))?.[0] ?? word;
	const source = child(entry, "source");
	return present({
		model,
		mac: macAddress(attribute(child(entry, "mac"), "address")),
		network: attribute(source, "network") ?? attribute(source, "bridge") ?? attribute(source, "dev"),
	});
}

function noteLost(domain: XmlElement, devices: XmlElement | undefined, lost: string[]): void {
	for (const entry of devices?.children ?? []) {
		if (!EVERYWHERE.has(entry.name)) lost.push(`The device <${entry.name}> is not carried over.`);
	}
	if (descend(domain, "os", "kernel") !== undefined) {
		lost.push("The domain boots a kernel from a file of its host, not the one on its disk.");
	}
	const others = domain.children.map(({ name }) => name).filter((name) => !READ_PARTS.has(name));
	if (others.length > 0) lost.push(`These parts of the domain are not carried over: ${enumerate(others)}.`);
}

/**
 * A domain for KVM. Disks named by a relative path are expected in {@link IMAGE_FOLDER}; their format is taken from
 * the file name's ending.
 *
 * @throws `unsupported` for a controller that libvirt's domains do not have, or not together with Secure Boot.
 */
export function writeDomain(machine: Machine): string {
	const uefi = machine.firmware === "uefi";
	const x86 = machine.arch === "x86_64" || machine.arch === "i686";
	// Q35 has no IDE controller, and the other machine no Secure Boot.
	const pc = x86 && machine.controllers.some(({ model }) => model === "ide");
	if (pc && machine.secureBoot) {
		throw unsupported("libvirt has no machine with an IDE controller and Secure Boot", {
			hint: "Attach what hangs on IDE to an AHCI controller.",
		});
	}
	// CRB is x86 with version 2.0 only.
	const tpmModel = x86 && machine.tpm === "2.0" ? "tpm-crb" : "tpm-tis";
	return xmlDocument(
		element(
			"domain",
			{ type: "kvm" },
			element("name", {}, domainName(machine.name)),
			machine.uuid === undefined ? undefined : element("uuid", {}, machine.uuid),
			machine.description === undefined ? undefined : element("description", {}, machine.description),
			machine.memory % 1024 === 0
				? element("memory", { unit: "KiB" }, machine.memory / 1024)
				: element("memory", { unit: "b" }, machine.memory),
			element("vcpu", {}, machine.cpus),
			element(
				"os",
				{ firmware: uefi ? "efi" : undefined },
				element("type", { arch: machine.arch, machine: x86 ? (pc ? "pc" : "q35") : "virt" }, "hvm"),
				uefi
					? element(
							"firmware",
							{},
							element("feature", { enabled: machine.secureBoot ? "yes" : "no", name: "secure-boot" }),
						)
					: undefined,
			),
			element(
				"features",
				{},
				element("acpi"),
				x86 ? element("apic") : undefined,
				uefi && machine.secureBoot ? element("smm", { state: "on" }) : undefined,
			),
			element("cpu", { mode: "host-model" }),
			element("clock", { offset: "utc" }),
			element(
				"devices",
				{},
				...machine.controllers.flatMap(writeController),
				...writeDrives(machine),
				...machine.nics.map(({ model, mac, network }) =>
					element(
						"interface",
						{ type: "network" },
						mac === undefined ? undefined : element("mac", { address: mac }),
						element("source", { network: network ?? "default" }),
						element("model", { type: NICS[model] ?? model }),
					),
				),
				element("serial", { type: "pty" }),
				element("console", { type: "pty" }),
				element("input", { type: "tablet", bus: "usb" }),
				element("graphics", { type: "vnc", autoport: "yes" }),
				element("video", {}, element("model", { type: x86 ? "vga" : "virtio" })),
				machine.tpm &&
					element("tpm", { model: tpmModel }, element("backend", { type: "emulator", version: machine.tpm })),
				element("memballoon", { model: "virtio" }),
				element("rng", { model: "virtio" }, element("backend", { model: "random" }, "/dev/urandom")),
			),
		),
	);
}

/** A name without what libvirt refuses in one: slashes and line breaks. */
const domainName = (name: string) => name.replaceAll(/[/\n\r]/g, "-") || "machine";

/** The bus of a controller's disks; the ones that are only a disk's front end have no controller element. */
function diskBus(model: ControllerModel): string {
	const bus = busOf(model);
	const scsi = bus === "scsi" && Object.values(SCSI_MODELS).includes(model);
	if (scsi || (["ide", "sata", "virtio", "xen"].includes(bus) && model !== "hyperv-ide")) return bus;
	throw unsupported(`libvirt has no controller of model ${model}`, {
		hint: "Attach the disk to a virtio-blk, virtio-scsi, AHCI or IDE controller.",
	});
}

function writeController({ model, index }: Controller): Markup[] {
	const bus = diskBus(model);
	if (bus === "sata") return [element("controller", { type: "sata", index })];
	if (bus !== "scsi") return [];
	const word = Object.entries(SCSI_MODELS).find(([, known]) => known === model)?.[0];
	return [element("controller", { type: "scsi", index, model: word })];
}

function writeDrives(machine: Machine): Markup[] {
	const names = new Set<string>();
	const claim = (prefix: string, wanted: number) => {
		let at = wanted;
		while (names.has(prefix + letters(at))) at++;
		names.add(prefix + letters(at));
		return prefix + letters(at);
	};
	return machine.disks.map(({ kind, file, controller, unit = 0 }, order) => {
		const place = machine.controllers.find(({ id }) => id === controller);
		const bus = kind === "floppy" ? "fdc" : place === undefined ? "virtio" : diskBus(place.model);
		const ide = bus === "ide" && place !== undefined;
		const addressed = ide || bus === "sata" || bus === "scsi";
		const path = file === undefined || file.startsWith("/") ? file : `${IMAGE_FOLDER}/${file}`;
		return element(
			"disk",
			{ type: "file", device: kind },
			element("driver", { name: "qemu", type: kind === "disk" ? imageFormat(file) : "raw" }),
			path === undefined ? undefined : element("source", { file: path }),
			element("target", {
				dev: claim(PREFIXES[bus] ?? "sd", ide ? place.index * 2 + unit : addressed ? 0 : unit),
				bus,
			}),
			kind === "cdrom" ? element("readonly") : undefined,
			element("boot", { order: order + 1 }),
			addressed
				? element("address", {
						type: "drive",
						controller: ide ? 0 : place?.index,
						bus: ide ? place.index : 0,
						...(place !== undefined && BY_TARGET.includes(place.model)
							? { target: unit, unit: 0 }
							: { target: 0, unit }),
					})
				: undefined,
		);
	});
}

/** Where each disk is a target of its own; on the others libvirt counts units. */
const BY_TARGET: readonly ControllerModel[] = ["pvscsi", "lsisas1068"];

const PREFIXES: Readonly<Record<string, string>> = wordsOf({ ide: "hd", fdc: "fd", virtio: "vd", xen: "xvd" });

/** QEMU's drivers by the ending of a file's name; of the others it is raw. */
const FORMATS: Readonly<Record<string, string>> = wordsOf({
	qcow2: "qcow2",
	vhd: "vpc",
	vhdx: "vhdx",
	vmdk: "vmdk",
	vdi: "vdi",
});

const imageFormat = (file: string | undefined) => FORMATS[file?.split(".").at(-1)?.toLowerCase() ?? ""] ?? "raw";
