import { damaged } from "../bytes/errors.js";
import { wordsOf } from "../bytes/words.js";
import type { ControllerModel, DescriptorFile, Machine, MachineDisk, MachineFormat, MachineNic } from "./machine.js";
import { PROXMOX_TAKES, writeProxmox } from "./proxmox-write.js";
import { Controllers, checkedCpus, checkedMemory, enumerate, nameDisks, present } from "./shape.js";
import { macAddress, statedNumber, unitBytes, uuidOf, wholeNumber } from "./units.js";

/**
 * A VM's configuration in Proxmox VE, `/etc/pve/qemu-server/<id>.conf`: lines of `key: value`.
 * https://pve.proxmox.com/pve-docs/qm.conf.5.html
 */
export const proxmox: MachineFormat = {
	id: "proxmox",
	matches: isConfiguration,
	read: (file) => Promise.resolve().then(() => readConfiguration(file)),
	write: (machine) => writeProxmox(machine),
	takes: PROXMOX_TAKES,
};

const TELLING = /^(?:ostype|scsihw|smbios1|vmgenid|bootdisk|(?:net|scsi|ide|sata|virtio|efidisk)\d{1,2})$/;
/** Said by other texts too, but not by files of that name. */
const TELLING_IN_CONF = /^(?:machine|agent|cores|sockets|memory|cpu)$/;
const LINE = /^([a-z][a-z_-]*\d{0,3}):(.*)$/;

function isConfiguration({ name, bytes }: DescriptorFile): boolean {
	const { current } = sectionsOf(new TextDecoder("latin1").decode(bytes.subarray(0, 64 << 10)));
	// The last line may have been cut.
	const lines = current.filter((line) => line.trim() !== "" && !line.startsWith("#"));
	const keys = lines.map((line) => LINE.exec(line)?.[1]);
	const conf = name.endsWith(".conf");
	const tells = (key = "") => TELLING.test(key) || (conf && TELLING_IN_CONF.test(key));
	return keys.some(tells) && !keys.slice(0, -1).includes(undefined);
}

/** The configuration now, and the names of the sections behind it: snapshots, and what is not in force yet. */
function sectionsOf(text: string) {
	const lines = text.split(/\r?\n/);
	const names = lines.flatMap((line) => /^\[([^\]]+)\]\s*$/.exec(line)?.[1] ?? []);
	const first = lines.findIndex((line) => /^\[[^\]]+\]\s*$/.test(line));
	return { current: first === -1 ? lines : lines.slice(0, first), names };
}

/** A value's parts, `key=part`; what has no key is under the empty one. */
function parts(value: string): ReadonlyMap<string, string> {
	return new Map(
		value.split(",").map((part) => {
			const at = part.indexOf("=");
			return at === -1 ? ["", part.trim()] : [part.slice(0, at).trim(), part.slice(at + 1).trim()];
		}),
	);
}

/** Most drives of a bus, and how many of them one controller takes. */
const BUSES = {
	ide: { drives: 4, each: 2 },
	sata: { drives: 6, each: 6 },
	scsi: { drives: 31, each: 256 },
	virtio: { drives: 16, each: 16 },
} as const;

const SCSI_MODELS: Readonly<Record<string, ControllerModel>> = wordsOf({
	pvscsi: "pvscsi",
	"virtio-scsi-pci": "virtio-scsi",
	"virtio-scsi-single": "virtio-scsi",
});

/** {@link MachineNic.model} by the configuration's word, where the two differ. */
const NICS: Readonly<Record<string, string>> = wordsOf({
	virtio: "virtio-net",
	pcnet: "pcnet32",
	"e1000-82540em": "e1000",
	"e1000-82544gc": "e1000",
	"e1000-82545em": "e1000",
});

/** What has no place in a machine, by the word before its number. */
const DEVICES: Readonly<Record<string, string>> = wordsOf({
	hostpci: "passed-through PCI device",
	usb: "USB device",
	serial: "serial port",
	parallel: "parallel port",
	virtiofs: "shared folder",
	ivshmem: "shared memory",
	unused: "disk that is not attached",
	"amd-sev": "encryption of memory",
	"intel-tdx": "encryption of memory",
});

