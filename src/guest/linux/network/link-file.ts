import type { LinkFile } from "../../guest.js";
import { parseIni, words } from "../text.js";

/** Of keys, and of what one of them lists: more than a person writes. */
const most = 100;

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
				// What the first word of a line inverts, it inverts for all of them.
				const inverted = value.startsWith("!");
				if (value === "") listed.length = 0;
				else if (inverted) listed.push(...words(value.slice(1)).map((word) => `!${word}`));
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
		match: Object.fromEntries(
			Array.from(match, ([key, values]) => [key, values.slice(0, most)] as const)
				.filter(([, values]) => values.length > 0)
				.slice(0, most),
		),
		namePolicy: words(last("NamePolicy").at(-1) ?? ""),
		...(name && { name }),
	};
}
