import { attached } from "./attach.js";
import { diskFiles, fileBase } from "./file-name.js";
import { writeDisks, writeImportNote, writeText } from "./folder.js";
import type { Layout } from "./target.js";
import { xlCommand, xlConfig } from "./xl-config.js";

/** Raw disks and a domain for Xen itself, where no XenServer is. */
export const xl: Layout = {
	id: "xl",
	hypervisors: ["xenserver"],
	onRequest: { title: "Xen, by xl" },
	summary: "raw disks and a domain for xl create, on any Xen host",
	imported: "xl create",
	judged: "qemu-img compares the disks; not started on Xen",
	async write(appliance, folder, options) {
		const base = fileBase(appliance.machine.name);
		const diskFile = diskFiles(base, "img");
		const machine = attached(appliance, { file: diskFile, uuid: true, withoutSecureBoot: true });
		await writeDisks(appliance, folder, { format: "raw" }, diskFile, options);
		await writeText(folder, `${base}.cfg`, xlConfig(machine));
		await writeImportNote(
			appliance,
			folder,
			{
				command: { shell: "sh", line: xlCommand(machine, base) },
				remarks: [
					"The disks are sparse: copy them with cp --sparse=always, rsync -S or tar -S.",
					"Network cards are on the bridge xenbr0; change it in the .cfg.",
				],
			},
			machine.lost,
		);
	},
};