function readConfiguration(file: DescriptorFile): Machine {
	const { current, names } = sectionsOf(new TextDecoder().decode(file.bytes));
	const settings = new Map<string, string>();
	const description: string[] = [];
	for (const line of current) {
		const [, key, value] = LINE.exec(line) ?? [];
		if (BACKED_UP.test(line)) continue;
		if (line.startsWith("#")) description.push(unescaped(line.slice(1).trim()));
		else if (key !== undefined && value !== undefined) settings.set(key, value.trim());
	}
	const lost: string[] = [];
	const number = (key: string) => statedNumber(settings.get(key));
	const controllers = new Controllers();
	const efi = parts(settings.get("efidisk0") ?? "");
	const text = description.join("\n").trim() || settings.get("description");
	const memory = settings.get("memory");
	// Newer versions write memory as a list; one of 512 MiB has no entry at all.
	const mebibytes = memory === undefined ? 512 : wholeNumber(parts(memory).get("current") ?? parts(memory).get(""));

	const machine = {
		name: settings.get("name") ?? file.name.replace(/\.conf$/i, ""),
		...present({ description: text, uuid: uuidOf(parts(settings.get("smbios1") ?? "").get("uuid")) }),
		arch: settings.get("arch") ?? "x86_64",
		firmware: settings.get("bios") === "ovmf" ? ("uefi" as const) : ("bios" as const),
		secureBoot: settings.get("bios") === "ovmf" && efi.get("pre-enrolled-keys") === "1",
		...tpmOf(settings.get("tpmstate0")),
		cpus: checkedCpus(number("vcpus") ?? (number("sockets") ?? 1) * (number("cores") ?? 1), file.name, lost),
		memory: checkedMemory((mebibytes ?? Number.NaN) * 2 ** 20, file.name, lost),
		disks: nameDisks(readDrives(settings, controllers, file.name, lost)),
		nics: numbered(settings, "net", 32).map(([index, value]) => readNic(`net${index}`, value, lost)),
	};
	noteLost(settings, names, lost);
	return { ...machine, controllers: controllers.list(), origin: "proxmox", lost };
}

/** What vzdump adds to the configuration in a backup. */
const BACKED_UP = /^#(?:qmdump|vzdump)#/;

/** https://pve.proxmox.com/pve-docs/qm.1.html: without a version it is 1.2. */
function tpmOf(state: string | undefined): Pick<Machine, "tpm"> {
	if (state === undefined) return {};
	return { tpm: parts(state).get("version") === "v2.0" ? "2.0" : "1.2" };
}

function unescaped(line: string): string {
	try {
		return decodeURIComponent(line);
	} catch {
		return line;
	}
}

/** The settings `word0`, `word1`, …, ascending. */
const numbered = (settings: ReadonlyMap<string, string>, word: string, most: number) =>
	Array.from({ length: most }, (_, i) => [i, settings.get(`${word}${i}`)] as const).filter(
		(entry): entry is readonly [number, string] => entry[1] !== undefined,
	);

/** The drives in boot order, then by bus and number. */
function readDrives(
	settings: ReadonlyMap<string, string>,
	controllers: Controllers,
	file: string,
	lost: string[],
): Omit<MachineDisk, "id">[] {
	const scsi = settings.get("scsihw") ?? "lsi";
	const models = { ide: "ide", sata: "ahci", scsi: SCSI_MODELS[scsi] ?? "unknown", virtio: "virtio-blk" } as const;
	const single = scsi === "virtio-scsi-single";
	const drives: { readonly slot: string; readonly drive: Omit<MachineDisk, "id"> }[] = [];
	for (const bus of ["scsi", "virtio", "sata", "ide"] as const) {
		for (const [index, value] of numbered(settings, bus, BUSES[bus].drives)) {
			const each = bus !== "scsi" ? BUSES[bus].each : single ? 1 : scsi.startsWith("lsi") ? 7 : BUSES.scsi.each;
			const { id } = controllers.at(models[bus], Math.floor(index / each));
			const drive = readDrive(value, `${bus}${index}`, file, lost);
			drives.push({ slot: `${bus}${index}`, drive: { ...drive, controller: id, unit: index % each } });
		}
	}
	if (models.scsi === "unknown" && drives.some(({ slot }) => slot.startsWith("scsi"))) {
		lost.push(`The SCSI controller is of the model ${scsi}, which machines do not have.`);
	}
	const { boot = "" } = Object.fromEntries(settings);
	const order = [...(parts(boot).get("order")?.split(";") ?? []), settings.get("bootdisk") ?? ""];
	const rank = ({ slot }: { slot: string }) => (order.includes(slot) ? order.indexOf(slot) : order.length);
	return drives.toSorted((a, b) => rank(a) - rank(b)).map(({ drive }) => drive);
}

