import { attached } from "./attach.js";
import { diskFiles, fileBase } from "./file-name.js";
import { writeDisks, writeImportNote, writeText } from "./folder.js";
import type { Layout } from "./target.js";
import { xlConfig } from "./xl-config.js";

/** Dynamic VHDs for hypervisors of which only the disk format is known. */
export const vhd: Layout = {
	id: "vhd",
	hypervisors: ["nxtop", "neocleus"],
	summary: "dynamic .vhd disks for a machine made by hand, and that machine as Xen's xl describes it",
	imported: "by hand: no command is documented",
	judged: "disks by qemu-img; the import by nobody",
	async write(appliance, folder, options) {
		const base = fileBase(appliance.machine.name);
		const diskFile = diskFiles(base, "vhd");
		const machine = attached(appliance, { file: diskFile });
		await writeDisks(appliance, folder, { format: "vhd", variant: "dynamic" }, diskFile, options);
		const macs = machine.nics.flatMap(({ mac }) => mac ?? []);
		await writeText(folder, `${base}.cfg`, xlConfig(machine));
		await writeImportNote(
			appliance,
			folder,
			{
				remarks: [
					`No command-line import is documented: create a machine with ${memory(machine.memory)} of memory and ${machine.cpus} processor(s), booting by BIOS, and give it ${diskFile(0)} as its first disk.`,
					...(macs.length === 0 ? [] : [`Give its network cards these addresses, in this order: ${macs.join(", ")}.`]),
					`${base}.cfg describes the machine to xl of a plain Xen, which both products are built on. Whether they read such a file was not verified.`,
					"The disk format, and that the guest carries the drivers for Xen and Hyper-V, was checked. The import itself was not: no copy of this product was at hand.",
					...appliance.hypervisor.notes,
				],
			},
			machine.lost,
		);
	},
};

const memory = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
