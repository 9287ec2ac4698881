import { damaged } from "../bytes/errors.js";
import { wordsOf } from "../bytes/words.js";
import type { DescriptorFile, Machine, MachineDisk, MachineNic } from "./machine.js";
import { Controllers, checkedCpus, checkedMemory, nameDisks, present } from "./shape.js";
import { macAddress, statedNumber, uuidOf } from "./units.js";

/** A tree of settings, as Hyper-V keeps one in XML (to 2012 R2) or in a VMCX file (since 2016). */
export class Settings {
	readonly value: string | undefined;
	readonly #children = new Map<string, Settings>();

	constructor(value: string | undefined) {
		this.value = value;
	}

	/** The first one of a name counts. */
	add(name: string, child: Settings): void {
		if (!this.#children.has(name)) this.#children.set(name, child);
	}

	get children(): ReadonlyMap<string, Settings> {
		return this.#children;
	}

	at(...names: string[]): Settings | undefined {
		return names.reduce<Settings | undefined>((node, name) => node?.children.get(name), this);
	}

	text(...names: string[]): string | undefined {
		return this.at(...names)?.value || undefined;
	}

	number(...names: string[]): number | undefined {
		return statedNumber(this.text(...names));
	}

	isTrue(...names: string[]): boolean {
		return this.text(...names)?.toLowerCase() === "true";
	}
}

/** What a machine is made of, in its manifest: by the class of the device. */
const IDE = "83f8638b-8dca-4152-9eda-2ca8b33039b4";
const SCSI = "d422512d-2bf2-4752-809d-7b82b5fcb1b4";
const ETHERNET = "2fc216b0-d2e2-4967-9b6d-b8a5c9ca2778";
const FLOPPY = "8f0d2762-0b00-4e04-af4f-19010527cb93";
/** Firmware, with the SMBIOS. */
const FIRMWARE = "ac6b8dc1-3257-4a70-b1b2-a9c9215659ad";
/** By their names: what has no place in a machine. */
const OTHERS = /Fib(?:re|er) Channel|PCI Express|GPU|Persistent Memory/i;
const EMULATED_ETHERNET = /Ethernet/;

const KINDS: Readonly<Record<string, MachineDisk["kind"]>> = wordsOf({ VHD: "disk", ISO: "cdrom", VFD: "floppy" });
/** The second generation, which has UEFI. */
const GENERATION_2 = 1;

interface Device {
	readonly device: string;
	readonly name: string;
	readonly settings: Settings | undefined;
}

/** @param lost what the file itself says besides */
export function machineOfSettings(
	configuration: Settings,
	file: DescriptorFile,
	origin: string,
	lost: string[],
): Machine {
	const properties = configuration.at("properties");
	if (properties === undefined || configuration.at("manifest") === undefined) {
		throw damaged(`${file.name} describes no virtual machine`, {
			file: file.name,
			hint: "Name the .vmcx (before 2016, the .xml) in the folder Virtual Machines; a .vmrs is the state of one that ran.",
		});
	}
	const devices = devicesOf(configuration);
	const of = (device: string) => devices.filter((each) => each.device === device);
	const firmware = configuration.at(`_${FIRMWARE}_`);
	const uefi = properties.number("subtype") === GENERATION_2;
	const controllers = new Controllers();
	const drives: Omit<MachineDisk, "id">[] = [];
	for (const { settings } of of(IDE)) drives.push(...drivesOf(settings, controllers, "hyperv-ide", lost));
	for (const [index, { settings }] of of(SCSI).entries()) {
		drives.push(...drivesOf(settings, controllers, "hyperv-scsi", lost, index));
	}
	for (const { settings } of of(FLOPPY)) drives.push(...drivesOf(settings, controllers, undefined, lost));
	const nics = devices.filter(({ device, name }) => device === ETHERNET || EMULATED_ETHERNET.test(name));
	for (const { name } of devices) if (OTHERS.test(name)) lost.push(`The device "${name}" is not carried over.`);
	if ((configuration.number("global_settings", "snapshots", "list", "size") ?? 0) > 0) {
		lost.push("The checkpoints of the machine are not carried over.");
	}
	const megabytes = configuration.number("settings", "memory", "bank", "size");
	return {
		name: properties.text("name") ?? file.name.replace(/\.(?:vmcx|xml)$/i, ""),
		...present({
			description: properties.text("notes"),
			uuid: uuidOf(firmware?.text("bios_guid")),
		}),
		arch: "x86_64",
		firmware: uefi ? "uefi" : "bios",
		secureBoot: uefi && firmware?.isTrue("secure_boot_enabled") === true,
		...(devices.some(({ name }) => /TPM/i.test(name)) ? { tpm: "2.0" as const } : {}),
		cpus: checkedCpus(configuration.number("settings", "processors", "count"), file.name, lost),
		memory: checkedMemory(megabytes === undefined ? undefined : megabytes * 2 ** 20, file.name, lost),
		controllers: controllers.list(),
		disks: nameDisks(drives),
		nics: nics.map(readNic),
		origin,
		lost,
	};
}

function devicesOf(configuration: Settings): Device[] {
	const settingsOf = new Map(
		[...configuration.children].map(([name, settings]) => [name.replaceAll("_", "").toLowerCase(), settings]),
	);
	return [...(configuration.at("manifest")?.children ?? [])]
		.filter(([name]) => name.startsWith("vdev"))
		.map(([, entry]) => ({
			device: entry.text("device")?.toLowerCase() ?? "",
			name: entry.text("name") ?? "",
			settings: settingsOf.get(entry.text("instance")?.toLowerCase() ?? ""),
		}));
}

/** @param only number of a SCSI controller, which is a device of its own; those of IDE are channels of one */
function drivesOf(
	settings: Settings | undefined,
	controllers: Controllers,
	model: "hyperv-ide" | "hyperv-scsi" | undefined,
	lost: string[],
	only?: number,
): Omit<MachineDisk, "id">[] {
	const numbered = (node: Settings | undefined, word: string) =>
		[...(node?.children ?? [])]
			.flatMap(([name, child]) => {
				const number = new RegExp(`^${word}(\\d{1,3})$`).exec(name)?.[1];
				return number === undefined ? [] : [[Number(number), child] as const];
			})
			.toSorted(([a], [b]) => a - b);
	return numbered(settings, "controller").flatMap(([channel, controller]) => {
		const place = model === undefined ? undefined : controllers.at(model, only ?? channel);
		return numbered(controller, "drive").flatMap(([unit, drive]): Omit<MachineDisk, "id">[] => {
			const type = drive.text("type") ?? "NONE";
			if (type === "NONE") return [];
			const kind = KINDS[type];
			if (kind === undefined) {
				lost.push(`A drive is of the type ${type}, a device of its host: it is not carried over.`);
				return [];
			}
			return [present({ kind, file: drive.text("pathname"), controller: place?.id, unit: place && unit })];
		});
	});
}

function readNic({ device, settings }: Device): MachineNic {
	const mac = macAddress(settings?.text("MacAddress"));
	return present({
		model: device === ETHERNET ? "netvsc" : "tulip",
		// One that was never started has none yet.
		mac: mac === "00:00:00:00:00:00" ? undefined : mac,
		network: settings?.text("Connection", "AltSwitchName") ?? settings?.text("SwitchName"),
	});
}
