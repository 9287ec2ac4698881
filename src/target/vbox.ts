import { unsupported } from "../bytes/errors.js";
import { contentUuid } from "../disk/content-uuid.js";
import type { Disk } from "../disk/disk.js";
import { imageUuid } from "../disk/vdi/write.js";
import { writeVbox } from "../machine/vbox-write.js";
import { attached } from "./attach.js";
import { diskFiles, fileBase } from "./file-name.js";
import { writeDisks, writeImportNote, writeText } from "./folder.js";
import { guestNames } from "./guest-names.js";
import type { Layout } from "./target.js";

/** A folder that VirtualBox registers and runs where it lies: unlike an OVA, it is not copied, and keeps MAC addresses. */
export const vbox: Layout = {
	id: "vbox",
	hypervisors: ["virtualbox"],
	onRequest: { title: "VirtualBox, in place" },
	summary: "a folder with .vbox and .vdi that VirtualBox registers and runs in place",
	imported: "VBoxManage registervm, or a double click",
	judged:
		"qemu-img compares the VDIs; settings by a golden text: the published schema is older than the version written",
	async write(appliance, folder, options) {
		const { disks, guest, now } = appliance;
		const base = fileBase(appliance.machine.name);
		const diskFile = diskFiles(base, "vdi");
		const machine = attached(appliance, { file: diskFile, uuid: true });
		await writeDisks(appliance, folder, { format: "vdi", variant: "dynamic" }, diskFile, options);
		const media = await Promise.all(
			disks.map(async (disk, i) => ({ uuid: await imageUuid(disk, { name: diskFile(i) }), format: "VDI" })),
		);
		const uuid = await vboxUuid(disks, base);
		await writeText(folder, `${base}.vbox`, writeVbox(machine, { uuid, osType: guestNames(guest).vbox, media, now }));
		await writeImportNote(
			appliance,
			folder,
			{
				command: { shell: "sh", line: `VBoxManage registervm "$PWD/${base}.vbox"` },
				remarks: [
					"Or open the .vbox file with a double click. The folder stays where it is: move it first.",
					"Network cards are on NAT; choose another network in the machine's settings.",
				],
			},
			[...machine.lost, ...secureBootLost(machine.secureBoot)],
		);
	},
};

/** The machine's own UUID in VirtualBox: not the firmware's, since that of a machine it has already would be refused. */
export async function vboxUuid([first]: readonly Disk[], base: string): Promise<string> {
	if (first === undefined) throw unsupported("a machine for VirtualBox needs a disk");
	return contentUuid(first, { name: `${base}.vbox` }, "vbox machine");
}

const secureBootLost = (secureBoot: boolean): readonly string[] =>
	secureBoot ? ["Secure Boot, which is off: VirtualBox keeps its keys in a file that it makes itself."] : [];
