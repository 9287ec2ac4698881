import type { Importer } from "../rule.js";
import { runs } from "./shared.js";
import { virtV2v } from "./virt-v2v.js";

/** https://github.com/oVirt/ovirt-site/pull/855 */
export const ovirt: Importer = {
	id: "ovirt",
	title: "oVirt",
	takes: ["ova"],
	documentation: "https://www.ovirt.org/develop/release-management/features/virt/virt-v2v-integration.html",
	rules: runs("ovirt", virtV2v, "It imports foreign OVAs by virt-v2v."),
};
