import type { Hypervisor } from "../hypervisor/hypervisor.js";
import { groupOf } from "../hypervisor/registry.js";
import { aws } from "./aws.js";
import { azure } from "./azure.js";
import { bhyve } from "./bhyve.js";
import { cloudHypervisor } from "./cloud-hypervisor.js";
import { cloudstack } from "./cloudstack.js";
import { firecracker } from "./firecracker.js";
import { gcp } from "./gcp.js";
import { harvester } from "./harvester.js";
import { hyperv } from "./hyperv.js";
import { kubevirt } from "./kubevirt.js";
import { libvirt } from "./libvirt.js";
import { nutanix } from "./nutanix.js";
import { openstack } from "./openstack.js";
import { ova } from "./ova.js";
import { ovirt } from "./ovirt.js";
import type { Layout, PlacedLayout } from "./target.js";
import { utm } from "./utm.js";
import { vhd } from "./vhd.js";
import { vmx } from "./vmx.js";
import { xva } from "./xva/xva.js";

export const layouts: readonly Layout[] = [
	ova,
	vmx,
	xva,
	hyperv,
	libvirt,
	vhd,
	aws,
	azure,
	gcp,
	openstack,
	cloudstack,
	ovirt,
	nutanix,
	kubevirt,
	harvester,
	bhyve,
	cloudHypervisor,
	utm,
	firecracker,
];

/** One package that can be asked for: a row of `--for list` and of docs/targets.md. */
export interface Target {
	/** {@link Hypervisor.id}, the word for `--for`. */
	readonly id: string;
	readonly title: string;
	/** The word for it and its kind: {@link groupOf}. */
	readonly group: string;
	readonly layout: string;
	readonly folder: string;
	readonly holds: string;
	readonly imported: string;
	readonly judged: string;
}

/** Every package there is for these hypervisors. */
export const targetsFor = (hypervisors: readonly Hypervisor[]): readonly Target[] =>
	hypervisors.flatMap(({ id, title }) =>
		layoutsFor(id).map(({ id: layout, folder, summary: holds, imported, judged }) => {
			return { id, title, group: groupOf(id), layout, folder, holds, imported, judged };
		}),
	);

/**
 * The layouts for a hypervisor, each with the folder it is written into: named after the hypervisor, and after the layout
 * too where there are several. Empty where nothing is known to suit it.
 */
export function layoutsFor(hypervisorId: string): readonly PlacedLayout[] {
	const suited = layouts.filter(({ hypervisors }) => hypervisors.includes(hypervisorId));
	return suited.map((layout) => {
		const folder = suited.length === 1 ? hypervisorId : `${hypervisorId}-${layout.id}`;
		return Object.assign({ folder }, layout);
	});
}
