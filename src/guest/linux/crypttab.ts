import { lines, words } from "./text.js";

/** What opens into what: `device` into `/dev/mapper/name`. */
export interface CrypttabEntry {
	readonly name: string;
	readonly device: string;
}

/** /etc/crypttab: https://man7.org/linux/man-pages/man5/crypttab.5.html */
export function parseCrypttab(text: string): readonly CrypttabEntry[] {
	const entries: CrypttabEntry[] = [];
	for (const line of lines(text)) {
		const [name, device] = words(line);
		if (name !== undefined && device !== undefined && !name.startsWith("#")) entries.push({ name, device });
	}
	return entries;
}
