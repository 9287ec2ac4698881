import { BRIDGE, FIRST_ID, proxmoxSettings, type Setting, writeProxmox } from "../../machine/proxmox-write.js";
import { attached } from "../attach.js";
import { diskFiles, fileBase } from "../file-name.js";
import { writeDisks, writeImportNote, writeText } from "../folder.js";
import type { Appliance, Layout } from "../target.js";

export const ostype = ({ guest }: Appliance): string => (guest.system === "linux" ? "l26" : "other");

/** What both packages have to say of a machine with Secure Boot. */
export const STORAGE_NOTE =
	"local-lvm is the storage that the installer makes: put another one's name in its place where there is none.";

/** qcow2 disks, the configuration that goes with them, and the command that makes both into a machine. */
export const proxmox: Layout = {
	id: "proxmox",
	hypervisors: ["kvm"],
	onRequest: { title: "Proxmox VE" },
	summary: "qcow2 disks, a .conf, and the one qm command that imports them into Proxmox VE",
	imported: "qm create with import-from",
	judged: "qemu-img compares the disks; keys and options are ones of Proxmox VE's own test configurations",
	async write(appliance, folder, options) {
		const base = fileBase(appliance.machine.name);
		const diskFile = diskFiles(base, "qcow2");
		const machine = attached(appliance, { file: diskFile, network: BRIDGE, uuid: true, tpms: ["1.2", "2.0"] });
		await writeDisks(appliance, folder, { format: "qcow2" }, diskFile, options);
		await writeText(folder, `${base}.conf`, writeProxmox(machine, { ostype: ostype(appliance) }));
		const settings = proxmoxSettings(machine, {
			ostype: ostype(appliance),
			volume: ({ file }) => `local-lvm:0,import-from=$PWD/${file}`,
		});
		const tpm: Setting = ["tpmstate0", `local-lvm:0,version=v${machine.tpm}`];
		const efi: Setting = ["efidisk0", `local-lvm:0,efitype=4m,pre-enrolled-keys=${machine.secureBoot ? 1 : 0}`];
		await writeImportNote(
			appliance,
			folder,
			{
				command: {
					shell: "sh",
					line: qmCreate(
						[...settings, ...(machine.firmware === "uefi" ? [efi] : []), ...(machine.tpm === undefined ? [] : [tpm])],
						machine.description,
					),
				},
				remarks: [
					STORAGE_NOTE,
					"It takes Proxmox VE 7.2 or newer, and root. The machine gets the next free number.",
					`By hand instead: copy the disks to /var/lib/vz/images/${FIRST_ID}/ and ${base}.conf to /etc/pve/qemu-server/${FIRST_ID}.conf; for another number than ${FIRST_ID}, change it inside of the .conf, too.`,
				],
			},
			machine.lost,
		);
	},
};

/** Options by name; sizes of disks are their files' own. */
function qmCreate(settings: readonly Setting[], description: string | undefined): string {
	const options = settings.map(
		([key, value]) => `--${key} ${word(value.replace(/(import-from=[^,]*),size=\w+$/, "$1"))}`,
	);
	if (description !== undefined) options.push(`--description ${verbatim(description)}`);
	return `qm create "$(pvesh get /cluster/nextid)" ${options.join(" ")}`;
}

/** A value made here as a word of the shell, in which `$PWD` is meant. */
const word = (value: string) => (/^[\w=,:.-]+$/.test(value) ? value : `"${value}"`);

/** A text of others, in which the shell and Markdown see nothing but text. */
const verbatim = (text: string) =>
	// oxlint-disable-next-line no-control-regex -- they have no place in a command
	`'${text.replaceAll(/[\u0000-\u001f\u007f]+/g, " ").replaceAll("'", "'\\''")}'`;
