import type { Machine } from "../machine/machine.js";
import { fileBase } from "./file-name.js";

type Format = "raw" | "vhd";

/** A disk for xl; `folder` is where it lies, ending in a separator, or nothing for where xl is started. */
const xlDisk = (file: string, index: number, format: Format, folder = "") =>
	`'format=${format},vdev=xvd${String.fromCharCode(97 + index)},access=rw,target=${folder}${file}'`;

/** Creates the domain from any folder: to xl, a relative name is none. */
export const xlCommand = ({ disks }: Machine, base: string, format: Format): string =>
	`xl create ${base}.cfg "disk=[${disks.map(({ file = "" }, index) => xlDisk(file, index, format, "$PWD/")).join(",")}]"`;

/**
 * A domain for xl: fully virtualized, with the paravirtual devices beside the emulated ones, so that a guest without the
 * drivers of one has the other. https://xenbits.xen.org/docs/unstable/man/xl.cfg.5.html
 */
export function xlConfig({ name, uuid, cpus, memory, firmware, disks, nics }: Machine, format: Format): string {
	const list = (items: readonly string[]) => `[${items.map((item) => `\n\t${item}`).join(",")}\n]`;
	const cards = nics.map(
		({ mac }) => `'type=ioemu,model=e1000,bridge=xenbr0${mac === undefined ? "" : `,mac=${mac}`}'`,
	);
	return [
		`name = "${fileBase(name)}"`,
		...(uuid === undefined ? [] : [`uuid = "${uuid}"`]),
		'type = "hvm"',
		...(firmware === "uefi" ? ['bios = "ovmf"'] : []),
		`vcpus = ${cpus}`,
		`memory = ${Math.ceil(memory / 2 ** 20)}`,
		'boot = "c"',
		"vnc = 1",
		"serial = 'pty'",
		`disk = ${list(disks.map(({ file = "" }, index) => xlDisk(file, index, format)))}`,
		`vif = ${list(cards)}`,
		"",
	].join("\n");
}
