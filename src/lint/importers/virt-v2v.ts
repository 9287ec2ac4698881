import { attribute } from "../../machine/xml-read.js";
import { inOvf, quoted, when } from "../occurrences.js";
import { diskIdOf, itemsOf, vmxVersion } from "../ovf-view.js";
import type { Importer } from "../rule.js";
import { envelopeOne, itemsOnly, memoryInMebibytes, missingFiles, oneSystem, wrongDigests } from "./shared.js";

const OVF = "https://github.com/libguestfs/virt-v2v/blob/master/input/OVF.ml";
const OVA = "https://github.com/libguestfs/virt-v2v/blob/master/input/OVA.ml";

export const virtV2v: Importer = {
	id: "virt-v2v",
	title: "virt-v2v, and with it Forklift",
	takes: ["ova", "ovf", "vmx", "libvirt", "disk"],
	documentation: "https://libguestfs.org/virt-v2v.1.html",
	rules: [
		{
			id: "virt-v2v/one-ovf",
			severity: "refuses",
			grade: "verified",
			reason: "More than one .ovf in the package ends the import.",
			source: OVA,
			fix: "Leave one descriptor in the package.",
			find: ({ kind, members }) => {
				const found = members.filter(({ name }) => name.endsWith(".ovf"));
				return when(kind === "ova" && found.length !== 1, `the archive has ${found.length} descriptors named .ovf`);
			},
		},
		envelopeOne("virt-v2v", OVF),
		oneSystem("virt-v2v", "It looks for the hardware of one machine, directly in the envelope.", OVF),
		itemsOnly("virt-v2v", OVF),
		{
			id: "virt-v2v/manifest-line",
			severity: "warns",
			grade: "verified",
			reason: "A line that is not SHA1(name)= digest or SHA256(name)= digest is passed over: the file is not verified.",
			source: OVA,
			fix: "Write the lines so: without a space before the parenthesis, with one after the equals sign.",
			repair: "manifest",
			find: ({ manifest }) =>
				(manifest?.lines ?? []).flatMap(({ text, line }) =>
					/^(?:SHA1|SHA256)\(.*\)= [0-9a-fA-F]+$/.test(text)
						? []
						: [{ what: `it does not understand ${quoted(text)}`, file: manifest?.file, line }],
				),
		},
		wrongDigests("virt-v2v", "verified", OVA),
		{
			id: "virt-v2v/host-resource",
			severity: "refuses",
			grade: "verified",
			reason: "A disk whose HostResource is not ovf:/disk/ID or /disk/ID ends the import.",
			source: OVF,
			fix: "Write ovf:/disk/ID.",
			repair: "host-resource",
			find: ({ ovf }) =>
				itemsOf(ovf, 17).flatMap(({ element, kind, label, host }) =>
					ovf === undefined || kind !== "Item" || /^(?:ovf:)?\/disk\//.test(host ?? "")
						? []
						: [inOvf(ovf, element, `${quoted(label)} is backed by ${quoted(host ?? "")}`)],
				),
		},
		{
			id: "virt-v2v/file-ref",
			severity: "refuses",
			grade: "verified",
			reason: "Every disk has to have a file in the package: empty ones end the import.",
			source: OVF,
			fix: "Remove the empty disk from the descriptor, and attach one after the import.",
			find: ({ ovf }) =>
				itemsOf(ovf, 17).flatMap(({ element, kind, label, host }) => {
					const id = diskIdOf(host);
					const file = attribute(ovf?.disks.get(id ?? ""), "fileRef");
					return ovf === undefined || kind !== "Item" || id === undefined || ovf.files.has(file ?? "")
						? []
						: [inOvf(ovf, element, `${quoted(label)} has no file`)];
				}),
		},
		{
			id: "virt-v2v/compression",
			severity: "refuses",
			grade: "verified",
			reason: "Files are plain or compressed with gzip; another ovf:compression ends the import.",
			source: OVF,
			fix: "Decompress the file and remove ovf:compression from its File entry.",
			find: ({ ovf }) =>
				[...(ovf?.files.values() ?? [])].flatMap((file) => {
					const compression = attribute(file, "compression") ?? "identity";
					return ovf === undefined || /^(?:identity|gzip)$/.test(compression)
						? []
						: [inOvf(ovf, file, `a file is compressed with ${quoted(compression)}`)];
				}),
		},
		memoryInMebibytes("virt-v2v", OVF),
		{
			id: "virt-v2v/firmware",
			severity: "refuses",
			grade: "verified",
			reason: "VMware's Config entry for the firmware says bios or efi; another word ends the import.",
			source: OVF,
			fix: "Write bios or efi.",
			find: ({ ovf }) =>
				ovf?.firmware === undefined || /^(?:bios|efi)$/.test(ovf.firmware.value)
					? []
					: [inOvf(ovf, ovf.firmware.element, `the firmware is ${quoted(ovf.firmware.value)}`)],
		},
		{
			id: "virt-v2v/parent",
			severity: "warns",
			grade: "verified",
			reason: "A disk whose parent is no controller of type 5, 6 or 20 is imported with a warning, on no known bus.",
			source: OVF,
			fix: "Give the disk's item a Parent: the InstanceID of a controller.",
			repair: "parent",
			find: ({ ovf }) =>
				itemsOf(ovf, 17).flatMap(({ element, label, parent }) =>
					ovf === undefined || ovf.controllers.has(parent ?? "")
						? []
						: [inOvf(ovf, element, `${quoted(label)} has the parent ${quoted(parent ?? "")}`)],
				),
		},
		{
			id: "virt-v2v/vendor",
			severity: "warns",
			grade: "documented",
			reason: "Only OVAs that VMware exported are officially supported.",
			source: "https://libguestfs.org/virt-v2v-input-vmware.1.html",
			fix: "Try it: what others export mostly works as well.",
			find: ({ ovf }) =>
				when(
					ovf !== undefined && !ovf.families.some(({ text }) => text.split(/[\s,]+/).some((each) => vmxVersion(each))),
					"the package was not made for VMware",
				),
		},
		missingFiles("virt-v2v", "verified", OVF),
	],
};
