import { execFile } from "node:child_process";
import { cp, mkdir, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "./support/tools.js";

/** The pipeline's order: each folder imports only from those before it. */
const layers = [
	"bytes",
	"source",
	"device",
	"machine",
	"disk",
	"volume",
	"filesystem",
	"guest",
	"hypervisor",
	"driver",
	"prepare",
	"target",
	"lint",
	"certify",
	"cli",
] as const;

const nodeLayers = new Set<string>(["source", "certify", "cli"]);

/** Lints one file, placed in `layer`, with the project's own configuration. */
async function lint(layer: string, source: string): Promise<string> {
	const folder = await temporaryFolder();
	await cp(".oxlintrc.json", path.join(folder, ".oxlintrc.json"));
	await mkdir(path.join(folder, "src", layer, "deeper"), { recursive: true });
	await writeFile(path.join(folder, "src", layer, "deeper", "probe.ts"), source);
	return new Promise((resolve) => {
		execFile(path.resolve("node_modules/.bin/oxlint"), ["src"], { cwd: folder }, (_, stdout) => resolve(stdout));
	});
}

describe("layering", () => {
	it("the folders of src/ are the layers, and nothing else", async () => {
		const folders = (await readdir("src", { withFileTypes: true })).filter((entry) => entry.isDirectory());
		expect(folders.map((folder) => folder.name).sort()).toEqual([...layers].sort());
	});

	it.each(layers.slice(0, -1))("an import from %s/ to a later layer is refused", async (layer) => {
		const later = layers.slice(layers.indexOf(layer) + 1);
		const source = later.map((name) => `export * from "../../${name}/thing.js";`).join("\n");
		const report = await lint(layer, source);
		for (const name of later) expect(report).toContain(`'../../${name}/thing.js' import is restricted`);
	});

	it.each(layers.slice(1))("an import from %s/ to an earlier layer is accepted", async (layer) => {
		const earlier = layers.slice(0, layers.indexOf(layer));
		const source = earlier.map((name) => `export * from "../../${name}/thing.js";`).join("\n");
		expect(await lint(layer, source)).not.toContain("restricted");
	});

	it.each(layers)("Node's APIs in %s/", async (layer) => {
		for (const source of [`export { readFileSync } from "node:fs";`, "export const bytes = Buffer.alloc(1);"]) {
			expect(/restricted|Unexpected use of 'Buffer'/.test(await lint(layer, source))).toBe(!nodeLayers.has(layer));
		}
	});
});
