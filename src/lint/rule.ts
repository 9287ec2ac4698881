import type { FixId } from "./fix/fixes.js";
import type { Subject } from "./subject.js";

/** What an importer does with something that it does not take: import nothing, import less, or complain. */
export const severities = ["refuses", "loses", "warns"] as const;
export type Severity = (typeof severities)[number];

/** How sure the rule is: read in the importer's own source, documented by its maker or its users, or told only. */
export const grades = ["verified", "documented", "unverified"] as const;
export type Grade = (typeof grades)[number];

/** Where a rule is broken. */
export interface Occurrence {
	/** One clause that names the thing and its value, as it goes on after "because". */
	readonly what: string;
	/** The file or member it is in, where that is not what was named. */
	readonly file?: string | undefined;
	/** Line in `file`. */
	readonly line?: number | undefined;
}

/** What an importer demands: all about it is data, but for the look at the package. */
export interface Rule {
	/** `importer/name`. */
	readonly id: string;
	readonly severity: Severity;
	readonly grade: Grade;
	/** What the importer does, and why. */
	readonly reason: string;
	/** Where that can be read. */
	readonly source: string;
	/** What a person can do about it. */
	readonly fix: string;
	/** What `--fix` does about it; absent where it cannot. */
	readonly repair?: FixId;
	find(subject: Subject, options: RuleOptions): readonly Occurrence[];
}

export interface RuleOptions {
	/** The newest virtual hardware that the VMware host has, as in vmx-NN; unlimited where left out. */
	readonly hardwareVersion?: number | undefined;
}

/** What imports packages. */
export interface Importer {
	readonly id: string;
	readonly title: string;
	/** Kinds of {@link Subject} it imports; others it refuses as a whole. */
	readonly takes: readonly Subject["kind"][];
	/** Where its maker says what it imports. */
	readonly documentation: string;
	readonly rules: readonly Rule[];
}
