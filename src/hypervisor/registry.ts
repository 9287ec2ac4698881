import { aws } from "./aws.js";
import { azure } from "./azure.js";
import { bhyve } from "./bhyve.js";
import { cloudHypervisor } from "./cloud-hypervisor.js";
import { cloudstack } from "./cloudstack.js";
import { firecracker } from "./firecracker.js";
import { gcp } from "./gcp.js";
import { hypervGen1 } from "./hyperv-gen1.js";
import { hypervGen2 } from "./hyperv-gen2.js";
import type { Hypervisor } from "./hypervisor.js";
import { harvester, kubevirt, openshift } from "./kubevirt.js";
import { kvm } from "./kvm.js";
import { neocleus } from "./neocleus.js";
import { nutanix } from "./nutanix.js";
import { nxtop } from "./nxtop.js";
import { openstack } from "./openstack.js";
import { ovirt } from "./ovirt.js";
import { utm } from "./utm.js";
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

/** What stands on somebody else's hypervisor, by the word for all of a kind. */
const elsewhere: Readonly<Record<string, readonly Hypervisor[]>> = {
	clouds: [aws, azure, gcp],
	platforms: [
		openstack,
		cloudstack,
		ovirt,
		nutanix,
		kubevirt,
		openshift,
		harvester,
		bhyve,
		cloudHypervisor,
		utm,
		firecracker,
	],
};

/** The hypervisors, and what stands on them. */
export const everyHypervisor: readonly Hypervisor[] = [...hypervisors, ...Object.values(elsewhere).flat()];

/** Words for several: `all` hypervisors, with a user's own; those of a kind that stand elsewhere; `every` one of these. */
export const groupNames: readonly string[] = ["all", ...Object.keys(elsewhere), "every"];

/** The group, other than `every`, that the hypervisor of that id is in. */
export function groupOf(id: string): string {
	const [name = "all"] = Object.entries(elsewhere).find(([, group]) => group.some((one) => one.id === id)) ?? [];
	return name;
}

/** The hypervisor of that id. */
export function hypervisor(id: string, among: readonly Hypervisor[] = everyHypervisor): Hypervisor | undefined {
	return among.find((one) => one.id === id);
}

/**
 * The hypervisor of that id, or else all of that group or family: `hyperv` names both generations. Empty when none of that
 * is known.
 */
export function hypervisorsNamed(name: string, among: readonly Hypervisor[] = everyHypervisor): readonly Hypervisor[] {
	if (name === "every") return among;
	if (groupNames.includes(name)) return among.filter(({ id }) => groupOf(id) === name);
	const one = hypervisor(name, among);
	return one === undefined ? among.filter(({ family }) => family === name) : [one];
}

/** `own` beside `base`: one with an id that `base` has takes its place, others follow. */
export function withModels(base: readonly Hypervisor[], own: readonly Hypervisor[]): readonly Hypervisor[] {
	return [...new Map([...base, ...own].map((one) => [one.id, one])).values()];
}
