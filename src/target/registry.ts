import { hyperv } from "./hyperv.js";
import { libvirt } from "./libvirt.js";
import { ova } from "./ova.js";
import { proxmox } from "./proxmox/proxmox.js";
import { vma } from "./proxmox/vma.js";
import type { Layout, PlacedLayout } from "./target.js";
import { universal } from "./universal/universal.js";
import { vbox } from "./vbox.js";
import { vhd } from "./vhd.js";
import { vmx } from "./vmx.js";
import { xl } from "./xl.js";
import { xva } from "./xva/xva.js";

export const layouts: readonly Layout[] = [ova, vmx, vbox, xva, xl, hyperv, libvirt, proxmox, vma, vhd, universal];

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
	return layout === undefined ? undefined : Object.assign({ folder: id }, layout);
}
