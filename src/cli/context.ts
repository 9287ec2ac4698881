import { readFile } from "node:fs/promises";
import { AnyvisorError } from "../bytes/errors.js";
import type { Hypervisor } from "../hypervisor/hypervisor.js";
import { everyHypervisor, groupNames, hypervisorsNamed, withModels } from "../hypervisor/registry.js";

/** The built-in device models, with what the files of `--models` add to or replace in them. */
export async function loadHypervisors(files: readonly string[]): Promise<readonly Hypervisor[]> {
	let known = everyHypervisor;
	if (files.length === 0) return known;
	const { parseModels } = await import("../hypervisor/models.js");
	for (const file of files) known = withModels(known, parseModels(await readJson(file), file));
	return known;
}

async function readJson(file: string): Promise<unknown> {
	try {
		return JSON.parse(await readFile(file, "utf8"));
	} catch (cause) {
		throw new AnyvisorError("usage", `${file} cannot be read as JSON: ${(cause as Error).message}`, {
			file,
			hint: "Start from a built-in model: anyvisor models export kvm > my-hypervisor.json",
			cause,
		});
	}
}

/** The hypervisors that `--for` names: ids, families or groups, separated by commas. */
export function selectHypervisors(among: readonly Hypervisor[], names: string): readonly Hypervisor[] {
	const found = names.split(",").flatMap((word) => {
		const name = word.trim();
		const named = hypervisorsNamed(name, among);
		if (named.length > 0) return named;
		throw new AnyvisorError("usage", `There is no hypervisor "${name}"`, {
			hint: `Known are ${among.map(({ id }) => id).join(", ")}; and for several ${groupNames.join(", ")}.`,
		});
	});
	return [...new Set(found)];
}

/**
 * Seconds since 1970 that outputs are dated with; fixed for reproducible packages by SOURCE_DATE_EPOCH.
 * https://reproducible-builds.org/specs/source-date-epoch/
 */
export function timeStamp(env: NodeJS.ProcessEnv = process.env): number {
	const fixed = env["SOURCE_DATE_EPOCH"];
	if (fixed === undefined) return Math.floor(Date.now() / 1000);
	if (!/^\d{1,12}$/.test(fixed)) throw new AnyvisorError("usage", `SOURCE_DATE_EPOCH is not a number: "${fixed}"`);
	return Number(fixed);
}
