import { RECORDS } from "../../machine/xva/mark.js";
import { quoted } from "../occurrences.js";
import type { Importer, Occurrence } from "../rule.js";
import type { Subject } from "../subject.js";
import type { XvaDisk } from "../xva-view.js";

const XAPI = "https://github.com/xapi-project/xen-api/blob/master/ocaml/xapi/stream_vdi.ml";
const MEBIBYTE = 2 ** 20;

const disksOf = (
	{ xva }: Subject,
	what: (disk: XvaDisk, index: number, all: readonly XvaDisk[]) => string | undefined,
): Occurrence[] =>
	(xva?.disks ?? []).flatMap((disk, index, all) => {
		const found = what(disk, index, all);
		return found === undefined ? [] : [{ what: `the disk ${quoted(disk.reference)} ${found}`, file: disk.reference }];
	});

/** What `xe vm-import` takes, and with it XenCenter and Xen Orchestra. */
export const xenserver: Importer = {
	id: "xenserver",
	title: "XenServer and XCP-ng (xe vm-import)",
	takes: ["xva"],
	documentation: "https://docs.xenserver.com/en-us/xenserver/8/vms/import-export.html",
	rules: [
		{
			id: "xenserver/first-member",
			severity: "refuses",
			grade: "verified",
			reason: `The archive is read as a stream and begins with ${RECORDS}.`,
			source: XAPI,
			fix: `Put ${RECORDS} first into the archive.`,
			repair: "member-order",
			find: ({ xva }) =>
				xva === undefined || xva.first === RECORDS ? [] : [{ what: `the first member is ${quoted(xva.first)}` }],
		},
		{
			id: "xenserver/first-chunk",
			severity: "refuses",
			grade: "verified",
			reason: "The first chunk of a disk is always there, even if it is all zeros.",
			source: XAPI,
			fix: "Export the VM again, or make the package anew: anyvisor expand --for xenserver.",
			find: (subject) =>
				disksOf(subject, ({ first }) => (first.number === 0 ? undefined : `begins with chunk ${first.number}`)),
		},
		{
			id: "xenserver/last-chunk",
			severity: "refuses",
			grade: "verified",
			reason: "The last chunk of a disk is always there: it ends the disk.",
			source: XAPI,
			fix: "Export the VM again, or make the package anew: anyvisor expand --for xenserver.",
			find: (subject) =>
				disksOf(subject, ({ capacity, last }) => {
					const wanted = Math.max(1, Math.ceil((capacity ?? 0) / MEBIBYTE)) - 1;
					return capacity === undefined || last.number >= wanted
						? undefined
						: `ends with chunk ${last.number} of ${wanted}`;
				}),
		},
		{
			id: "xenserver/no-chunks",
			severity: "refuses",
			grade: "verified",
			reason: "Every disk that is described has its content in the archive.",
			source: XAPI,
			fix: "Export the VM with its disks, not only its metadata.",
			find: ({ xva, machine }) =>
				(machine?.disks ?? []).flatMap(({ kind, file }) =>
					xva === undefined ||
					kind !== "disk" ||
					file === undefined ||
					xva.disks.some(({ reference }) => reference === file)
						? []
						: [{ what: `nothing of the disk ${quoted(file)} is in the archive` }],
				),
		},
		{
			id: "xenserver/chunk-size",
			severity: "refuses",
			grade: "verified",
			reason:
				"How much a missing chunk skips is taken from the first chunk of the first disk: it has to have a whole MiB.",
			source: XAPI,
			fix: "Make the package anew with disks filled up to whole MiB: anyvisor expand --for xenserver.",
			find: (subject) =>
				disksOf(subject, ({ first }, index) =>
					index > 0 || first.size === MEBIBYTE ? undefined : `begins with a chunk of ${first.size} bytes`,
				),
		},
		{
			id: "xenserver/chunk-order",
			severity: "refuses",
			grade: "verified",
			reason: "Chunks are written as they come: they stand in the order of their numbers.",
			source: XAPI,
			fix: "Export the VM again, or make the package anew: anyvisor expand --for xenserver.",
			find: (subject) => disksOf(subject, ({ ascending }) => (ascending ? undefined : "has chunks out of order")),
		},
		{
			id: "xenserver/disk-order",
			severity: "refuses",
			grade: "verified",
			reason: "Disks are expected in the order that their references have as text: Ref:10 comes before Ref:9.",
			source: XAPI,
			fix: "Number the references with leading zeros: anyvisor expand --for xenserver does.",
			find: (subject) =>
				disksOf(subject, ({ reference }, index, all) => {
					const before = all[index - 1]?.reference;
					return before === undefined || before < reference ? undefined : `stands behind ${quoted(before)}`;
				}),
		},
		{
			id: "xenserver/checksum",
			severity: "refuses",
			grade: "verified",
			reason: "Each chunk is followed by its sum: .checksum with a SHA-1, or .xxhash with an XXH64.",
			source: XAPI,
			fix: "Make the package anew: anyvisor expand --for xenserver.",
			find: (subject) =>
				disksOf(subject, ({ unsummed }) => (unsummed > 0 ? `has ${unsummed} chunks without a checksum` : undefined)),
		},
		{
			id: "xenserver/xxhash-case",
			severity: "refuses",
			grade: "verified",
			reason: "An XXH64 is compared as text of 16 digits with upper-case letters.",
			source: XAPI,
			fix: "Write the sums in upper case, or as SHA-1.",
			find: (subject) =>
				disksOf(subject, ({ sample }) =>
					sample === undefined || /^[0-9A-F]{16}$/.test(sample) ? undefined : `has the sum ${quoted(sample)}`,
				),
		},
		{
			id: "xenserver/xxhash-age",
			severity: "warns",
			grade: "unverified",
			reason: "Hosts older than XXH64 in exports likely need SHA-1.",
			source: XAPI,
			fix: "For old hosts make the package with SHA-1: anyvisor expand --for xenserver.",
			find: (subject) => disksOf(subject, ({ sums }) => (sums.has("xxhash") ? "has XXH64 sums" : undefined)),
		},
		{
			id: "xenserver/uefi-device-model",
			severity: "refuses",
			grade: "verified",
			reason: "A machine with UEFI starts with the device model qemu-upstream-uefi only.",
			source: "https://github.com/xapi-project/xen-api/blob/master/ocaml/xapi/vm_platform.ml",
			fix: "Set platform.device-model to qemu-upstream-uefi.",
			find: ({ xva }) =>
				xva?.firmware === "uefi" && xva.deviceModel !== "qemu-upstream-uefi"
					? [{ what: `the firmware is uefi and the device model ${quoted(xva.deviceModel ?? "")}`, file: RECORDS }]
					: [],
		},
	],
};
