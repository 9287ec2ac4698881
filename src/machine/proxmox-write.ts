import { unsupported } from "../bytes/errors.js";
import { wordsOf } from "../bytes/words.js";
import type { ControllerModel, Machine, MachineDisk, MachineNic } from "./machine.js";
import { bridgeOf } from "./shape.js";

/** A key of the configuration and its value, which is an option of `qm create` and its argument as well. */
export type Setting = readonly [key: string, value: string];

/** What a configuration says beyond its machine. */
export interface ProxmoxDetails {
	/** Where the host has a disk: its volume, and options of it. By default the file in the storage of a new host. */
	readonly volume?: (disk: MachineDisk, index: number) => string;
	/** `l26`, `other` */
	readonly ostype?: string;
}

/** The id that a new host gives first. */
export const FIRST_ID = 100;
/** The bridge that every host has. */
export const BRIDGE = "vmbr0";

interface Bus {
	readonly name: string;
	/** Most drives of it. */
	readonly drives: number;
}

const BUSES: Readonly<Partial<Record<ControllerModel, Bus>>> = {
	"virtio-scsi": { name: "scsi", drives: 31 },
	pvscsi: { name: "scsi", drives: 31 },
	"virtio-blk": { name: "virtio", drives: 16 },
	ahci: { name: "sata", drives: 6 },
	ide: { name: "ide", drives: 4 },
};

const NICS: Readonly<Record<string, string>> = wordsOf({
	"virtio-net": "virtio",
	e1000: "e1000",
	e1000e: "e1000e",
	rtl8139: "rtl8139",
	vmxnet3: "vmxnet3",
	pcnet32: "pcnet",
});

/** Models that can be written. */
export const PROXMOX_TAKES = {
	controllers: ["virtio-scsi", "pvscsi", "virtio-blk", "ahci", "ide"],
	nics: Object.keys(NICS),
} as const;

/**
 * The machine's settings, but for its description. The processor is the host's: guests of today do not start on the
 * default, which has what processors had in 2003.
 *
 * @throws `unsupported` for devices that Proxmox VE does not have, or not as many of
 */
export function proxmoxSettings(machine: Machine, { volume = asFile, ostype }: ProxmoxDetails = {}): Setting[] {
	const { controllers, firmware, arch, uuid } = machine;
	const drives = drivesOf(machine, volume);
	// On Q35, "IDE" is AHCI.
	const isa = controllers.some(({ model }) => model === "ide");
	const optional = (key: string, value: string | undefined): Setting[] => (value === undefined ? [] : [[key, value]]);
	return [
		...optional("arch", arch === "aarch64" ? arch : undefined),
		...optional("bios", firmware === "uefi" ? "ovmf" : undefined),
		...optional("boot", drives.length === 0 ? undefined : `order=${drives.map(([slot]) => slot).join(";")}`),
		["cores", String(machine.cpus)],
		["cpu", "host"],
		...optional("machine", isa || arch === "aarch64" ? undefined : "q35"),
		["memory", String(Math.max(16, Math.ceil(machine.memory / 2 ** 20)))],
		["name", dnsName(machine.name)],
		...optional("ostype", ostype),
		...optional("scsihw", scsiHardware(machine)),
		...optional("smbios1", uuid === undefined ? undefined : `uuid=${uuid}`),
		...drives,
		...machine.nics.map((nic, index): Setting => [`net${index}`, nicSetting(nic)]),
	];
}

/** What all SCSI drives hang on. */
function scsiHardware({ controllers }: Machine): string | undefined {
	const [one, other] = ["virtio-scsi", "pvscsi"].filter((wanted) => controllers.some(({ model }) => model === wanted));
	if (other !== undefined)
		throw unsupported(`Proxmox VE has one model of SCSI controllers for all, not ${one} and ${other}`);
	return one === "virtio-scsi" ? "virtio-scsi-pci" : one;
}

