import { disksWhere, when } from "../occurrences.js";
import type { Importer } from "../rule.js";

const FORMATS = /^(?:raw|vmdk\/streamOptimized|vhd\/(?:fixed|dynamic)|vhdx\/(?:fixed|dynamic)|vhd|vhdx)$/;

export const aws: Importer = {
	id: "aws",
	title: "AWS VM Import/Export",
	takes: ["ova", "disk"],
	documentation: "https://docs.aws.amazon.com/vm-import/latest/userguide/prerequisites.html",
	rules: [
		{
			id: "aws/volumes",
			severity: "refuses",
			grade: "documented",
			reason: "An import with more than 21 volumes fails.",
			source: "https://docs.aws.amazon.com/vm-import/latest/userguide/limitations-image-importing.html",
			fix: "Leave the others out, and import each as a snapshot: aws ec2 import-snapshot.",
			find: ({ disks }) => when(disks.length > 21, `there are ${disks.length} disks`),
		},
		{
			id: "aws/disk-format",
			severity: "refuses",
			grade: "documented",
			reason: "Disks are streamOptimized VMDK, fixed or dynamic VHD or VHDX, or raw.",
			source: "https://docs.aws.amazon.com/vm-import/latest/userguide/prerequisites.html",
			fix: "anyvisor convert DISK NEW.vmdk --variant streamOptimized.",
			find: (subject) =>
				disksWhere(
					subject,
					({ format }) => !FORMATS.test(format),
					({ format }) => `is ${format}`,
				),
		},
		{
			id: "aws/ova-disk-format",
			severity: "refuses",
			grade: "documented",
			reason: "In an OVA, disks are VMDK.",
			source: "https://docs.aws.amazon.com/vm-import/latest/userguide/limitations-image-importing.html",
			fix: "anyvisor convert DISK NEW.vmdk --variant streamOptimized, under the name that the descriptor has.",
			find: (subject) =>
				subject.kind === "ova"
					? disksWhere(
							subject,
							({ format }) => FORMATS.test(format) && !format.startsWith("vmdk/"),
							({ format }) => `is ${format}`,
						)
					: [],
		},
	],
};
