import { attribute } from "../../machine/xml-read.js";
import { disksWhere, inOvf, quoted, when } from "../occurrences.js";
import { isEnvelope, itemsOf, OVF_1, sectionsOf, vmxVersion } from "../ovf-view.js";
import type { Importer } from "../rule.js";
import { memberOrder, missingFiles, wrongDigests } from "./shared.js";

/** Hosts by the newest virtual hardware they have. https://kb.vmware.com/s/article/2007240 */
const HOSTS: readonly (readonly [version: number, host: string])[] = [
	[10, "ESXi 5.5"],
	[11, "ESXi 6.0"],
	[13, "ESXi 6.5"],
	[14, "ESXi 6.7"],
	[15, "ESXi 6.7 Update 2"],
	[17, "ESXi 7.0"],
	[18, "ESXi 7.0 Update 1"],
	[19, "ESXi 7.0 Update 2"],
	[20, "ESXi 8.0"],
	[21, "ESXi 8.0 Update 2"],
];

const firstHost = (version: number) => HOSTS.find(([newest]) => newest >= version)?.[1] ?? "a host newer than ESXi 8.0";

export const vmware: Importer = {
	id: "vmware",
	title: "VMware vSphere, ESXi, Workstation and Fusion",
	takes: ["ova", "ovf", "vmx"],
	documentation:
		"https://techdocs.broadcom.com/us/en/vmware-cis/vsphere/vsphere/8-0/vsphere-virtual-machine-administration-guide-8-0.html",
	rules: [
		memberOrder("vmware"),
		{
			id: "vmware/ovf-1",
			severity: "refuses",
			grade: "documented",
			reason: "The items that OVF 2 has for disks and network cards are unsupported elements to it.",
			source: "https://github.com/BlackArch/blackarch/issues/1937",
			fix: "Export as OVF 1.0, or write Item for StorageItem and EthernetPortItem.",
			repair: "ovf-1",
			find: ({ ovf }) =>
				(ovf?.items ?? []).flatMap(({ kind, element, label }) =>
					ovf !== undefined && kind !== "Item" ? [inOvf(ovf, element, `${quoted(label)} is a ${kind}`)] : [],
				),
		},
		{
			id: "vmware/hardware-section",
			severity: "refuses",
			grade: "documented",
			reason: "A virtual system without a VirtualHardwareSection is refused.",
			source: "https://github.com/librenms/packer-builds/issues/31",
			fix: "Export the machine again: nothing says what its hardware is.",
			find: ({ ovf }) =>
				(ovf?.systems ?? []).flatMap((system) =>
					ovf !== undefined && sectionsOf(system, "VirtualHardwareSection").length === 0
						? [inOvf(ovf, system, `${quoted(attribute(system, "id") ?? "a machine")} has no VirtualHardwareSection`)]
						: [],
				),
		},
		{
			id: "vmware/hardware-family",
			severity: "refuses",
			grade: "documented",
			reason: 'What is no family vmx-NN is answered with "Unsupported hardware family".',
			source: "https://github.com/owncloud-archive/vm/issues/53",
			fix: "Write vmx-11 into VirtualSystemType, which every host in use has.",
			repair: "hardware-family",
			find: ({ ovf }) =>
				(ovf?.families ?? []).flatMap(({ text, element }) => {
					// Several may be listed; one that is known is enough.
					const known = text.split(/[\s,]+/).some((family) => vmxVersion(family) !== undefined);
					return ovf === undefined || known ? [] : [inOvf(ovf, element, `the hardware family is ${quoted(text)}`)];
				}),
		},
		{
			id: "vmware/hardware-version",
			severity: "refuses",
			grade: "documented",
			reason:
				"Virtual hardware newer than the host's is refused. Asked only where --hardware-version says what it has.",
			source: "https://kb.vmware.com/s/article/2007240",
			fix: "Choose an older compatibility, or write the host's version into VirtualSystemType.",
			repair: "hardware-family",
			find({ ovf, hardwareVersion: stated }, { hardwareVersion: newest }) {
				if (newest === undefined) return [];
				const what = (version: number) => `vmx-${version} needs ${firstHost(version)}, and the host has vmx-${newest}`;
				if (stated !== undefined && stated > newest) return [{ what: what(stated) }];
				return (ovf?.families ?? []).flatMap(({ text, element }) => {
					const versions = text.split(/[\s,]+/).flatMap((family) => vmxVersion(family) ?? []);
					const least = Math.min(...versions);
					return ovf !== undefined && versions.length > 0 && least > newest ? [inOvf(ovf, element, what(least))] : [];
				});
			},
		},
		{
			id: "vmware/sata-5.5",
			severity: "refuses",
			grade: "unverified",
			reason: "ESXi 5.5 does not know the resource type 20. Asked only where --hardware-version is 10 or less.",
			source: "https://kb.vmware.com/s/article/2007240",
			fix: "Put the disks on a SCSI controller (type 6, lsilogic).",
			find: ({ ovf }, { hardwareVersion = Number.POSITIVE_INFINITY }) =>
				itemsOf(ovf, 20).flatMap(({ element, label }) =>
					ovf !== undefined && hardwareVersion <= 10 ? [inOvf(ovf, element, `${quoted(label)} has the type 20`)] : [],
				),
		},
		{
			id: "vmware/ide-subtype",
			severity: "warns",
			grade: "documented",
			reason: "VirtualBox's name of its IDE controller has been complained about and, by some versions, refused.",
			source: "https://github.com/cmu-sei/foundry-appliance/pull/28",
			fix: "Leave ResourceSubType away from IDE controllers: nobody asks for one.",
			repair: "ide-subtype",
			find: ({ ovf }) =>
				itemsOf(ovf, 5).flatMap(({ element, subtype }) =>
					ovf !== undefined && /^PIIX[34]$/i.test(subtype ?? "")
						? [inOvf(ovf, element, `an IDE controller has the subtype ${quoted(subtype ?? "")}`)]
						: [],
				),
		},
		{
			id: "vmware/disk-format",
			severity: "refuses",
			grade: "documented",
			reason: "Disks of an OVF are uploaded as streamOptimized VMDK; others have an invalid disk type to it.",
			source: "https://www.dmtf.org/sites/default/files/standards/documents/DSP0243_1.1.1.pdf",
			fix: "anyvisor convert DISK NEW.vmdk --variant streamOptimized, under the same name.",
			find: (subject) =>
				subject.kind === "vmx"
					? []
					: disksWhere(
							subject,
							({ format }) => format !== "vmdk/streamOptimized",
							({ format }) => `is ${format}`,
						),
		},
		{
			id: "vmware/compression",
			severity: "refuses",
			grade: "documented",
			reason: "vSphere does not import packages whose disks are compressed as whole files.",
			source: "https://github.com/EMCECS/ECS-CommunityEdition/issues/329",
			fix: "Decompress the file and remove ovf:compression from its File entry; streamOptimized disks are compressed.",
			find: ({ ovf }) =>
				[...(ovf?.files.values() ?? [])].flatMap((file) => {
					const compression = attribute(file, "compression") ?? "identity";
					const href = quoted(attribute(file, "href") ?? "");
					return ovf === undefined || compression === "identity"
						? []
						: [inOvf(ovf, file, `${href} is compressed as a whole (${quoted(compression)})`)];
				}),
		},
		{
			id: "vmware/manifest-label",
			severity: "refuses",
			grade: "documented",
			reason: "OpenSSL 3 calls the digest SHA2-256, which vCenter takes for an invalid checksum algorithm.",
			source: "https://github.com/home-assistant/operating-system/issues/3654",
			fix: "Write SHA256(name)= digest.",
			repair: "manifest",
			find: ({ manifest }) =>
				(manifest?.lines ?? []).flatMap(({ label, line }) =>
					label === undefined || /^SHA(?:1|256|384|512)$/i.test(label)
						? []
						: [{ what: `a digest is called ${quoted(label)}`, file: manifest?.file, line }],
				),
		},
		{
			id: "vmware/manifest-space",
			severity: "refuses",
			grade: "documented",
			reason: 'ESXi takes "SHA256 " with the space before the parenthesis for the name of an unknown algorithm.',
			source: "https://github.com/home-assistant/operating-system/issues/826",
			fix: "Write SHA256(name)= digest, as openssl did, not sha256sum --tag.",
			repair: "manifest",
			find: ({ manifest }) =>
				(manifest?.lines ?? []).flatMap(({ spaced, line }) =>
					spaced ? [{ what: "a space stands before the parenthesis", file: manifest?.file, line }] : [],
				),
		},
		{
			id: "vmware/manifest-line",
			severity: "refuses",
			grade: "documented",
			reason: "A line of the manifest that is no digest is an invalid manifest entry to it.",
			source: "https://github.com/nextcloud/vm/issues/910",
			fix: "Write SHA256(name)= digest for each file.",
			repair: "manifest",
			find: ({ manifest }) =>
				(manifest?.lines ?? []).flatMap(({ label, line, text }) =>
					label === undefined ? [{ what: `${quoted(text)} is no digest`, file: manifest?.file, line }] : [],
				),
		},
		{
			id: "vmware/manifest-sha1",
			severity: "warns",
			grade: "documented",
			reason: 'vCenter 6.5 and 6.7 have answered "Invalid OVF checksum algorithm: SHA1".',
			source: "https://github.com/MISP/MISP/issues/3947",
			fix: "Make the manifest with SHA256; only hosts before 6.5 need SHA1.",
			repair: "manifest",
			find: ({ manifest }) =>
				when(manifest?.lines.some(({ label }) => label === "SHA1") === true, "the manifest has SHA1 digests"),
		},
		missingFiles(
			"vmware",
			"documented",
			"https://www.dmtf.org/sites/default/files/standards/documents/DSP0243_1.1.1.pdf",
		),
		wrongDigests("vmware", "documented", "https://github.com/home-assistant/operating-system/issues/2121"),
		{
			id: "vmware/firmware",
			severity: "loses",
			grade: "documented",
			reason:
				"It reads the firmware from its own Config entry and not from VirtualBox's; without it the machine gets BIOS.",
			source: "https://github.com/vmware/govmomi/blob/main/ovf/envelope.go",
			fix: 'Add <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/> to the VirtualHardwareSection.',
			repair: "firmware",
			find: ({ ovf }) => when(ovf?.uefi === true && ovf.firmware === undefined, "only VirtualBox's part says UEFI"),
		},
		{
			id: "vmware/controller",
			severity: "refuses",
			grade: "unverified",
			reason: "A disk whose parent is no controller has no place on the machine.",
			source: "https://www.dmtf.org/sites/default/files/standards/documents/DSP0243_1.1.1.pdf",
			fix: "Give the disk's item a Parent: the InstanceID of a controller.",
			repair: "parent",
			find: ({ ovf }) =>
				itemsOf(ovf, 17).flatMap(({ element, label, parent }) =>
					ovf === undefined || ovf.anyControllers.has(parent ?? "")
						? []
						: [inOvf(ovf, element, `${quoted(label)} hangs on no controller`)],
				),
		},
		{
			id: "vmware/envelope",
			severity: "refuses",
			grade: "unverified",
			reason: "Its importers are for the envelopes of OVF 0.9 and 1.",
			source: "https://github.com/vmware/govmomi/blob/main/ovf/envelope.go",
			fix: `Export as OVF 1.0: the namespace of the envelope is ${OVF_1}.`,
			repair: "ovf-1",
			find: ({ ovf }) =>
				when(
					ovf !== undefined && !(isEnvelope(ovf.root) && !ovf.root.namespace.endsWith("/2")),
					`the envelope is of ${quoted(ovf?.root.namespace ?? "")}`,
				),
		},
	],
};
