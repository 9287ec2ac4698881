import { unsupported } from "../bytes/errors.js";
import { letters } from "../bytes/letters.js";
import { wordsOf } from "../bytes/words.js";
import type { Machine, MachineDisk, MachineNic } from "./machine.js";
import { bridgeOf } from "./shape.js";

/** Models that can be written. */
export const XL_TAKES = {
	controllers: ["xen-vbd", "ide"],
	nics: ["xen-vif", "e1000", "rtl8139"],
} as const;

/** The bridge of a Xen host that has one; xl's own default. */
const BRIDGE = "xenbr0";
/** Drives on the emulated IDE controller. */
const IDE_DRIVES = 4;
/** The formats of disks that xl has, by the ending of their files. */
const FORMATS: Readonly<Record<string, string>> = wordsOf({ vhd: "vhd", qcow2: "qcow2", qcow: "qcow", qed: "qed" });
/** Endings of what xl has no word for. */
const OTHERS = /\.(?:vmdk|vdi|vhdx|avhdx|hdd|dmg)$|(?:\.\w{2,5})?\.(?:gz|xz|zst|bz2)$/i;

const RELATIVE = "# xl takes full paths: put the folder of these files in front of their names";

/**
 * A domain for xl: fully virtualized, with the paravirtual devices beside the emulated ones, so that a guest without the
 * drivers of one has the other. See {@link xl} for where it is defined. A disk in a format that xl has no word for is named
 * as the raw one that it has to become, and a comment says so.
 *
 * @throws `unsupported` for other processors than x86, for more than four IDE drives, and for names that xl cannot quote
 */
export function writeXl(machine: Machine): string {
	const { name, description, uuid, arch, cpus, memory, firmware, nics } = machine;
	if (!/^(?:x86_64|i[3-6]86)$/.test(arch)) throw unsupported(`xl fully virtualizes x86 machines, not ${arch}`);
	const comment = description === undefined ? [] : description.split(/\r?\n/).map((line) => `# ${plain(line)}`.trim());
	const list = (items: readonly string[]) => `[${items.map((item) => `\n\t${item}`).join(",")}\n]`;
	return [
		...comment,
		`name = "${plain(name)}"`,
		...(uuid === undefined ? [] : [`uuid = "${uuid}"`]),
		'type = "hvm"',
		...(firmware === "uefi" ? ['bios = "ovmf"'] : []),
		`vcpus = ${cpus}`,
		`memory = ${Math.ceil(memory / 2 ** 20)}`,
		'boot = "c"',
		"vnc = 1",
		"serial = 'pty'",
		...machine.disks.flatMap(({ file }) => (file !== undefined && OTHERS.test(file) ? [conversionOf(file)] : [])),
		...(machine.disks.some(({ file }) => file !== undefined && !file.startsWith("/")) ? [RELATIVE] : []),
		`disk = ${list(xlDisks(machine))}`,
		`vif = ${list(nics.map(card))}`,
		"",
	].join("\n");
}

/**
 * The machine's drives as xl's strings for disks, quoted.
 *
 * @param folder where the disks lie, ending in a separator, or nothing for where xl is started
 */
export function xlDisks({ controllers, disks }: Machine, folder = ""): string[] {
	const channel = ({ controller }: MachineDisk) =>
		controllers.find(({ id, model }) => id === controller && model === "ide")?.index;
	// The first four paravirtual disks are emulated as the four IDE drives: each number is there once.
	const taken = new Set<number>();
	const free = (wanted: number) => {
		let at = wanted;
		while (taken.has(at)) at++;
		taken.add(at);
		return at;
	};
	const places = new Map<MachineDisk, string>();
	const drives = disks.filter(({ kind }) => kind !== "floppy");
	for (const disk of drives) {
		const number = channel(disk);
		if (number === undefined) continue;
		const at = free(number * 2 + (disk.unit ?? 0));
		if (at >= IDE_DRIVES) throw unsupported(`xl has ${IDE_DRIVES} IDE drives at most`);
		places.set(disk, `hd${letters(at)}`);
	}
	return drives.map((disk) => drive(disk, places.get(disk) ?? `xvd${letters(free(disk.unit ?? 0))}`, folder));
}

function drive({ kind, file }: MachineDisk, vdev: string, folder: string): string {
	const target = file === undefined ? "" : `${folder}${quotable(rawName(file))}`;
	// "target" takes all that is left, commas too.
	if (kind === "cdrom") return `'format=raw,vdev=${vdev},access=ro,devtype=cdrom,target=${target}'`;
	const format = FORMATS[/\.([^./\\]*)$/.exec(file ?? "")?.[1]?.toLowerCase() ?? ""] ?? "raw";
	return `'format=${format},vdev=${vdev},access=rw,target=${target}'`;
}

const rawName = (file: string) => onThisHost(file).replace(OTHERS, ".img");

/** Of a path of Windows, its last part. */
const onThisHost = (file: string) => (file.includes("\\") ? (file.split("\\").at(-1) ?? file) : file);

const conversionOf = (file: string) =>
	`# xl has no disks of this format: anyvisor disk convert ${shellWord(onThisHost(file))} ${shellWord(rawName(file))}`;

const shellWord = (word: string) => (/^[\w./-]+$/.test(word) ? word : `'${plain(word)}'`);

function card({ model, mac, network }: MachineNic): string {
	const type = model === "xen-vif" ? "type=vif" : `type=ioemu,model=${model}`;
	return `'${type},bridge=${bridgeOf(network) ?? BRIDGE}${mac === undefined ? "" : `,mac=${mac}`}'`;
}

/** Without what ends a string or a line, or begins an escape. */
// oxlint-disable-next-line no-control-regex -- these end a line
const plain = (text: string) => text.replaceAll(/["'\\\u0000-\u001f\u007f]/g, "-");

function quotable(file: string): string {
	if (plain(file) === file && !/^\s|[,\s]$/.test(file)) return file;
	throw unsupported(`xl cannot have a disk in a file named ${JSON.stringify(file)}`, {
		file,
		hint: "Rename it: without quotation marks and backslashes, and without a comma or space at its end.",
	});
}
