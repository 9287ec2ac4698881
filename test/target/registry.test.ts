import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { everyHypervisor, groupNames, hypervisorsNamed } from "../../src/hypervisor/registry.js";
import { layouts, targetsFor } from "../../src/target/registry.js";

const targets = targetsFor(everyHypervisor);

test("every layout in the folder is in the registry", async () => {
	const folder = new URL("../../src/target/", import.meta.url);
	const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
	const found: unknown[] = [];
	for (const file of files) {
		const exported = Object.values((await import(new URL(file, folder).href)) as Record<string, unknown>);
		found.push(...exported.filter((one) => typeof one === "object" && one !== null && "write" in one));
	}
	expect(new Set(found)).toEqual(new Set(layouts));
});

test("the table in the documentation is the registry; vitest -u writes it", async () => {
	const text = readFileSync("docs/targets.md", "utf8");
	const cell = (words: string) => words.replaceAll("|", "\\|");
	const rows = [
		["`--for`", "group", "for", "what lies in the folder", "how it is imported", "how it was judged"],
		Array.from({ length: 6 }, () => "---"),
		...targets.map(({ id, group, title, holds, imported, judged }) => [id, group, title, holds, imported, judged]),
	];
	const table = rows.map((row) => `| ${row.map(cell).join(" | ")} |`).join("\n");
	const [before, after] = [text.split("<!-- targets -->")[0], text.split("<!-- /targets -->")[1]];
	const whole = `${before}<!-- targets -->\n\n${table}\n\n<!-- /targets -->${after}`;
	await expect(whole).toMatchFileSnapshot("../../docs/targets.md");
});

test("the README names every target", () => {
	const readme = readFileSync("README.md", "utf8");
	const [, rows = ""] = /\n\| `--for` \|.*?\n(\|.*?)\n\n/s.exec(readme) ?? [];
	const named = [...rows.matchAll(/^\| ([a-z0-9, -]+) \|/gm)].flatMap(([, ids = ""]) => ids.split(", "));
	expect(new Set(named.filter((word) => /^[a-z]/.test(word)))).toEqual(new Set(targets.map(({ id }) => id)));
});

test("groups divide what there is, and every one is of use", () => {
	for (const name of groupNames) expect(hypervisorsNamed(name), name).not.toHaveLength(0);
	const groups = groupNames.filter((name) => name !== "every");
	expect(groups.flatMap((name) => hypervisorsNamed(name)).length).toBe(everyHypervisor.length);
	expect(hypervisorsNamed("every")).toEqual(everyHypervisor);
});

test("a user's own model is among all, whatever it is called", () => {
	const [first] = everyHypervisor;
	if (first === undefined) throw new Error("there are hypervisors");
	const own = { ...first, id: "mine" };
	expect(hypervisorsNamed("all", [own])).toEqual([own]);
});
