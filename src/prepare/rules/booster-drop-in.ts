import { damaged } from "../../bytes/errors.js";
import type { WriteFile } from "../change.js";
import type { Planning } from "../planning.js";

const path = "/etc/booster.yaml";

/**
 * booster keeps aliases of the devices that it sees alone, unless the image is universal; and a module that a kernel lacks
 * fails its image, where a folder does not. https://man.archlinux.org/man/booster.1#CONFIG_FILE
 *
 * @param wanted names of modules, with their paths
 */
export async function planBoosterDropIn(
	{ tree }: Planning,
	wanted: ReadonlyMap<string, string>,
	why: string,
): Promise<WriteFile[]> {
	if (wanted.size === 0) return [];
	const { parseDocument, isMap } = await import("yaml");
	const configuration = parseDocument((await tree.readText(path)) ?? "", { logLevel: "error" });
	const { contents, errors } = configuration;
	if (errors.length > 0 || (contents !== null && !isMap(contents))) {
		throw damaged(`${path} is not what booster can read`, { file: path, hint: "Correct it in the guest." });
	}
	const modules = configuration.get("modules");
	const named = (typeof modules === "string" ? modules : "")
		.split(",")
		.map((name) => name.trim())
		.filter((name) => name !== "");
	const folders = new Set(Array.from(wanted.values(), (file) => file.slice(0, file.lastIndexOf("/") + 1)));
	const missing = [...folders].filter((folder) => folder !== "" && !named.includes(folder)).sort();
	if (missing.length === 0 && configuration.get("universal") === true) return [];
	configuration.set("universal", true);
	configuration.set("modules", [...named, ...missing].join(","));
	return [
		{
			rule: "drop-in",
			action: "write-file",
			path,
			mode: 0o644,
			contents: configuration.toString({ lineWidth: 0 }),
			why,
		},
	];
}
