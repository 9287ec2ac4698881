import { unitBytes } from "../../machine/units.js";
import { attribute } from "../../machine/xml-read.js";
import { inOvf, quoted, when } from "../occurrences.js";
import { itemsOf, OVF_1, property } from "../ovf-view.js";
import type { Grade, Importer, Rule } from "../rule.js";

const SPECIFICATION = "https://www.dmtf.org/sites/default/files/standards/documents/DSP0243_1.1.1.pdf";

/** DSP0243 5.3. */
export const memberOrder = (importer: string): Rule => ({
	id: `${importer}/member-order`,
	severity: "refuses",
	grade: "documented",
	reason: "The descriptor has to be the first member of an OVA, because it is read while the rest is still coming.",
	source: SPECIFICATION,
	fix: "Pack it again: tar --format=ustar -cf NEW.ova NAME.ovf NAME.mf DISK.",
	repair: "member-order",
	find: ({ kind, members: [first] }) =>
		when(
			kind === "ova" && !/\.ovf$/i.test(first?.name ?? ""),
			`the first member of the archive is ${quoted(first?.name ?? "none")}`,
		),
});

export const wrongDigests = (importer: string, grade: Grade, source: string): Rule => ({
	id: `${importer}/manifest-digest`,
	severity: "refuses",
	grade,
	reason: "Each file is compared with its digest in the manifest.",
	source,
	fix: "Get the package again; if the files were changed on purpose, make the manifest anew.",
	find: ({ manifest }) =>
		(manifest?.wrong ?? []).map((file) => ({ what: `${quoted(file)} is not what the manifest says`, file })),
});

/** One machine, directly in the envelope. */
export const oneSystem = (importer: string, reason: string, source: string): Rule => ({
	id: `${importer}/one-system`,
	severity: "refuses",
	grade: "verified",
	reason,
	source,
	fix: "Export each machine on its own.",
	find: ({ ovf }) =>
		ovf === undefined || (ovf.systems.length === 1 && ovf.direct.length === 1)
			? []
			: [
					inOvf(
						ovf,
						ovf.root,
						ovf.systems.length === 1
							? "the machine is inside of a collection"
							: `${ovf.systems.length} machines are described`,
					),
				],
});

/** What looks for elements of the envelope of OVF 1 finds nothing in another. */
export const envelopeOne = (importer: string, source: string): Rule => ({
	id: `${importer}/envelope`,
	severity: "refuses",
	grade: "verified",
	reason: "It looks for the elements of OVF 1 only, and finds no machine in other envelopes.",
	source,
	fix: `Export as OVF 1.0: the namespace of the envelope is ${OVF_1}.`,
	repair: "ovf-1",
	find: ({ ovf }) =>
		ovf === undefined || ovf.root.namespace === OVF_1
			? []
			: [inOvf(ovf, ovf.root, `the envelope is of ${quoted(ovf.root.namespace)}`)],
});

export const itemsOnly = (importer: string, source: string): Rule => ({
	id: `${importer}/ovf-1-items`,
	severity: "loses",
	grade: "verified",
	reason: "It looks for Item only: what OVF 2 says in other elements is not imported.",
	source,
	fix: "Export as OVF 1.0, or write Item for StorageItem and EthernetPortItem.",
	repair: "ovf-1",
	find: ({ ovf }) =>
		(ovf?.items ?? []).flatMap(({ kind, element, label }) =>
			ovf !== undefined && kind !== "Item" ? [inOvf(ovf, element, `${quoted(label)} is a ${kind}`)] : [],
		),
});

export const missingFiles = (importer: string, grade: Grade, source: string): Rule => ({
	id: `${importer}/missing-file`,
	severity: "refuses",
	grade,
	reason: "A file that the descriptor refers to has to be there.",
	source,
	fix: "Put the file into the package under the name that its File entry has.",
	find({ ovf, disks }) {
		const entries = new Map([...(ovf?.files.values() ?? [])].map((file) => [attribute(file, "href"), file]));
		return disks.flatMap(({ name, missing }) => {
			const entry = entries.get(name);
			return ovf !== undefined && missing && entry !== undefined
				? [inOvf(ovf, entry, `${quoted(name)} is not in the package`)]
				: [];
		});
	},
});

/** The same rules under another importer's name: it runs the other one. */
export const runs = (id: string, { rules }: Importer, why: string): readonly Rule[] =>
	rules.map((rule) => ({
		...rule,
		id: rule.id.replace(/^[^/]+/, id),
		reason: `${why} ${rule.reason}`,
	}));

/** Taken for MiB, whatever is said of its units. */
export const memoryInMebibytes = (importer: string, source: string): Rule => ({
	id: `${importer}/memory-units`,
	severity: "loses",
	grade: "verified",
	reason: "The amount of memory is taken for MiB, whatever its units are.",
	source,
	fix: "Give memory in byte * 2^20.",
	repair: "memory-units",
	find: ({ ovf }) =>
		itemsOf(ovf, 4).flatMap(({ element }) => {
			const units = property(element, "AllocationUnits");
			return ovf === undefined || units === undefined || unitBytes(units) === 2 ** 20
				? []
				: [inOvf(ovf, element, `memory is given in ${quoted(units)}`)];
		}),
});
