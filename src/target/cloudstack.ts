import { fileBase } from "./file-name.js";
import { sizeToChoose } from "./folder.js";
import { scripted } from "./scripted.js";
import { command, shellQuoted, shellScript } from "./shell.js";

const DISKS: Readonly<Record<string, string>> = { "virtio-blk": "virtio", "virtio-scsi": "scsi", ide: "ide" };

/** https://cloudstack.apache.org/api/apidocs-4.20/apis/registerTemplate.html, uploadVolume.html */
export const cloudstack = scripted({
	id: "cloudstack",
	hypervisors: ["cloudstack"],
	summary: "qcow2 disks and import.sh, which registers the first as a template and the others as volumes",
	imported: "sh import.sh URL ZONE_ID OS_TYPE_ID, by CloudMonkey (cmk)",
	judged: "disks by qemu-img; the script by sh and shellcheck, its calls by a stand-in for cmk; the import by nobody",
	disks: { format: "qcow2", extension: "qcow2" },
	texts: ({ name, disks, firmware, secureBoot }, { attach }) => ({
		"import.sh": shellScript({
			name: "import.sh",
			purpose: ["Registers the disks beside it, which CloudStack fetches from the folder URL of a web server."],
			parameters: ["URL", "ZONE_ID", "OS_TYPE_ID"],
			body: disks.map(({ file = "" }, index) =>
				command(
					index === 0 ? "cmk register template" : "cmk upload volume",
					`name=${shellQuoted(index === 0 ? fileBase(name) : `${fileBase(name)}-disk${index + 1}`)}`,
					`url="$url/${file}"`,
					'zoneid="$zone_id"',
					"format=QCOW2",
					...(index > 0
						? []
						: [
								`displaytext=${shellQuoted(name)}`,
								"hypervisor=KVM",
								'ostypeid="$os_type_id"',
								"requireshvm=true",
								`'details[0].rootDiskController=${DISKS[attach.disk] ?? "osdefault"}'`,
								`'details[0].nicAdapter=${attach.network === "virtio-net" ? "virtio" : attach.network}'`,
								...(firmware === "uefi" ? [`'details[0].UEFI=${secureBoot ? "SECURE" : "LEGACY"}'`] : []),
							]),
				),
			),
		}),
	}),
	note: (machine, { hypervisor }) => ({
		command: { shell: "sh", line: "sh import.sh URL ZONE_ID OS_TYPE_ID" },
		remarks: [
			"URL is where a web server shows this folder to the secondary storage, without a slash at its end. cmk list zones and cmk list ostypes tell the ids.",
			"Or choose Upload from Local in the web interface, with the same details.",
			...(machine.firmware === "uefi"
				? [
						`Deploy it with boottype=UEFI bootmode=${machine.secureBoot ? "SECURE" : "LEGACY"}, on a host where UEFI is enabled.`,
					]
				: []),
			sizeToChoose(machine, "a compute offering"),
			...hypervisor.notes,
		],
	}),
});