function readDrive(value: string, slot: string, file: string, lost: string[]) {
	const given = parts(value);
	const volume = given.get("") ?? given.get("file") ?? "";
	const size = /^(\d+(?:\.\d+)?)([KMGT]?)$/.exec(given.get("size") ?? "");
	const capacity = size === null ? undefined : Math.round(Number(size[1]) * (unitBytes(size[2] || "byte") ?? 1));
	if (capacity !== undefined && !Number.isSafeInteger(capacity)) {
		throw damaged(`${file} gives an impossible size of ${slot}, "${given.get("size")}"`, { file });
	}
	if (given.get("media") === "cdrom") {
		// What cloud-init needs is made anew by the host; "cdrom" is the host's own drive.
		if (volume.includes("cloudinit")) lost.push(`The drive ${slot} with settings for cloud-init is made by its host.`);
		const empty = volume === "none" || volume === "cdrom" || volume.includes("cloudinit");
		return { kind: "cdrom" as const, ...present({ file: empty ? undefined : inStorage(volume) }) };
	}
	if (volume.startsWith("/dev/")) lost.push(`The drive ${slot} is a device of its host, ${volume}.`);
	return { kind: "disk" as const, ...present({ file: inStorage(volume) || undefined, capacity }) };
}

/** `STORAGE:100/vm-100-disk-0.qcow2` without the storage, which only its host knows. */
const inStorage = (volume: string) => (volume.startsWith("/") ? volume : volume.replace(/^[\w.-]+:/, ""));

function readNic(slot: string, value: string, lost: string[]): MachineNic {
	const given = parts(value);
	for (const [key, what] of [
		["tag", "is in the VLAN"],
		["trunks", "carries the VLANs"],
	] as const) {
		const named = given.get(key);
		if (named !== undefined)
			lost.push(`The network card ${slot} ${what} ${named.slice(0, 80)}, which its bridge puts it in.`);
	}
	if (given.get("link_down") === "1") lost.push(`The network card ${slot} is not connected.`);
	// `virtio=MAC,…`, or `model=virtio,macaddr=MAC,…`, or a model without an address.
	const [first = "", second = ""] = value.split(",", 1)[0]?.split("=") ?? [];
	const model = given.get("model") ?? (first || "rtl8139");
	return present({
		model: NICS[model] ?? model,
		mac: macAddress(given.get("macaddr") ?? second),
		network: given.get("bridge"),
	});
}

function noteLost(settings: ReadonlyMap<string, string>, sections: readonly string[], lost: string[]): void {
	for (const [key, value] of settings) {
		const device = DEVICES[key.replace(/\d+$/, "")];
		if (device !== undefined) lost.push(`The ${device} ${key} (${value.slice(0, 80)}) is not carried over.`);
	}
	if (settings.has("args")) lost.push("Arguments for QEMU itself (args) are not carried over.");
	const snapshots = sections.filter((name) => name !== "PENDING" && !name.startsWith("special:"));
	if (snapshots.length > 0) lost.push(`These snapshots are not carried over: ${enumerate(snapshots)}.`);
	if (sections.includes("PENDING")) lost.push("Changes that wait for the next start are not carried over.");
}
