import type { FstabEntry } from "../guest.js";
import { lines, words } from "./text.js";

/** /etc/fstab: https://man7.org/linux/man-pages/man5/fstab.5.html. Lines that mount nothing readable are left out. */
export function parseFstab(text: string): readonly FstabEntry[] {
	const entries: FstabEntry[] = [];
	let line = 0;
	for (const raw of lines(text)) {
		line++;
		const [spec, mount, type, options] = words(raw);
		if (spec === undefined || mount === undefined || spec.startsWith("#")) continue;
		entries.push({
			spec: unescape(spec),
			mount: unescape(mount),
			type: type ?? "auto",
			options: options ?? "defaults",
			line,
		});
	}
	return entries;
}

/** White space in a field is written as `\040` and the like. */
const unescape = (field: string) =>
	field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
