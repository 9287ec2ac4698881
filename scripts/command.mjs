// The file that users run, as package.json names it.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const manifest = new URL("../package.json", import.meta.url);
const { bin } = JSON.parse(readFileSync(manifest, "utf8"));
export const command = fileURLToPath(new URL(bin.anyvisor, manifest));
