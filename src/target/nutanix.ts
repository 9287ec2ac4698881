import type { Machine } from "../machine/machine.js";
import { label } from "./file-name.js";
import { scripted } from "./scripted.js";
import { command, shellScript } from "./shell.js";
import type { Appliance } from "./target.js";

const BUSES: Readonly<Record<string, string>> = { "virtio-scsi": "scsi", ahci: "sata", ide: "ide" };

/** acli's image.create, vm.create, vm.disk_create and vm.nic_create: the AHV Command Reference on https://portal.nutanix.com */
export const nutanix = scripted({
	id: "nutanix",
	hypervisors: ["nutanix"],
	summary: "qcow2 disks and import.sh, which makes images of them and creates the machine",
	imported: "sh import.sh URL CONTAINER NETWORK on a controller VM, by acli",
	judged: "disks by qemu-img; the script by sh and shellcheck, its calls by a stand-in for acli; the import by nobody",
	disks: { format: "qcow2", extension: "qcow2" },
	texts: (machine, appliance) => ({ "import.sh": importScript(machine, appliance) }),
	note: ({ name }) => ({
		command: { shell: "sh", line: "sh import.sh URL CONTAINER NETWORK" },
		remarks: [
			"Copy import.sh to a controller VM (CVM) and run it there. URL is where a web server shows this folder to the cluster, without a slash at its end; CONTAINER is a storage container, NETWORK a network of the cluster.",
			`Start it with acli vm.on ${label(name)}. The images may be deleted then: the machine has disks of its own.`,
			"Or upload the disks as images in Prism, and create the machine there.",
		],
	}),
});

function importScript(
	{ name, disks, nics, cpus, memory, firmware, secureBoot }: Machine,
	{ attach }: Appliance,
): string {
	const vm = label(name);
	const image = (index: number) => `${vm}-disk${index + 1}`;
	return shellScript({
		name: "import.sh",
		purpose: ["Makes an image of each disk, which the cluster fetches from the folder URL, and a machine of these."],
		parameters: ["URL", "CONTAINER", "NETWORK"],
		body: [
			...disks.map(({ file = "" }, index) =>
				command(
					`acli image.create ${image(index)}`,
					`source_url="$url/${file}"`,
					'container="$container"',
					"image_type=kDiskImage",
					"wait=true",
				),
			),
			command(
				`acli vm.create ${vm}`,
				`num_vcpus=${cpus}`,
				`memory=${Math.ceil(memory / 2 ** 20)}M`,
				...(firmware === "uefi" ? ["uefi_boot=true"] : []),
				...(secureBoot ? ["secure_boot=true", "machine_type=q35"] : []),
			),
			...disks.map(
				(_, index) =>
					`acli vm.disk_create ${vm} clone_from_image=${image(index)} bus=${BUSES[attach.disk] ?? "scsi"} index=${index}`,
			),
			...nics.map(
				({ mac }) =>
					`acli vm.nic_create ${vm} network="$network" model=${attach.network === "virtio-net" ? "virtio" : attach.network}${mac === undefined ? "" : ` mac=${mac}`}`,
			),
		],
	});
}
