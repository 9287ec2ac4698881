import type { Machine } from "../machine/machine.js";
import { label } from "./file-name.js";
import { sizeToChoose } from "./folder.js";
import { scripted } from "./scripted.js";
import { command, shellQuoted, shellScript } from "./shell.js";
import type { Appliance } from "./target.js";

/** Properties of images, https://docs.openstack.org/glance/latest/admin/useful-image-properties.html, by the models attached. */
const DISKS: Readonly<Record<string, readonly string[]>> = {
	"virtio-blk": ["hw_disk_bus=virtio"],
	"virtio-scsi": ["hw_disk_bus=scsi", "hw_scsi_model=virtio-scsi"],
	ahci: ["hw_disk_bus=sata"],
	ide: ["hw_disk_bus=ide"],
};
const GIBIBYTE = 2 ** 30;

export const openstack = scripted({
	id: "openstack",
	hypervisors: ["openstack"],
	summary: "qcow2 disks and import.sh, which makes images of them that say which devices the guest drives",
	imported: "sh import.sh, by the OpenStack client",
	judged:
		"disks by qemu-img; the script by sh and shellcheck, its calls by a stand-in for the client; the import by nobody",
	disks: { format: "qcow2", extension: "qcow2" },
	texts: (machine, appliance) => ({ "import.sh": importScript(machine, appliance) }),
	note(machine, { hypervisor }) {
		const name = label(machine.name);
		const more = machine.disks.slice(1).map(({ capacity = 0 }, index) => {
			const image = `${name}-disk${index + 2}`;
			return `openstack volume create --image ${image} --size ${inGibibytes(capacity)} ${image}, then openstack server add volume ${name} ${image}.`;
		});
		const macs = machine.nics.flatMap(({ mac }) => mac ?? []);
		return {
			command: { shell: "sh", line: "sh import.sh" },
			remarks: [
				"Load the cloud's openrc, or set OS_CLOUD, first.",
				`Then create the machine: openstack server create --image ${name} --flavor FLAVOR --network NETWORK ${name}. ${sizeToChoose(machine, "a flavor")}`,
				...more,
				...(macs.length === 0
					? []
					: [`Its MAC addresses were ${macs.join(", ")}. ${hypervisor.cards?.toKeepMacs ?? ""}`]),
				...hypervisor.notes,
			],
		};
	},
});

const inGibibytes = (bytes: number) => Math.max(1, Math.ceil(bytes / GIBIBYTE));

function importScript(machine: Machine, { attach, guest }: Appliance): string {
	const { firmware, secureBoot, memory } = machine;
	const system = [
		...(DISKS[attach.disk] ?? []),
		`hw_vif_model=${attach.network === "virtio-net" ? "virtio" : attach.network}`,
		`hw_machine_type=${attach.disk === "ide" ? "pc" : "q35"}`,
		`hw_firmware_type=${firmware}`,
		...(secureBoot ? ["os_secure_boot=required"] : []),
		`os_type=${guest.system}`,
		`os_distro=${guest.id}`,
	];
	const images = machine.disks.map(({ file = "", capacity = 0 }, index) =>
		command(
			"openstack image create",
			"--disk-format qcow2",
			"--container-format bare",
			`--file ${shellQuoted(file)}`,
			`--min-disk ${inGibibytes(capacity)}`,
			...(index > 0 ? [] : [`--min-ram ${Math.ceil(memory / 2 ** 20)}`]),
			...(index > 0 ? [] : system.map((property) => `--property ${shellQuoted(property)}`)),
			label(machine.name) + (index > 0 ? `-disk${index + 1}` : ""),
		),
	);
	return shellScript({
		name: "import.sh",
		purpose: ["Makes an image of each disk beside it; the first says which devices its guest drives."],
		parameters: [],
		body: images,
	});
}
