import { readdir, readFile, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { descriptorFixes } from "../../src/lint/fix/fixes.js";
import { importers, importersNamed, importersOf } from "../../src/lint/index.js";
import { kinds } from "../../src/lint/subject.js";

const everyRule = importers.flatMap(({ rules }) => rules);

describe("the rules", () => {
	test("are those of the files in src/lint/importers, each registered", async () => {
		const files = (await readdir("src/lint/importers")).filter((file) => file !== "shared.ts");
		expect(importers.map(({ id }) => `${id}.ts`).toSorted()).toEqual(files.toSorted());
	});

	test("each has an id of its own, under its importer, and all that a reader wants to know", () => {
		expect(new Set(everyRule.map(({ id }) => id)).size).toBe(everyRule.length);
		for (const { id, rules, documentation } of importers) {
			expect(documentation).toMatch(/^https:\/\//);
			for (const rule of rules) {
				expect(rule.id).toMatch(new RegExp(`^${id}/[a-z0-9.-]+$`));
				expect(rule.source).toMatch(/^https:\/\//);
				expect(rule.reason).toMatch(/^\w.*\.$/);
				expect(rule.fix).toMatch(/\.$/);
			}
		}
	});

	test("name repairs that exist, and every repair is named", () => {
		const named = new Set(everyRule.flatMap(({ repair }) => repair ?? []));
		expect([...named].toSorted()).toEqual(
			[...Object.keys(descriptorFixes), "href", "manifest", "member-order"].toSorted(),
		);
	});

	test("are asked of by name, and of each kind of package by default", () => {
		for (const kind of kinds) expect(importersOf(kind).length).toBeGreaterThan(0);
		expect(importersOf("xva").map(({ id }) => id)).toEqual(["xen-orchestra", "xencenter", "xenserver"]);
		expect(importersNamed("gcp, aws,gcp").map(({ id }) => id)).toEqual(["gcp", "aws"]);
		expect(() => importersNamed("hyper")).toThrow(/There is no importer "hyper"/);
	});

	test("docs/lint.md lists them; npm run schemas writes it", async () => {
		if (process.env["WRITE_SCHEMAS"]) await writeFile("docs/lint.md", page());
		expect(await readFile("docs/lint.md", "utf8")).toBe(page());
	});
});

const HEAD = `# What importers refuse

\`anyvisor lint <package>\` asks these importers, each by its own rules. An importer *refuses* a package, *loses* a part of it, or
*warns*. How sure a rule is: *verified* was read in the importer's own source, *documented* by its maker or in reports of
its users, *unverified* only told. What is **repaired** a corrected copy (\`--fix -o COPY\`) is without, as far as the value
allows. This page is made from the rules themselves.
`;

function page(): string {
	const sections = importers.map(({ id, title, takes, documentation, rules }) => {
		const rows = rules.map(({ id: rule, severity, grade, source, reason, fix, repair }) => {
			const cells = [
				`\`${rule}\``,
				severity,
				`[${grade}](${source})`,
				reason,
				`${repair === undefined ? "" : "**Repaired.** "}${fix}`,
			];
			return `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("<", "&lt;")).join(" | ")} |`;
		});
		return [
			`## ${title} (\`${id}\`)`,
			`[Imports](${documentation}): ${takes.join(", ")}.`,
			["| rule | it | how sure | why | fix |", "| --- | --- | --- | --- | --- |", ...rows].join("\n"),
		].join("\n\n");
	});
	return `${[HEAD.trimEnd(), ...sections].join("\n\n")}\n`;
}
