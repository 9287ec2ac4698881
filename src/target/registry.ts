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
import { proxmox } from "./proxmox/proxmox.js";
import { vma } from "./proxmox/vma.js";
import type { Layout, PlacedLayout } from "./target.js";
import { universal } from "./universal/universal.js";
import { utm } from "./utm.js";
import { vbox } from "./vbox.js";
import { vhd } from "./vhd.js";
import { vmx } from "./vmx.js";
import { xl } from "./xl.js";
import { xva } from "./xva/xva.js";

export const layouts: readonly Layout[] = [
	ova,
	vmx,
	vbox,
	xva,
	xl,
	hyperv,
	libvirt,
	proxmox,
	vma,
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
	universal,
];

/** One package that can be asked for: a row of `--for list` and of docs/targets.md. */
export interface Target {
	/** The word for `--for`: {@link Hypervisor.id}, or {@link Layout.id} of what is asked for by its own name. */
	readonly id: string;
	readonly title: string;
	/** The word for it and its kind: {@link groupOf}; of what is asked for by its own name, `by name`. */
	readonly group: string;
	readonly layout: string;
	readonly folder: string;
	readonly holds: string;
	readonly imported: string;
	readonly judged: string;
}

/** Every package there is for these hypervisors. */
export function targetsFor(hypervisors: readonly Hypervisor[]): readonly Target[] {
	const row = (id: string, title: string, group: string, placed: PlacedLayout): Target => {
		const { id: layout, folder, summary: holds, imported, judged } = placed;
		return { id, title, group, layout, folder, holds, imported, judged };
	};
	const suited = hypervisors.flatMap(({ id, title }) =>
		layoutsFor(id).map((layout) => row(id, title, groupOf(id), layout)),
	);
	const ids = new Set(hypervisors.map(({ id }) => id));
	const own = layouts.flatMap((layout) => {
		const { id, onRequest, hypervisors } = layout;
		if (onRequest === undefined || !hypervisors.some((served) => ids.has(served))) return [];
		return row(id, onRequest.title, "by name", byName(layout));
	});
	return [...suited, ...own];
}

/**
 * The layouts for a hypervisor, each with the folder it is written into: named after the hypervisor, and after the layout
 * too where there are several. Empty where nothing is known to suit it.
 */
export function layoutsFor(hypervisorId: string): readonly PlacedLayout[] {
	const suited = layouts.filter(({ hypervisors, onRequest }) => !onRequest && hypervisors.includes(hypervisorId));
	return suited.map((layout) => {
		const folder = suited.length === 1 ? hypervisorId : `${hypervisorId}-${layout.id}`;
		return Object.assign({ folder }, layout);
	});
}

/** A package that is asked for by its own name, in a folder of that name. */
export function layoutNamed(id: string): PlacedLayout | undefined {
	const layout = layouts.find((layout) => layout.onRequest && layout.id === id);
	return layout && byName(layout);
}

const byName = (layout: Layout): PlacedLayout => Object.assign({ folder: layout.id }, layout);
