import { AnyvisorError } from "../bytes/errors.js";
import { aws } from "./importers/aws.js";
import { azure } from "./importers/azure.js";
import { gcp } from "./importers/gcp.js";
import { ovirt } from "./importers/ovirt.js";
import { proxmox } from "./importers/proxmox.js";
import { virtV2v } from "./importers/virt-v2v.js";
import { virtualbox } from "./importers/virtualbox.js";
import { vmware } from "./importers/vmware.js";
import { xenOrchestra } from "./importers/xen-orchestra.js";
import { xencenter } from "./importers/xencenter.js";
import { xenserver } from "./importers/xenserver.js";
import type { Importer } from "./rule.js";
import type { Subject } from "./subject.js";

export const importers: readonly Importer[] = [
	vmware,
	virtualbox,
	proxmox,
	xenOrchestra,
	xencenter,
	xenserver,
	aws,
	azure,
	gcp,
	ovirt,
	virtV2v,
];

/** Those that import packages of a kind; for a kind that none imports, those that import its disks. */
export function importersOf(kind: Subject["kind"]): readonly Importer[] {
	const taking = importers.filter(({ takes }) => takes.includes(kind));
	return taking.length > 0 ? taking : importers.filter(({ takes }) => takes.includes("disk"));
}

/** @param names ids, separated by commas */
export function importersNamed(names: string): readonly Importer[] {
	const found = names.split(",").map((word) => {
		const importer = importers.find(({ id }) => id === word.trim());
		if (importer !== undefined) return importer;
		throw new AnyvisorError("usage", `There is no importer "${word.trim()}"`, {
			hint: `Known are ${importers.map(({ id }) => id).join(", ")}.`,
		});
	});
	return [...new Set(found)];
}
