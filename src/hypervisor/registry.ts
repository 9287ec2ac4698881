import { hypervGen1 } from "./hyperv-gen1.js";
import { hypervGen2 } from "./hyperv-gen2.js";
import type { Hypervisor } from "./hypervisor.js";
import { kvm } from "./kvm.js";
import { neocleus } from "./neocleus.js";
import { nxtop } from "./nxtop.js";
import { virtualbox } from "./virtualbox.js";
import { vmware } from "./vmware.js";
import { xenserver } from "./xenserver.js";

/** The exchange of device models, in the order in which they are shown. */
export const hypervisors: readonly Hypervisor[] = [
	vmware,
	xenserver,
	hypervGen1,
	hypervGen2,
	kvm,
	virtualbox,
	nxtop,
	neocleus,
];

/** The hypervisor of that id. */
export function hypervisor(id: string, among: readonly Hypervisor[] = hypervisors): Hypervisor | undefined {
	return among.find((one) => one.id === id);
}

/** The hypervisor of that id, or else all of that family: `hyperv` names both generations. Empty when neither is known. */
export function hypervisorsNamed(name: string, among: readonly Hypervisor[] = hypervisors): readonly Hypervisor[] {
	const one = hypervisor(name, among);
	return one === undefined ? among.filter(({ family }) => family === name) : [one];
}

/** `own` beside `base`: one with an id that `base` has takes its place, others follow. */
export function withModels(base: readonly Hypervisor[], own: readonly Hypervisor[]): readonly Hypervisor[] {
	return [...new Map([...base, ...own].map((one) => [one.id, one])).values()];
}
