import { disksWhere } from "../occurrences.js";
import type { Importer } from "../rule.js";

const MEBIBYTE = 2 ** 20;
const SOURCE = "https://learn.microsoft.com/powershell/module/az.compute/add-azvhd";

export const azure: Importer = {
	id: "azure",
	title: "Microsoft Azure",
	takes: ["disk"],
	documentation: "https://learn.microsoft.com/powershell/module/az.compute/add-azvhd",
	rules: [
		{
			id: "azure/fixed-vhd",
			severity: "refuses",
			grade: "documented",
			reason: "A disk is uploaded as a fixed VHD; only Add-AzVhd on Windows with Hyper-V converts others first.",
			source: SOURCE,
			fix: "anyvisor convert DISK NEW.vhd --variant fixed.",
			find: (subject) =>
				disksWhere(
					subject,
					({ format }) => format !== "vhd/fixed",
					({ format }) => `is ${format}`,
				),
		},
		{
			id: "azure/size",
			severity: "refuses",
			grade: "documented",
			reason: "The size of the disk is a whole number of MiB.",
			source: SOURCE,
			fix: "anyvisor convert DISK NEW.vhd --variant fixed --resize SIZE, with a size of whole MiB such as 20G.",
			find: (subject) =>
				disksWhere(
					subject,
					({ size }) => size % MEBIBYTE !== 0,
					({ size }) => `has ${size} bytes, which are not whole MiB`,
				),
		},
	],
};
