import type { Machine } from "../machine/machine.js";
import { sizeToChoose } from "./folder.js";
import { scripted } from "./scripted.js";
import { command, shellQuoted, shellScript } from "./shell.js";

/** https://docs.aws.amazon.com/vm-import/latest/userguide/vmie_prereqs.html */
export const aws = scripted({
	id: "aws",
	hypervisors: ["aws"],
	summary: "streamOptimized .vmdk disks and import.sh, which uploads them and starts VM Import",
	imported: "sh import.sh BUCKET, by the AWS CLI",
	judged:
		"disks by qemu-img; the script by sh and shellcheck, its calls by a stand-in for the CLI; the import by nobody",
	disks: { format: "vmdk", variant: "streamOptimized", extension: "vmdk" },
	withoutSecureBoot: true,
	texts: (machine) => ({ "import.sh": importScript(machine) }),
	note: (machine, { hypervisor }) => ({
		command: { shell: "sh", line: "sh import.sh BUCKET" },
		remarks: [
			"BUCKET is one of yours in S3, in the region where the machine shall run. VM Import needs the role vmimport, which its User Guide says how to make.",
			`The result is an AMI. ${sizeToChoose(machine, "an instance type on Nitro")}`,
			"Where VM Import does not know the guest's distribution: aws ec2 import-snapshot takes each disk as it is, and aws ec2 register-image --ena-support makes an AMI of the snapshots.",
			...hypervisor.notes,
		],
	}),
});

function importScript({ name, arch, firmware, disks }: Machine): string {
	const files = disks.map(({ file = "" }) => file);
	const containers = files.map(
		(file) => `{"Description": "${file}", "Format": "VMDK", "UserBucket": {"S3Bucket": "$bucket", "S3Key": "${file}"}}`,
	);
	return shellScript({
		name: "import.sh",
		purpose: ["Uploads the disks beside it to a bucket in S3, and has VM Import make an AMI of them."],
		parameters: ["BUCKET"],
		body: [
			'case "$bucket" in',
			"*[!a-z0-9.-]*)",
			'	echo "$bucket cannot be the name of a bucket" >&2',
			"	exit 2",
			"	;;",
			"esac",
			...files.map((file) => `aws s3 cp ${shellQuoted(file)} "s3://$bucket/${file}"`),
			"",
			"containers=$(mktemp)",
			`trap 'rm -f "$containers"' EXIT`,
			'cat >"$containers" <<END',
			`[\n\t${containers.join(",\n\t")}\n]`,
			"END",
			`task=$(${command(
				"aws ec2 import-image",
				`--description ${shellQuoted(name)}`,
				`--architecture ${arch === "x86_64" ? "x86_64" : "i386"}`,
				"--platform Linux",
				`--boot-mode ${firmware === "uefi" ? "uefi" : "legacy-bios"}`,
				'--disk-containers "file://$containers"',
				"--query ImportTaskId",
				"--output text)",
			)}`,
			'echo "Follow it with: aws ec2 describe-import-image-tasks --import-task-ids $task"',
		],
	});
}
