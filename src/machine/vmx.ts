import { refused, unsupported } from "../bytes/errors.js";
import { wordsOf } from "../bytes/words.js";
import type { ControllerModel, DescriptorFile, Machine, MachineDisk, MachineFormat, MachineNic } from "./machine.js";
import { busOf, Controllers, checkedCpus, checkedMemory, enumerate, nameDisks, present } from "./shape.js";
import { macAddress, statedNumber, uuidOf } from "./units.js";

/** VMware's machine configuration: lines of `key = "value"`, keys without regard to case. */
export const vmx: MachineFormat = {
	id: "vmx",
	matches: ({ bytes }) =>
		/^[ \t]*(?:config\.version|virtualHW\.version|encryption\.keySafe)[ \t]*=[ \t]*"/im.test(
			new TextDecoder("latin1").decode(bytes.subarray(0, 64 << 10)),
		),
	read: (file) => Promise.resolve().then(() => readVmx(file)),
	write: (machine) => writeVmx(machine),
	says: ["tpm", "secure-boot", "floppy"],
	takes: {
		controllers: ["pvscsi", "lsilogic", "lsisas1068", "buslogic", "ahci", "nvme", "ide"],
		nics: ["e1000", "e1000e", "vmxnet3", "pcnet32"],
	},
};

/** `scsi` controllers by `virtualDev`; other buses have one model each. */
const SCSI_MODELS: Readonly<Record<string, ControllerModel>> = wordsOf({
	pvscsi: "pvscsi",
	lsilogic: "lsilogic",
	lsisas1068: "lsisas1068",
	buslogic: "buslogic",
});

/** Buses in the order in which VMware's BIOS looks for a boot disk. */
const BUSES: Readonly<Record<string, ControllerModel>> = { scsi: "unknown", sata: "ahci", nvme: "nvme", ide: "ide" };

/** {@link MachineNic.model} to `virtualDev` where the two differ. */
const NICS: Readonly<Record<string, string>> = wordsOf({ pcnet32: "vlance" });

/** Settings of which the word before the first dot or digit is here say nothing a machine needs elsewhere. */
const HOUSEKEEPING = new Set(
	(
		"bios checkpoint chipset cleanshutdown config displayname encoding extendedconfigfile floppy guestos hpet ide " +
		"memsize migrate monitor nvme numvcpus pcibridge powertype replay sata scsi softpoweroff svga sched tools " +
		"toolscripts toolsinstallmanager firmware annotation ethernet uefi uuid vc virtualhw vmci vm vmotion hostcpuid " +
		"guestcpuid usercpuid evcompid mks msg gui proxyapps unity cpuid numa managedvm vtpm"
	).split(" "),
);

/** What devices without a place in a machine are called, by the same word. */
const DEVICES: Readonly<Record<string, string>> = wordsOf({
	usb: "USB controller",
	usb_xhci: "USB 3 controller",
	ehci: "USB 2 controller",
	sound: "sound card",
	serial: "serial port",
	parallel: "parallel port",
	pcipassthru: "passed-through PCI device",
	nvdimm: "NVDIMM",
	sharedfolder: "shared folder",
});

/** Has Workstation and Fusion add a TPM, and encrypt what it needs encrypted. */
const AUTO_TPM = "managedVM.autoAddVTPM";
/** Virtual hardware that has a TPM. */
const TPM_VERSION = 14;

