import type { DiskDetails } from "../disk.js";
import type { Descriptor } from "./descriptor.js";
import type { DiskPart } from "./part.js";

/** What a person may want to know of a VMDK. Texts come from the file: what a terminal would act on is left out. */
export function detailsOf({ createType, cid, parent, entries }: Descriptor, parts: readonly DiskPart[]): DiskDetails {
	const sparse = parts.flatMap(({ sparse }) => sparse ?? []);
	const ddb = (key: string) => entries.get(`ddb.${key.toLowerCase()}`);
	const facts: Readonly<Record<string, string | number | boolean | undefined>> = {
		createType,
		cid,
		parentCid: parent?.cid,
		parent: parent?.fileName,
		extents: parts.length,
		grainSize: sparse[0]?.tables.layout.grainSize,
		adapterType: ddb("adapterType"),
		hardwareVersion: ddb("virtualHWVersion"),
		uuid: ddb("uuid"),
		thinProvisioned: ddb("thinProvisioned") === "1" || undefined,
		changeTracking: entries.has("changetrackpath") || undefined,
		uncleanShutdown: sparse.some(({ unclean }) => unclean) || undefined,
	};
	const details: Record<string, string | number | boolean> = {};
	for (const [name, fact] of Object.entries(facts)) {
		const value = typeof fact === "string" ? fact.replace(/\p{C}/gu, "").slice(0, 256) : fact;
		if (value !== undefined && value !== "") details[name] = value;
	}
	return details;
}
