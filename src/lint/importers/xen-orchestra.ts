import { unitBytes } from "../../machine/units.js";
import { child, descend } from "../../machine/xml-read.js";
import { inOvf, quoted, when } from "../occurrences.js";
import { itemsOf, property } from "../ovf-view.js";
import type { Importer } from "../rule.js";
import { oneSystem, runs } from "./shared.js";
import { xenserver } from "./xenserver.js";

const READER = "https://github.com/vatesfr/xen-orchestra/blob/master/packages/xo-vmdk-to-vhd/src/ova-read.js";

export const xenOrchestra: Importer = {
	id: "xen-orchestra",
	title: "Xen Orchestra",
	takes: ["ova", "xva"],
	documentation: "https://docs.xen-orchestra.com/",
	rules: [
		oneSystem(
			"xen-orchestra",
			"It reads the one VirtualSystem in the envelope, and fails on several or a collection.",
			READER,
		),
		{
			id: "xen-orchestra/disk-section",
			severity: "refuses",
			grade: "verified",
			reason: "It reads the DiskSection without asking whether there is one.",
			source: READER,
			fix: "Export the machine with its disks.",
			find: ({ ovf }) =>
				when(ovf !== undefined && child(ovf.root, "DiskSection") === undefined, "there is no DiskSection"),
		},
		{
			id: "xen-orchestra/system",
			severity: "refuses",
			grade: "verified",
			reason: "It reads the System of the VirtualHardwareSection without asking whether there is one.",
			source: READER,
			fix: "Export the machine again with a System element in its VirtualHardwareSection.",
			find: ({ ovf }) =>
				(ovf?.direct ?? []).flatMap((system) =>
					ovf === undefined || descend(system, "VirtualHardwareSection", "System") !== undefined
						? []
						: [inOvf(ovf, system, "the hardware has no System element")],
				),
		},
		{
			id: "xen-orchestra/name",
			severity: "loses",
			grade: "verified",
			reason: "The machine's name is taken from VirtualSystemIdentifier and from nowhere else.",
			source: READER,
			fix: "Add vssd:VirtualSystemIdentifier with the machine's name to System.",
			repair: "system-identifier",
			find: ({ ovf }) =>
				(ovf?.direct ?? []).flatMap((system) => {
					const inner = descend(system, "VirtualHardwareSection", "System");
					return ovf === undefined || inner === undefined || property(inner, "VirtualSystemIdentifier") !== undefined
						? []
						: [inOvf(ovf, inner, "there is no VirtualSystemIdentifier")];
				}),
		},
		{
			id: "xen-orchestra/network",
			severity: "loses",
			grade: "verified",
			reason: "A network card counts only if its AutomaticAllocation is not empty.",
			source: READER,
			fix: "Add <rasd:AutomaticAllocation>true</rasd:AutomaticAllocation> to the card's item.",
			repair: "automatic-allocation",
			find: ({ ovf }) =>
				itemsOf(ovf, 10).flatMap(({ element, label }) =>
					ovf === undefined || property(element, "AutomaticAllocation") !== undefined
						? []
						: [inOvf(ovf, element, `${quoted(label)} has no AutomaticAllocation`)],
				),
		},
		{
			id: "xen-orchestra/memory-units",
			severity: "refuses",
			grade: "verified",
			reason:
				"Units of memory are a power of two at their end (2^20) or begin with k, m, g or t; without units it fails.",
			source: READER,
			fix: "Give memory in byte * 2^20.",
			repair: "memory-units",
			find: ({ ovf }) =>
				itemsOf(ovf, 4).flatMap(({ element }) => {
					const units = property(element, "AllocationUnits") ?? "";
					const power = /\^(\d+)$/.exec(units)?.[1];
					const right = power === undefined ? /^[kmgt]/i.test(units) : unitBytes(units) === 2 ** Number(power);
					return ovf === undefined || right ? [] : [inOvf(ovf, element, `memory is given in ${quoted(units)}`)];
				}),
		},
		{
			id: "xen-orchestra/host-resource",
			severity: "loses",
			grade: "verified",
			reason: "Disks are only found by /disk/ID or ovf:/disk/ID.",
			source: READER,
			fix: "Write ovf:/disk/ID.",
			repair: "host-resource",
			find: ({ ovf }) =>
				itemsOf(ovf, 17).flatMap(({ element, label, host }) =>
					ovf === undefined || ovf.disks.has(/^(?:ovf:)?\/disk\/(.+)$/.exec(host ?? "")?.[1] ?? "")
						? []
						: [inOvf(ovf, element, `${quoted(label)} is backed by ${quoted(host ?? "")}`)],
				),
		},
		{
			id: "xen-orchestra/disk-position",
			severity: "warns",
			grade: "verified",
			reason: "Disks get their places by AddressOnParent alone: one whose number is taken moves behind all others.",
			source: READER,
			fix: "Check the order of the disks after the import.",
			find({ ovf }) {
				const seen = new Set<string>();
				return itemsOf(ovf, 17).flatMap(({ element, label }) => {
					const position = property(element, "AddressOnParent") ?? "0";
					const taken = seen.has(position);
					seen.add(position);
					return ovf !== undefined && taken
						? [inOvf(ovf, element, `${quoted(label)} has the number ${quoted(position)} like another disk`)]
						: [];
				});
			},
		},
		{
			id: "xen-orchestra/firmware",
			severity: "loses",
			grade: "verified",
			reason: "The firmware is never read from an OVA: the machine gets BIOS.",
			source: READER,
			fix: "Set the firmware to UEFI before the first start, or import an XVA: anyvisor expand --for xenserver.",
			find: ({ ovf }) => when(ovf?.uefi === true, "the machine has UEFI"),
		},
		...runs("xen-orchestra", xenserver, "It hands an XVA to the host."),
	],
};