function readVmx(file: DescriptorFile): Machine {
	const settings = parseVmx(file);
	if (settings.has("encryption.data") || settings.has("encryption.keysafe")) {
		throw refused(`${file.name} is encrypted`, {
			file: file.name,
			hint: "Remove the encryption in VMware (VM > Settings > Options > Access Control), then try again.",
		});
	}
	const get = (key: string) => settings.get(key.toLowerCase()) || undefined;
	const isTrue = (key: string) => get(key)?.toLowerCase() === "true";
	const lost: string[] = [];

	const controllers = new Controllers();
	const drives: { readonly slot: string; readonly drive: Omit<MachineDisk, "id"> }[] = [];
	for (const [bus, busModel] of Object.entries(BUSES)) {
		for (const index of numbered(settings, new RegExp(`^${bus}(\\d{1,2})[.:]`))) {
			const present = isTrue(`${bus}${index}.present`);
			if (!present && bus !== "ide") continue;
			const slots = numbered(settings, new RegExp(`^${bus}${index}:(\\d{1,3})\\.`)).filter((unit) =>
				isTrue(`${bus}${index}:${unit}.present`),
			);
			if (!present && slots.length === 0) continue;
			const named = get(`${bus}${index}.virtualDev`);
			const model = bus === "scsi" ? (SCSI_MODELS[named?.toLowerCase() ?? ""] ?? busModel) : busModel;
			if (model === "unknown")
				lost.push(`The controller scsi${index} is of an unknown model, ${named ?? "not named"}.`);
			const controller = controllers.add(model, index);
			for (const unit of slots) {
				const slot = `${bus}${index}:${unit}`;
				const backing = backingOf(get(`${slot}.deviceType`), get(`${slot}.fileName`));
				drives.push({ slot, drive: { ...backing, controller: controller.id, unit } });
			}
		}
	}
	for (const index of numbered(settings, /^floppy(\d)\./)) {
		// Unlike every other device, a floppy drive is there unless it is said to be absent.
		if (get(`floppy${index}.present`)?.toLowerCase() === "false") continue;
		const backing = backingOf("floppy", get(`floppy${index}.fileName`));
		drives.push({ slot: `floppy${index}`, drive: { ...backing, unit: index } });
	}
	const first =
		get("bios.hddOrder")
			?.split(",")
			.map((slot) => slot.trim().toLowerCase()) ?? [];
	const rank = ({ slot }: { slot: string }) => (first.includes(slot) ? first.indexOf(slot) : first.length);
	const disks = drives.toSorted((a, b) => rank(a) - rank(b)).map(({ drive }) => drive);

	const mebibytes = statedNumber(get("memsize"));
	noteDevices(settings, isTrue, lost);
	return {
		name: get("displayName") ?? file.name.replace(/\.vmx$/i, ""),
		...present({ description: get("annotation"), uuid: uuidOf(get("uuid.bios")) }),
		arch: /^arm/i.test(get("guestOS") ?? "") ? "aarch64" : "x86_64",
		firmware: get("firmware")?.toLowerCase() === "efi" ? "uefi" : "bios",
		secureBoot: isTrue("uefi.secureBoot.enabled"),
		// Every TPM of VMware's is of version 2.0.
		...(isTrue("vtpm.present") || get(AUTO_TPM)?.toLowerCase() === "software" ? { tpm: "2.0" as const } : {}),
		// One CPU is VMware's default, and files of single-CPU machines leave it out.
		cpus: checkedCpus(statedNumber(get("numvcpus")) ?? 1, file.name, lost),
		memory: checkedMemory(mebibytes === undefined ? undefined : mebibytes * 2 ** 20, file.name, lost),
		controllers: controllers.list(),
		disks: nameDisks(disks),
		nics: numbered(settings, /^ethernet(\d{1,2})\./)
			.filter((index) => isTrue(`ethernet${index}.present`))
			.map((index) => nic((key) => get(`ethernet${index}.${key}`))),
		origin: "vmx",
		lost,
	};
}

/** The settings by lower-case key. Values hold any character as `|` and two hex digits of its code. */
function parseVmx({ bytes }: DescriptorFile): Map<string, string> {
	const latin = new TextDecoder("latin1").decode(bytes);
	const declared = /^[ \t]*\.encoding[ \t]*=[ \t]*"([^"\n]*)"/im.exec(latin)?.[1] ?? "utf-8";
	const settings = new Map<string, string>();
	for (const line of decode(bytes, declared).split("\n")) {
		const found = /^\s*([\w.:-]+)\s*=\s*"([^"]*)"/.exec(line);
		if (found?.[1] === undefined) continue;
		const value = (found[2] ?? "").replaceAll(/\|([0-9a-f]{2})/gi, (_, hex: string) =>
			String.fromCharCode(Number.parseInt(hex, 16)),
		);
		settings.set(found[1].toLowerCase(), value);
	}
	return settings;
}

