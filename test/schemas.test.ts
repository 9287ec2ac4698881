import { readFile, writeFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { inspectionJsonSchema } from "../src/inspection-schema.js";
import { lintJsonSchema } from "../src/lint/schema.js";
import { machineJsonSchema } from "../src/machine/schema.js";

it.each([
	["inspection", inspectionJsonSchema()],
	["machine", machineJsonSchema()],
	["lint", lintJsonSchema()],
])("schemas/%s.schema.json is the schema; npm run schemas writes it", async (name, schema) => {
	const file = `schemas/${name}.schema.json`;
	const text = `${JSON.stringify(schema, undefined, "\t")}\n`;
	if (process.env["WRITE_SCHEMAS"]) await writeFile(file, text);
	expect(await readFile(file, "utf8")).toBe(text);
});
