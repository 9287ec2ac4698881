import type { Grade, Importer, Occurrence, RuleOptions, Severity } from "./rule.js";
import type { Subject } from "./subject.js";

/** A rule that is broken somewhere. */
export interface Finding extends Occurrence {
	/** {@link Rule.id} */
	readonly rule: string;
	readonly severity: Severity;
	readonly grade: Grade;
	readonly reason: string;
	readonly source: string;
	readonly fix: string;
	/** Whether a corrected copy would be without it; it may still be that a value is beyond repair. */
	readonly repairable: boolean;
}

/** What an importer would do with a package. */
export interface Verdict {
	/** {@link Importer.id} */
	readonly importer: string;
	readonly title: string;
	/** The worst of its findings. */
	readonly verdict: "accepts" | Severity;
	readonly findings: readonly Finding[];
}

/** Of one rule; a package with more of them is broken in one way. */
const MOST_OCCURRENCES = 20;

const order = { refuses: 3, loses: 2, warns: 1, accepts: 0 } as const;

/** Asks each importer what it would make of a package. */
export const lint = (subject: Subject, importers: readonly Importer[], options: RuleOptions = {}): readonly Verdict[] =>
	importers.map((importer) => {
		const { takes } = importer;
		const taken = takes.includes(subject.kind) || bringsDisks(subject, importer);
		// An OVF becomes an OVA by packing it: what else there is to say of it is said.
		const looked = taken || (subject.kind === "ovf" && takes.includes("ova"));
		const findings = [
			...(taken ? [] : [notTaken(subject, importer)]),
			...(looked ? findingsOf(subject, importer, options) : []),
		].toSorted((a, b) => order[b.severity] - order[a.severity]);
		return {
			importer: importer.id,
			title: importer.title,
			verdict: findings[0]?.severity ?? "accepts",
			findings,
		};
	});

/** The disks of a machine that is described in a way of its own are imported one by one. */
const bringsDisks = ({ kind }: Subject, { takes }: Importer) =>
	takes.includes("disk") && !["ova", "ovf", "xva", "tarball"].includes(kind);

const notTaken = ({ kind }: Subject, { id, title, takes, documentation }: Importer): Finding => ({
	rule: `${id}/kind`,
	what: `this is ${kinds[kind] ?? kind}`,
	severity: "refuses",
	grade: "documented",
	reason: `${title} imports ${takes.map((each) => kinds[each] ?? each).join(", ")}.`,
	source: documentation,
	fix:
		kind === "ovf" && takes.includes("ova")
			? "Pack it: tar --format=ustar -cf NAME.ova NAME.ovf NAME.mf DISK…, or --fix -o NAME.ova."
			: "Make a package for it: anyvisor expand --for list tells what there is.",
	repairable: false,
});

const kinds: Readonly<Partial<Record<Subject["kind"], string>>> = {
	ova: "an OVA",
	ovf: "an OVF",
	xva: "an XVA",
	tarball: "a compressed tar with a raw disk",
	disk: "a disk image",
	vmx: "a VMX",
	vbox: "a .vbox",
	libvirt: "a libvirt domain",
};

function findingsOf(subject: Subject, { rules }: Importer, options: RuleOptions): readonly Finding[] {
	return rules.flatMap((rule) => {
		const { id, severity, grade, reason, source, fix, repair } = rule;
		const found = rule.find(subject, options);
		const told = found.slice(0, MOST_OCCURRENCES);
		if (found.length > told.length) told.push({ what: `there are ${found.length - told.length} more of these` });
		const repairable = repair !== undefined;
		return told.map(
			({ what, file, line }): Finding => ({
				rule: id,
				severity,
				grade,
				what,
				file,
				line,
				reason,
				source,
				fix,
				repairable,
			}),
		);
	});
}
