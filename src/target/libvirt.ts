import { IMAGE_FOLDER, writeDomain } from "../machine/libvirt.js";
import { attached } from "./attach.js";
import { diskFiles, fileBase } from "./file-name.js";
import { writeDisks, writeImportNote, writeText } from "./folder.js";
import type { Layout } from "./target.js";

/** qcow2 disks and a domain for libvirt; the disks alone are what oVirt and KubeVirt import. */
export const libvirt: Layout = {
	id: "libvirt",
	hypervisors: ["kvm"],
	summary: "qcow2 disks and a libvirt domain for virsh define",
	imported: "virsh define",
	judged: "disks by qemu-img, the domain by libvirt, which validates and starts it; booted by QEMU",
	async write(appliance, folder, options) {
		const base = fileBase(appliance.machine.name);
		const diskFile = diskFiles(base, "qcow2");
		const machine = attached(appliance, { file: diskFile, network: "default", uuid: true, tpms: ["1.2", "2.0"] });
		await writeDisks(appliance, folder, { format: "qcow2" }, diskFile, options);
		await writeText(folder, `${base}.xml`, writeDomain(machine));
		const files = machine.disks.map(({ file }) => file).join(" ");
		await writeImportNote(
			appliance,
			folder,
			{
				command: {
					shell: "sh",
					line: `sudo cp ${files} ${IMAGE_FOLDER}/ && sudo virsh define ${base}.xml`,
				},
				remarks: [
					`The domain expects its disks in ${IMAGE_FOLDER}; change the paths in ${base}.xml to keep them elsewhere.`,
				],
			},
			machine.lost,
		);
	},
};
