import { when } from "../occurrences.js";
import type { Importer } from "../rule.js";
import { runs } from "./shared.js";
import { xenserver } from "./xenserver.js";

const DOCUMENTATION = "https://docs.xenserver.com/en-us/xencenter/current-release/vms-exportimport";

export const xencenter: Importer = {
	id: "xencenter",
	title: "XenCenter",
	takes: ["ova", "ovf", "xva"],
	documentation: "https://docs.xenserver.com/en-us/xencenter/current-release/vms-exportimport",
	rules: [
		{
			id: "xencenter/firmware",
			severity: "refuses",
			grade: "documented",
			reason: "A machine with UEFI that was not exported by XenServer itself is not supported in an OVF.",
			source: DOCUMENTATION,
			fix: "Import an XVA: anyvisor expand --for xenserver.",
			find: ({ ovf }) =>
				when(
					ovf?.uefi === true && !ovf.families.some(({ text }) => /^(?:hvm|xen)-/i.test(text)),
					"the machine has UEFI and comes from elsewhere",
				),
		},
		...runs("xencenter", xenserver, "It hands an XVA to the host."),
	],
};
