import type { LinkFile } from "../../guest.js";
import { parseIni, words } from "../text.js";

/** A `.link` file: https://www.freedesktop.org/software/systemd/man/latest/systemd.link.html */
export function parseLinkFile(text: string, file: string): LinkFile {
	const sections = parseIni(text);
	const match = new Map<string, string[]>();
	for (const { name, values } of sections) {
		if (name !== "Match") continue;
		for (const [key, all] of values) {
			const listed = match.get(key) ?? [];
			// An empty value forgets what was listed before.
			for (const value of all) {
				if (value === "") listed.length = 0;
				else listed.push(...words(value));
			}
			match.set(key, listed);
		}
	}
	const last = (key: string) =>
		sections.flatMap(({ name, values }) => (name === "Link" ? (values.get(key) ?? []) : []));
	const name = last("Name").at(-1);
	return {
		file,
		match: Object.fromEntries([...match].filter(([, values]) => values.length > 0)),
		namePolicy: words(last("NamePolicy").at(-1) ?? ""),
		...(name && { name }),
	};
}
