import { resized } from "../disk/resize.js";
import type { Machine } from "../machine/machine.js";
import { attached } from "./attach.js";
import { writeDiskArchive } from "./disk-archive.js";
import { diskFiles, fileBase, label } from "./file-name.js";
import { progressOf, sizeIn, sizeToChoose, writeFile, writeImportNote, writeText } from "./folder.js";
import { command, shellQuoted, shellScript } from "./shell.js";
import type { Appliance, Layout } from "./target.js";

const GIBIBYTE = 2 ** 30;

/**
 * A disk of whole GiB, named disk.raw, in a tar archive of GNU's old format:
 * https://cloud.google.com/compute/docs/import/import-existing-image
 */
export const gcp: Layout = {
	id: "gcp",
	hypervisors: ["gcp"],
	summary: "a .tar.gz with disk.raw, of whole GiB, for each disk, and import.sh, which makes images of them",
	imported: "sh import.sh BUCKET, by the Google Cloud CLI",
	judged:
		"archives by tar and gzip; the script by sh and shellcheck, its calls by a stand-in for the CLI; the import by nobody",
	async write(appliance, folder, options) {
		const base = fileBase(appliance.machine.name);
		const diskFile = diskFiles(base, "tar.gz");
		const machine = attached(appliance, { file: diskFile, withoutSecureBoot: true });
		for (const [index, disk] of appliance.disks.entries()) {
			const whole = resized(disk, sizeIn({ format: "raw", multiple: GIBIBYTE, least: GIBIBYTE }, disk.size));
			const watching = { ...options, onProgress: progressOf(disk.size, options) };
			await writeFile(folder, diskFile(index), (sink) =>
				writeDiskArchive(whole, "disk.raw", appliance.now, sink, watching),
			);
		}
		await writeText(folder, "import.sh", importScript(appliance, machine));
		const [first, ...more] = machine.disks.map((_, index) => imageName(machine, index));
		const others = more.map((image) => ` --create-disk=image=${image},auto-delete=yes`).join("");
		await writeImportNote(
			appliance,
			folder,
			{
				command: { shell: "sh", line: "sh import.sh BUCKET" },
				remarks: [
					"BUCKET is one of yours in Cloud Storage. Log in with gcloud auth login, and choose a project, first.",
					`Then create the machine with gcloud compute instances create ${label(machine.name)} --image=${first}${others}. ${sizeToChoose(machine, "a --machine-type")}`,
					...appliance.hypervisor.notes,
				],
			},
			machine.lost,
		);
	},
};

const imageName = ({ name }: Machine, index: number) => label(name) + (index === 0 ? "" : `-disk${index + 1}`);

function importScript({ attach }: Appliance, machine: Machine): string {
	const features = [
		...(machine.firmware === "uefi" ? ["UEFI_COMPATIBLE"] : []),
		...(attach.disk === "virtio-scsi" ? ["VIRTIO_SCSI_MULTIQUEUE"] : []),
		...(attach.network === "gvnic" ? ["GVNIC"] : []),
	];
	const images = machine.disks.flatMap(({ file = "" }, index) => [
		`gcloud storage cp ${shellQuoted(file)} "gs://$bucket/${file}"`,
		command(
			`gcloud compute images create ${imageName(machine, index)}`,
			`--source-uri="gs://$bucket/${file}"`,
			"--architecture=X86_64",
			...(index > 0 || features.length === 0 ? [] : [`--guest-os-features=${features.join(",")}`]),
		),
	]);
	return shellScript({
		name: "import.sh",
		purpose: ["Uploads the disks beside it to a bucket in Cloud Storage, and makes an image of each."],
		parameters: ["BUCKET"],
		body: images,
	});
}