/** The configuration's text; see {@link proxmox} for where it is defined. */
export function writeProxmox(machine: Machine, details?: ProxmoxDetails): string {
	const description = machine.description?.split(/\r?\n/).map((line) => `#${escaped(line)}`) ?? [];
	const settings = proxmoxSettings(machine, details).map(([key, value]) => `${key}: ${value}`);
	return `${[...description, ...settings].join("\n")}\n`;
}

/** Colons too: else a description could look like what vzdump says of a disk. */
const escaped = (line: string) =>
	// oxlint-disable-next-line no-control-regex -- all that is not printable ASCII
	line.replaceAll(/[^\u0020-\u007e]|[%:]/gu, (char) => {
		const bytes = new TextEncoder().encode(char);
		return Array.from(bytes, (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("");
	});

/** A name of a host, which is all that names may be here. */
function dnsName(name: string): string {
	const labels = name
		.normalize("NFKD")
		.replaceAll(/\p{Mark}/gu, "")
		.slice(0, 60)
		.split(".")
		.map((label) =>
			label
				.replaceAll(/[^A-Za-z0-9]+/g, "-")
				.replace(/^-+/, "")
				.replace(/-+$/, ""),
		);
	return labels.filter((label) => label !== "").join(".") || "machine";
}

function drivesOf(
	{ controllers, disks }: Machine,
	volume: NonNullable<ProxmoxDetails["volume"]>,
): (readonly [slot: string, value: string])[] {
	const counts = new Map<string, number>();
	return disks.flatMap((disk, index) => {
		if (disk.kind === "floppy") return [];
		const controller = controllers.find(({ id }) => id === disk.controller);
		const bus = controller && BUSES[controller.model];
		if (controller === undefined || bus === undefined) {
			throw unsupported(`Proxmox VE has no controller of model ${controller?.model ?? "unknown"}`);
		}
		const count = counts.get(bus.name) ?? 0;
		counts.set(bus.name, count + 1);
		// Which channel of IDE a drive is on matters to guests that name it by that; elsewhere they are just numbered.
		const number = bus.name === "ide" ? controller.index * 2 + (disk.unit ?? 0) : count;
		if (number >= bus.drives) throw unsupported(`Proxmox VE has at most ${bus.drives} drives on ${bus.name}`);
		return [[`${bus.name}${number}`, disk.kind === "cdrom" ? cdrom(disk) : withSize(volume(disk, index), disk)]];
	});
}

const cdrom = ({ file }: MachineDisk) =>
	`${file === undefined ? "none" : `local:iso/${plain(file.split(/[/\\]/).at(-1) ?? "")}`},media=cdrom`;

const asFile = ({ file = "", id }: MachineDisk) =>
	file.startsWith("/") ? plain(file) : `local:${FIRST_ID}/${plain(file.split(/[/\\]/).at(-1) ?? "") || id}`;

/** A name that cannot be taken for options, or another line. */
function plain(file: string): string {
	// oxlint-disable-next-line no-control-regex -- these end a line
	if (!/[,=:"\u0000-\u001f\u007f]/.test(file) && file === file.trim()) return file;
	throw unsupported(`Proxmox VE cannot have a disk in a file named ${JSON.stringify(file)}`, {
		file,
		hint: "Rename it: without commas, colons, quotation marks and equals signs.",
	});
}

function withSize(volume: string, { capacity }: MachineDisk): string {
	if (capacity === undefined) return volume;
	const power = [3, 2, 1].find((each) => capacity > 0 && capacity % 1024 ** each === 0) ?? 0;
	return `${volume},size=${capacity / 1024 ** power}${["", "K", "M", "G"][power]}`;
}

function nicSetting({ model, mac, network }: MachineNic): string {
	const word = NICS[model];
	if (word === undefined) throw unsupported(`Proxmox VE has no network card of model ${model}`);
	const bridge = bridgeOf(network) ?? BRIDGE;
	return `${word}${mac === undefined ? "" : `=${mac.toUpperCase()}`},bridge=${bridge}`;
}
