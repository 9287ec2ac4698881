import { readFile, writeFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { inspectionJsonSchema } from "../src/inspection-schema.js";

it("schemas/inspection.schema.json is the schema; npm run schemas writes it", async () => {
	const file = "schemas/inspection.schema.json";
	const text = `${JSON.stringify(inspectionJsonSchema(), undefined, "\t")}\n`;
	if (process.env["WRITE_SCHEMAS"]) await writeFile(file, text);
	expect(await readFile(file, "utf8")).toBe(text);
});
