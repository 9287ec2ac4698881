import { wordsOf } from "../../bytes/words.js";
import { RECORDS } from "../../machine/xva/mark.js";
import { quoted } from "../occurrences.js";
import type { Importer, Occurrence } from "../rule.js";
import type { Subject } from "../subject.js";
import type { XvaDisk } from "../xva-view.js";

const XAPI = "https://github.com/xapi-project/xen-api/blob/master/ocaml/xapi/stream_vdi.ml";
const PLATFORM = "https://github.com/xapi-project/xen-api/blob/master/ocaml/tests/test_platformdata.ml";
const MEBIBYTE = 2 ** 20;
const FORMS: Readonly<Record<string, RegExp>> = wordsOf({ checksum: /^[0-9a-f]{40}$/, xxhash: /^[0-9A-F]{16}$/ });

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
			severity: "warns",
			grade: "verified",
			reason:
				"Exports always have the first chunk of a disk, even of zeros. The host copes without; others rely on it.",
			source: XAPI,
			fix: "Export the VM again, or make the package anew: anyvisor expand --for xenserver.",
			find: (subject) =>
				disksOf(subject, ({ first }) => (first.number === 0 ? undefined : `begins with chunk ${first.number}`)),
		},
		{
			id: "xenserver/last-chunk",
			severity: "refuses",
			grade: "verified",
			reason: "The last chunk of a disk is always there: without it the next disk's is taken for one of this disk.",
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
			id: "xenserver/checksum-form",
			severity: "refuses",
			grade: "verified",
			reason:
				"Sums are compared as text: 40 digits with small letters in .checksum, 16 with capital ones in .xxhash, and no end of line.",
			source: XAPI,
			fix: "Write the sums so, or make the package anew: anyvisor expand --for xenserver.",
			find: (subject) =>
				disksOf(subject, ({ sample }) =>
					sample === undefined || FORMS[sample.ending]?.test(sample.text) === true
						? undefined
						: `has a .${sample.ending} of ${quoted(sample.text)}`,
				),
		},
		{
			id: "xenserver/device-model",
			severity: "refuses",
			grade: "verified",
			reason: "UEFI is refused with the device model qemu-trad, and BIOS with qemu-upstream-uefi.",
			source: PLATFORM,
			fix: "Set platform.device-model to qemu-upstream-uefi for UEFI, and to qemu-upstream-compat for BIOS.",
			find: ({ xva }) =>
				xva?.deviceModel === (xva?.firmware === "uefi" ? "qemu-trad" : "qemu-upstream-uefi")
					? [{ what: `with ${xva.firmware ?? "bios"} the device model is ${quoted(xva.deviceModel)}`, file: RECORDS }]
					: [],
		},
		{
			id: "xenserver/uefi-device-model",
			severity: "warns",
			grade: "documented",
			reason: "Machines with UEFI that hosts export have the device model qemu-upstream-uefi.",
			source: PLATFORM,
			fix: "Set platform.device-model to qemu-upstream-uefi.",
			find: ({ xva }) =>
				xva?.firmware === "uefi" && !/^qemu-(?:upstream-uefi|trad)$/.test(xva.deviceModel ?? "")
					? [{ what: `with uefi the device model is ${quoted(xva.deviceModel ?? "")}`, file: RECORDS }]
					: [],
		},
	],
};
