import { writeVmx } from "../machine/vmx.js";
import { attached } from "./attach.js";
import { diskFiles, fileBase } from "./file-name.js";
import { writeDisks, writeImportNote, writeText } from "./folder.js";
import { guestNames } from "./guest-names.js";
import type { Layout } from "./target.js";

/** A folder that Workstation, Fusion and Player open in place. */
export const vmx: Layout = {
	id: "vmx",
	hypervisors: ["vmware"],
	summary: "a folder with .vmx and .vmdk that Workstation and Fusion open in place",
	imported: "File > Open, vmrun start",
	judged: "disks by qemu-img, the .vmx by libvirt's reader; booted by QEMU",
	async write(appliance, folder, options) {
		const base = fileBase(appliance.machine.name);
		const diskFile = diskFiles(base, "vmdk");
		const machine = attached(appliance, { file: diskFile, network: "VM Network", uuid: true, tpms: ["1.2", "2.0"] });
		await writeDisks(appliance, folder, { format: "vmdk", variant: "monolithicSparse" }, diskFile, options);
		await writeText(folder, `${base}.vmx`, writeVmx(machine, guestNames(appliance.guest).vmx));
		await writeImportNote(
			appliance,
			folder,
			{
				command: { shell: "sh", line: `vmrun start ${base}.vmx` },
				remarks: [
					"Or choose File > Open in Workstation or Fusion. Answer “I copied it” when asked.",
					"An ESXi host does not run this kind of disk in place: give it the .ova.",
				],
			},
			machine.lost,
		);
	},
};
