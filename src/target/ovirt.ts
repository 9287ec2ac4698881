import { label } from "./file-name.js";
import { scripted } from "./scripted.js";
import { command, shellQuoted, shellScript } from "./shell.js";

const INTERFACES: Readonly<Record<string, string>> = {
	"virtio-scsi": "VirtIO-SCSI",
	"virtio-blk": "VirtIO",
	ahci: "SATA",
};
const NICS: Readonly<Record<string, string>> = { "virtio-net": "VirtIO" };

/** The client of https://github.com/oVirt/ovirt-imageio */
export const ovirt = scripted({
	id: "ovirt",
	hypervisors: ["ovirt"],
	summary: "qcow2 disks and import.sh, which uploads them to a storage domain",
	imported: "sh import.sh ENGINE STORAGE_DOMAIN, by ovirt-img; the machine is then made in the portal",
	judged:
		"disks by qemu-img; the script by sh and shellcheck, its calls by a stand-in for ovirt-img; the import by nobody",
	disks: { format: "qcow2", extension: "qcow2" },
	texts: ({ name, disks }) => ({
		"import.sh": shellScript({
			name: "import.sh",
			purpose: ["Uploads the disks beside it. ENGINE is a section of ~/.config/ovirt.conf, which tells how to log in."],
			parameters: ["ENGINE", "STORAGE_DOMAIN"],
			body: disks.map(({ file = "" }, index) =>
				command(
					"ovirt-img upload-disk",
					'--config "$engine"',
					'--storage-domain "$storage_domain"',
					`--name ${label(name)}-disk${index + 1}`,
					"--format qcow2",
					shellQuoted(file),
				),
			),
		}),
	}),
	note(machine, { attach, hypervisor }) {
		const { name, cpus, memory, firmware, secureBoot, nics } = machine;
		const macs = nics.flatMap(({ mac }) => mac ?? []);
		const chipset =
			firmware === "uefi" ? `Q35 Chipset with UEFI${secureBoot ? " SecureBoot" : ""}` : "Q35 Chipset with BIOS";
		return {
			command: { shell: "sh", line: "sh import.sh ENGINE STORAGE_DOMAIN" },
			remarks: [
				"ovirt-img comes with the package ovirt-imageio-client. ~/.config/ovirt.conf has for each engine a section with engine_url, username, password and cafile.",
				`Then create a machine with ${cpus} processor(s) and ${Math.round(memory / 2 ** 20)} MiB of memory, BIOS type ${chipset}, and attach ${label(name)}-disk1 by ${INTERFACES[attach.disk] ?? attach.disk}, as bootable, before any other disk.`,
				`Give it ${nics.length} network card(s) of type ${NICS[attach.network] ?? attach.network}.`,
				...(macs.length === 0
					? []
					: [`Its MAC addresses were ${macs.join(", ")}. ${hypervisor.cards?.toKeepMacs ?? ""}`]),
			],
		};
	},
});
