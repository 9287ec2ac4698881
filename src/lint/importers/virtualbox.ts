import { wholeNumber } from "../../machine/units.js";
import { attribute } from "../../machine/xml-read.js";
import { inOvf, quoted } from "../occurrences.js";
import { itemsOf, property, sectionsOf } from "../ovf-view.js";
import type { Importer } from "../rule.js";
import { missingFiles } from "./shared.js";

const READER = "https://github.com/VirtualBox/virtualbox/blob/main/src/VBox/Main/xml/ovfreader.cpp";

const UNITS: readonly string[] = ["MegaBytes", "MB", "byte * 2^20", "GigaBytes", "GB", "byte * 2^30"];
const STORAGE: readonly string[] = [
	"ahci",
	"vmware.sata.ahci",
	"virtioscsi",
	"virtio-scsi",
	"nvme",
	"vmware.nvme.controller",
];
/** Resource types that its reader has a case for. */
const KNOWN: readonly (number | undefined)[] = [3, 4, 5, 6, 10, 14, 15, 17, 20, 23, 35];

export const virtualbox: Importer = {
	id: "virtualbox",
	title: "VirtualBox",
	takes: ["ova", "ovf", "vbox"],
	documentation: "https://www.virtualbox.org/manual/ch01.html#ovf",
	rules: [
		{
			id: "virtualbox/memory-units",
			severity: "refuses",
			grade: "verified",
			reason: `The units of memory are compared as text with ${UNITS.join(", ")}; others, and none, are fatal.`,
			source: READER,
			fix: "Write <rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits> and the memory in MiB.",
			repair: "memory-units",
			find: ({ ovf }) =>
				itemsOf(ovf, 4).flatMap(({ element }) => {
					const units = property(element, "AllocationUnits") ?? "";
					return ovf === undefined || UNITS.includes(units)
						? []
						: [inOvf(ovf, element, `memory is given in ${quoted(units)}`)];
				}),
		},
		{
			id: "virtualbox/storage-subtype",
			severity: "refuses",
			grade: "verified",
			reason: `A controller of type 20 has to be one of ${STORAGE.join(", ")}, in any case of letters.`,
			source: READER,
			fix: "Write vmware.sata.ahci into its ResourceSubType, which VMware knows too.",
			repair: "storage-subtype",
			find: ({ ovf }) =>
				itemsOf(ovf, 20).flatMap(({ element, label, subtype }) =>
					ovf === undefined || STORAGE.includes(subtype?.toLowerCase() ?? "")
						? []
						: [inOvf(ovf, element, `the controller ${quoted(label)} is a ${quoted(subtype ?? "")}`)],
				),
		},
		{
			id: "virtualbox/required-type",
			severity: "refuses",
			grade: "verified",
			reason: "A device of a type that it does not know is fatal unless the item says that it is not required.",
			source: READER,
			fix: 'Add ovf:required="false" to the item; a DVD drive is 15 to it, not 16.',
			repair: "required-type",
			find: ({ ovf }) =>
				(ovf?.items ?? []).flatMap(({ element, label, type, required }) =>
					ovf === undefined || KNOWN.includes(type) || !required
						? []
						: [inOvf(ovf, element, `${quoted(label)} has the type ${type ?? "none"} and is required`)],
				),
		},
		{
			id: "virtualbox/parent",
			severity: "refuses",
			grade: "verified",
			reason: "The parent of a disk or CD drive has to be a controller of type 5, 6 or 20.",
			source: READER,
			fix: "Give the item a Parent: the InstanceID of a controller.",
			repair: "parent",
			find: ({ ovf }) =>
				itemsOf(ovf, 15, 17).flatMap(({ element, label, parent }) =>
					ovf === undefined || ovf.anyControllers.has(parent ?? "")
						? []
						: [inOvf(ovf, element, `${quoted(label)} has the parent ${quoted(parent ?? "")}`)],
				),
		},
		{
			id: "virtualbox/host-resource",
			severity: "refuses",
			grade: "verified",
			reason: "A disk's HostResource has to be ovf:/disk/ID, ovf://disk/ID or /disk/ID of a disk in the DiskSection.",
			source: READER,
			fix: "Write ovf:/disk/ID.",
			repair: "host-resource",
			find: ({ ovf }) =>
				itemsOf(ovf, 17).flatMap(({ element, label, host }) => {
					const id = /^(?:ovf:\/{1,2}|\/)disk\/(.*)$/.exec(host ?? "")?.[1];
					return ovf === undefined || (id !== undefined && ovf.disks.has(id))
						? []
						: [inOvf(ovf, element, `${quoted(label)} is backed by ${quoted(host ?? "")}`)];
				}),
		},
		{
			id: "virtualbox/instance-id",
			severity: "refuses",
			grade: "verified",
			reason: "A controller without an InstanceID is fatal.",
			source: READER,
			fix: "Give each controller an InstanceID of its own.",
			find: ({ ovf }) =>
				itemsOf(ovf, 5, 6, 20).flatMap(({ element, label, instance }) =>
					ovf === undefined || instance !== undefined
						? []
						: [inOvf(ovf, element, `the controller ${quoted(label)} has no InstanceID`)],
				),
		},
		{
			id: "virtualbox/system-id",
			severity: "refuses",
			grade: "verified",
			reason: "An OperatingSystemSection without a number as its ovf:id is fatal.",
			source: READER,
			fix: "Write the number that CIM gives the guest, or 1 for any other.",
			repair: "system-id",
			find: ({ ovf }) =>
				(ovf?.systems ?? [])
					.flatMap((system) => sectionsOf(system, "OperatingSystemSection"))
					.flatMap((section) =>
						ovf === undefined || wholeNumber(attribute(section, "id")) !== undefined
							? []
							: [inOvf(ovf, section, `the operating system is ${quoted(attribute(section, "id") ?? "")}`)],
					),
		},
		missingFiles("virtualbox", "documented", "https://www.virtualbox.org/manual/ch01.html#ovf"),
	],
};
