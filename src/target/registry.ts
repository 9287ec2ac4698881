import { hyperv } from "./hyperv.js";
import { libvirt } from "./libvirt.js";
import { ova } from "./ova.js";
import type { Layout, PlacedLayout } from "./target.js";
import { vhd } from "./vhd.js";
import { vmx } from "./vmx.js";
import { xva } from "./xva/xva.js";

export const layouts: readonly Layout[] = [ova, vmx, xva, hyperv, libvirt, vhd];

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