function decode(bytes: Uint8Array, label: string): string {
	try {
		return new TextDecoder(label).decode(bytes);
	} catch {
		// An encoding only the machine it was written on knows; names may come out wrong, settings do not.
		return new TextDecoder("latin1").decode(bytes);
	}
}

/** The distinct numbers that `pattern` finds in the keys, ascending. */
const numbered = (settings: ReadonlyMap<string, string>, pattern: RegExp) =>
	[...new Set([...settings.keys()].flatMap((key) => pattern.exec(key)?.[1] ?? []).map(Number))].sort((a, b) => a - b);

/** Names that stand for "no file": a host's own drive, a console's, or none at all. */
const NO_FILE = new Set(["", "auto detect", "emptybackingstring", "vmware-null-remote-floppy", "a:"]);

function backingOf(type: string | undefined, fileName: string | undefined) {
	const word = type?.toLowerCase() ?? "disk";
	const kind =
		word === "floppy" ? ("floppy" as const) : word.includes("cdrom") ? ("cdrom" as const) : ("disk" as const);
	const raw = word === "cdrom-raw" || word === "atapi-cdrom" || NO_FILE.has(fileName?.toLowerCase() ?? "");
	return { kind, ...present({ file: raw ? undefined : fileName }) };
}

function nic(get: (key: string) => string | undefined): MachineNic {
	const device = get("virtualDev")?.toLowerCase() ?? "vlance";
	const model = Object.entries(NICS).find(([, name]) => name === device)?.[0] ?? device;
	return present({
		model,
		mac: macAddress(get("address") ?? get("generatedAddress")),
		network: get("networkName") ?? get("connectionType"),
	});
}

function noteDevices(settings: ReadonlyMap<string, string>, isTrue: (key: string) => boolean, lost: string[]): void {
	const others: string[] = [];
	for (const key of settings.keys()) {
		const word = /^\.?([a-z_]+)/.exec(key)?.[1] ?? key;
		const device = DEVICES[word];
		if (device !== undefined) {
			if (key.endsWith(".present") && isTrue(key)) lost.push(`The ${device} ${key.slice(0, -8)} is not carried over.`);
		} else if (!HOUSEKEEPING.has(word)) others.push(word);
	}
	if (others.length > 0) lost.push(`These settings are not carried over: ${enumerate(others)}.`);
}

/**
 * The oldest virtual hardware that has what the machine uses, since VMware refuses a version newer than itself:
 * version 11 is ESXi 6.0, NVMe controllers and Secure Boot came with 13, ESXi 6.5.
 */
export const hardwareVersion = ({ controllers, secureBoot }: Pick<Machine, "controllers" | "secureBoot">) =>
	secureBoot || controllers.some(({ model }) => model === "nvme") ? 13 : 11;

/**
 * The configuration for VMware Workstation, Fusion and ESXi.
 *
 * @throws `unsupported` for a controller or drive that VMware does not have.
 */
