import { z } from "zod";
import { grades, severities } from "./rule.js";
import { kinds } from "./subject.js";

const finding = z.strictObject({
	rule: z.string().describe("importer/name, as docs/lint.md lists them"),
	severity: z.enum(severities),
	grade: z.enum(grades).describe("how sure the rule is"),
	what: z.string(),
	file: z.string().optional(),
	line: z.int().positive().optional(),
	reason: z.string(),
	source: z.string().describe("where the rule can be read"),
	fix: z.string(),
	repairable: z.boolean().describe("whether --fix knows what to do about it"),
});

const verdicts = z.array(
	z.strictObject({
		importer: z.string(),
		title: z.string(),
		verdict: z.enum(["accepts", ...severities]),
		findings: z.array(finding),
	}),
);

const lintSchema = z.strictObject({
	name: z.string(),
	kind: z.enum(kinds),
	unread: z.array(z.strictObject({ name: z.string(), problem: z.string() })).describe("disks that could not be opened"),
	verdicts,
	fixed: z
		.strictObject({ output: z.string(), verdicts })
		.optional()
		.describe("the corrected copy, and what is said of it"),
});

export type LintDocument = z.infer<typeof lintSchema>;

/** Published as schemas/lint.schema.json. */
export const lintJsonSchema = () => ({
	...z.toJSONSchema(lintSchema, { target: "draft-2020-12" }),
	$id: "https://anyvisor.dev/schemas/lint.schema.json",
	title: "What anyvisor lint --json prints",
});
