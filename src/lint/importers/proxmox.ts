import { attribute, child } from "../../machine/xml-read.js";
import { inOvf, quoted, when } from "../occurrences.js";
import { diskIdOf, itemsOf, property } from "../ovf-view.js";
import type { Importer } from "../rule.js";
import { envelopeOne, itemsOnly, memoryInMebibytes, missingFiles, oneSystem } from "./shared.js";

const IMPORTER = "https://github.com/proxmox/pve-storage/blob/master/src/PVE/GuestImport/OVF.pm";

export const proxmox: Importer = {
	id: "proxmox",
	title: "Proxmox VE",
	takes: ["ova", "ovf"],
	documentation: "https://pve.proxmox.com/wiki/Migrate_to_Proxmox_VE",
	rules: [
		envelopeOne("proxmox", IMPORTER),
		oneSystem("proxmox", "It looks for the hardware of one machine, directly in the envelope.", IMPORTER),
		itemsOnly("proxmox", IMPORTER),
		{
			id: "proxmox/vmw-prefix",
			severity: "refuses",
			grade: "verified",
			reason:
				"The firmware is looked up with the prefix vmw, which only the document itself declares; else XPath fails.",
			source: IMPORTER,
			fix: 'Add xmlns:vmw="http://www.vmware.com/schema/ovf" to the envelope.',
			repair: "firmware",
			find: ({ ovf }) => when(ovf?.prefixes.has("vmw") === false, "the envelope does not declare the prefix vmw"),
		},
		{
			id: "proxmox/host-resource",
			severity: "loses",
			grade: "verified",
			reason: "Disks are only found by ovf:/disk/ID, the ID of letters, digits and -._~; others are skipped.",
			source: IMPORTER,
			fix: "Write ovf:/disk/ID.",
			repair: "host-resource",
			find: ({ ovf }) =>
				itemsOf(ovf, 17).flatMap(({ element, label, host }) =>
					ovf === undefined || /^ovf:\/[\w.~-]+\/[\w.~-]+$/.test(host ?? "")
						? []
						: [inOvf(ovf, element, `${quoted(label)} is backed by ${quoted(host ?? "")}`)],
				),
		},
		{
			id: "proxmox/file-ref",
			severity: "loses",
			grade: "verified",
			reason:
				"A disk is skipped if it has no file, or its fileRef has other characters than letters, digits and -._~/.",
			source: IMPORTER,
			fix: "Use plain characters in ovf:fileRef and ovf:id; attach empty disks after the import.",
			find: ({ ovf }) =>
				itemsOf(ovf, 17).flatMap(({ element, label, host }) => {
					const disk = ovf?.disks.get(diskIdOf(host) ?? "");
					return ovf === undefined || disk === undefined || /^[\w.~/-]+$/.test(attribute(disk, "fileRef") ?? "")
						? []
						: [inOvf(ovf, element, `${quoted(label)} has the file ${quoted(attribute(disk, "fileRef") ?? "")}`)];
				}),
		},
		{
			id: "proxmox/parent",
			severity: "loses",
			grade: "verified",
			reason: "A disk without a parent of type 5, 6 or 20, found by InstanceID, is skipped or gets no bus.",
			source: IMPORTER,
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
			id: "proxmox/href",
			severity: "refuses",
			grade: "verified",
			reason: "Names of disk files are made of letters, digits and -.+=_ only; others end the import.",
			source: IMPORTER,
			fix: "Rename the file, also in its File entry and in the manifest.",
			repair: "href",
			find: ({ ovf }) =>
				itemsOf(ovf, 17).flatMap(({ host }) => {
					const disk = ovf?.disks.get(diskIdOf(host) ?? "");
					const file = ovf?.files.get(attribute(disk, "fileRef") ?? "");
					const href = attribute(file, "href");
					return ovf === undefined || file === undefined || href === undefined || /^[\w.+=-]+$/.test(href)
						? []
						: [inOvf(ovf, file, `a disk's file is called ${quoted(href)}`)];
				}),
		},
		memoryInMebibytes("proxmox", IMPORTER),
		{
			id: "proxmox/firmware",
			severity: "loses",
			grade: "verified",
			reason: "UEFI is only seen in VMware's Config entry with the key firmware and the value efi.",
			source: IMPORTER,
			fix: 'Add <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/> to the VirtualHardwareSection.',
			repair: "firmware",
			find: ({ ovf }) => when(ovf?.uefi === true && ovf.firmware?.value !== "efi", "only VirtualBox's part says UEFI"),
		},
		{
			id: "proxmox/network-model",
			severity: "warns",
			grade: "verified",
			reason: "Network cards are e1000, e1000e or vmxnet3; any other becomes an e1000.",
			source: IMPORTER,
			fix: "See that the guest has a driver for e1000, or change the model after the import.",
			find: ({ ovf }) =>
				itemsOf(ovf, 10).flatMap(({ element, subtype }) =>
					ovf === undefined || ["e1000", "e1000e", "vmxnet3"].includes(subtype?.toLowerCase() ?? "")
						? []
						: [inOvf(ovf, element, `a network card is a ${quoted(subtype ?? "")}`)],
				),
		},
		{
			id: "proxmox/mac",
			severity: "warns",
			grade: "verified",
			reason: "MAC addresses are not read: every network card gets a new one.",
			source: IMPORTER,
			fix: "Set the address after the import: qm set VMID --net0 MODEL=ADDRESS,bridge=BRIDGE.",
			find: ({ ovf }) =>
				itemsOf(ovf, 10).flatMap(({ element }) => {
					const address = property(element, "Address");
					return ovf === undefined || address === undefined
						? []
						: [inOvf(ovf, element, `a network card has the address ${quoted(address)}`)];
				}),
		},
		{
			id: "proxmox/name",
			severity: "warns",
			grade: "verified",
			reason: "Characters of the machine's name that are none of letters, digits, - and . are dropped.",
			source: IMPORTER,
			fix: "Rename the machine after the import.",
			find: ({ ovf }) =>
				(ovf?.direct ?? []).flatMap((system) => {
					const name = child(system, "Name")?.text ?? "";
					return ovf === undefined || /^[A-Za-z0-9.-]*$/.test(name)
						? []
						: [inOvf(ovf, system, `the machine is called ${quoted(name)}`)];
				}),
		},
		missingFiles("proxmox", "verified", IMPORTER),
	],
};