export function writeVmx(machine: Machine, guestOS = "other-64"): string {
	const settings: [string, string | number][] = [
		[".encoding", "UTF-8"],
		["config.version", 8],
		["virtualHW.version", Math.max(hardwareVersion(machine), machine.tpm === undefined ? 0 : TPM_VERSION)],
		["displayName", machine.name],
		["guestOS", machine.arch === "aarch64" ? "arm-other-64" : guestOS],
		["numvcpus", machine.cpus],
		["memsize", Math.max(1, Math.round(machine.memory / 2 ** 20))],
		// PCIe root ports: without them PVSCSI, VMXNET3 and NVMe have no slot to sit in.
		["pciBridge0.present", "TRUE"],
		...[4, 5, 6, 7].flatMap((bridge): [string, string | number][] => [
			[`pciBridge${bridge}.present`, "TRUE"],
			[`pciBridge${bridge}.virtualDev`, "pcieRootPort"],
			[`pciBridge${bridge}.functions`, 8],
		]),
	];
	// BIOS is what VMware has when nothing is said; libvirt's reader refuses to be told so.
	if (machine.firmware === "uefi") settings.push(["firmware", "efi"]);
	if (machine.description !== undefined) settings.push(["annotation", machine.description]);
	if (machine.secureBoot) settings.push(["uefi.secureBoot.enabled", "TRUE"]);
	if (machine.tpm !== undefined) settings.push([AUTO_TPM, "software"]);
	if (machine.uuid !== undefined) settings.push(["uuid.bios", vmwareUuid(machine.uuid)], ["uuid.action", "keep"]);

	for (const { model, index } of machine.controllers) {
		const bus = busOf(model);
		const scsi = SCSI_MODELS[model];
		if (bus === "scsi" ? scsi === undefined : BUSES[bus] === undefined) {
			throw unsupported(`VMware has no controller of model ${model}`, {
				hint: "Attach the disk to a PVSCSI, LSI Logic, AHCI or NVMe controller.",
			});
		}
		settings.push([`${bus}${index}.present`, "TRUE"]);
		if (scsi !== undefined) settings.push([`${bus}${index}.virtualDev`, scsi]);
	}
	const floppies = machine.disks.filter(({ kind }) => kind === "floppy");
	if (floppies.length === 0) settings.push(["floppy0.present", "FALSE"]);
	floppies.forEach(({ file }, index) => settings.push(...driveSettings(`floppy${index}`, "floppy", file)));
	for (const { kind, file, controller, unit, id } of machine.disks) {
		if (kind === "floppy") continue;
		const place = machine.controllers.find((candidate) => candidate.id === controller);
		if (place === undefined || unit === undefined) throw unsupported(`VMware needs to know where ${id} is attached`);
		settings.push(...driveSettings(`${busOf(place.model)}${place.index}:${unit}`, kind, file));
	}
	machine.nics.forEach((nic, index) => settings.push(...nicSettings(`ethernet${index}`, nic)));
	return settings.map(([key, value]) => `${key} = "${quoted(String(value))}"\n`).join("");
}

/** Pairs of digits with spaces, and one dash in the middle. */
const vmwareUuid = (uuid: string) =>
	uuid
		.replaceAll("-", "")
		.replaceAll(/(..)(?!$)/g, "$1 ")
		.replace(/^(.{23}) /, "$1-");

function driveSettings(slot: string, kind: MachineDisk["kind"], file: string | undefined): [string, string][] {
	const type = { disk: undefined, cdrom: file === undefined ? "cdrom-raw" : "cdrom-image", floppy: undefined }[kind];
	return [
		[`${slot}.present`, "TRUE"],
		...(type === undefined ? [] : ([[`${slot}.deviceType`, type]] as [string, string][])),
		[`${slot}.fileName`, file ?? (kind === "floppy" ? "vmware-null-remote-floppy" : "auto detect")],
	];
}

const CONNECTIONS: readonly string[] = ["bridged", "nat", "hostonly"];

function nicSettings(slot: string, { model, mac, network }: MachineNic): [string, string][] {
	const settings: [string, string][] = [
		[`${slot}.present`, "TRUE"],
		[`${slot}.virtualDev`, NICS[model] ?? model],
	];
	if (network !== undefined) {
		const hosted = CONNECTIONS.includes(network);
		settings.push([`${slot}.connectionType`, hosted ? network : "bridged"]);
		// Hosted products go by the connection's type, ESXi by the network's name.
		if (!hosted) settings.push([`${slot}.networkName`, network]);
	}
	if (mac === undefined) return [...settings, [`${slot}.addressType`, "generated"]];
	settings.push([`${slot}.addressType`, "static"], [`${slot}.address`, mac]);
	// VMware takes addresses outside its own static range only when it is told not to look.
	if (!/^00:50:56:[0-3]/.test(mac)) settings.push([`${slot}.checkMACAddress`, "FALSE"]);
	return settings;
}

const quoted = (value: string) =>
	value.replaceAll(
		// oxlint-disable-next-line no-control-regex -- exactly the characters that end a value or a line
		/["|\u0000-\u001f]/g,
		(char) => `|${char.charCodeAt(0).toString(16).padStart(2, "0").toUpperCase()}`,
	);
