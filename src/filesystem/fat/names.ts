import { attribute, deleted, entrySize, LongEntry } from "./layout.js";

/** Code page 437 from byte 0x80 on: what short names are in unless something says otherwise, as in Linux. */
const codePage437 =
	"ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0";
const lowerCaseBase = 0x08;
const lowerCaseExtension = 0x10;

/** The eleven bytes of a short name as text: `KERNEL~1.IMG`. */
export function shortName(raw: Uint8Array, ntRes: number): string {
	const [first = 0, ...rest] = raw;
	// 0x05 stands for 0xE5 in the first place, where that would mean "deleted".
	const chars = [first === 0x05 ? deleted : first, ...rest].map((byte) =>
		byte < 0x80 ? String.fromCharCode(byte) : (codePage437[byte - 0x80] ?? ""),
	);
	const part = (from: number, to: number, lower: boolean) => {
		const text = chars.slice(from, to).join("").trimEnd();
		return lower ? text.toLowerCase() : text;
	};
	const base = part(0, 8, (ntRes & lowerCaseBase) !== 0);
	const extension = part(8, 11, (ntRes & lowerCaseExtension) !== 0);
	return extension === "" ? base : `${base}.${extension}`;
}

/** Ties long name entries to their short one: specification, section "Checksum". */
function shortNameChecksum(raw: Uint8Array): number {
	return raw.reduce((sum, byte) => (((sum & 1) << 7) + (sum >>> 1) + byte) & 0xff, 0);
}

const unitsPerEntry = 13;
/** In the number of the entry that stands first: its name ends there. */
export const lastFlag = 0x40;
const longestName = 255;

/** Collects the long name entries that come before a short one, last part first. */
export class LongName {
	#units: number[] = [];
	/** Number of the entry that has to come next; 0 when the name is complete, -1 when there is none. */
	#expected = -1;
	#checksum = 0;

	add(bytes: Uint8Array, at: number): void {
		const entry = LongEntry.parse(bytes, at);
		const number = entry.ord & ~lastFlag;
		if ((entry.ord & lastFlag) !== 0 && number >= 1 && number <= Math.ceil(longestName / unitsPerEntry)) {
			this.#units = [];
			this.#expected = number;
			this.#checksum = entry.chksum;
		}
		if (number === 0 || number !== this.#expected || entry.chksum !== this.#checksum) {
			this.reset();
			return;
		}
		this.#units.unshift(...entry.name1, ...entry.name2, ...entry.name3);
		this.#expected--;
	}

	/** The name for the short entry with these eleven bytes; `undefined` when the entries before it do not belong to it. */
	take(raw: Uint8Array): string | undefined {
		const complete = this.#expected === 0 && this.#checksum === shortNameChecksum(raw);
		const end = this.#units.indexOf(0);
		const name = complete ? String.fromCharCode(...this.#units.slice(0, end < 0 ? undefined : end)) : "";
		this.reset();
		return name === "" ? undefined : name;
	}

	reset(): void {
		this.#expected = -1;
		this.#units = [];
	}
}

/** The entries that put `name` before the short entry with these eleven bytes, in their order in the directory. */
export function longEntries(name: string, raw: Uint8Array): Uint8Array {
	const units = Array.from({ length: name.length }, (_, i) => name.charCodeAt(i));
	const count = Math.ceil(units.length / unitsPerEntry);
	if (units.length % unitsPerEntry !== 0) units.push(0);
	const unit = (i: number) => units[i] ?? 0xffff;
	const entries = new Uint8Array(count * entrySize);
	const chksum = shortNameChecksum(raw);
	for (let number = count; number >= 1; number--) {
		const part = Array.from({ length: unitsPerEntry }, (_, i) => unit((number - 1) * unitsPerEntry + i));
		entries.set(
			LongEntry.build({
				ord: number === count ? number | lastFlag : number,
				name1: part.slice(0, 5),
				attr: attribute.longName,
				chksum,
				name2: part.slice(5, 11),
				name3: part.slice(11),
			}),
			(count - number) * entrySize,
		);
	}
	return entries;
}

/** Why `name` cannot be a file name on FAT; `undefined` when it can. */
export function nameProblem(name: string): string | undefined {
	if (name === "" || name === "." || name === "..") return "it is empty or a reference to a directory";
	if (name.length > longestName) return `it is longer than ${longestName} UTF-16 units`;
	if (/["*/:<>?\\|]/.test(name) || Array.from(name).some((char) => char < " ")) {
		return 'it has a control character or one of " * / : < > ? \\ |';
	}
	if (/[. ]$/.test(name)) return "it ends with a dot or a space";
	return undefined;
}

/** Names that differ in case only are the same. */
export const sameName = (a: string, b: string) => a.toUpperCase() === b.toUpperCase();

/**
 * The eleven bytes of a short name for `name`, by the specification's basis-name and numeric-tail algorithm, and whether
 * they say it all, so that no long name is needed.
 */
export function makeShortName(name: string, taken: (raw: Uint8Array) => boolean): { raw: Uint8Array; exact: boolean } {
	const dot = name.lastIndexOf(".");
	const split = dot > 0 ? { base: name.slice(0, dot), extension: name.slice(dot + 1) } : { base: name, extension: "" };
	const clean = (text: string) =>
		text
			.toUpperCase()
			.replaceAll(/[ .]/g, "")
			.replaceAll(/[^A-Z0-9$%'\-_@~`!(){}^#&]/g, "_");
	const base = clean(split.base).slice(0, 8);
	const extension = clean(split.extension).slice(0, 3);
	const pack = (base: string) => Uint8Array.from(base.padEnd(8) + extension.padEnd(3), (char) => char.charCodeAt(0));
	const raw = pack(base);
	if (base !== "" && shortName(raw, 0) === name && !taken(raw)) return { raw, exact: true };
	for (let number = 1; ; number++) {
		const tail = `~${number}`;
		const raw = pack(base.slice(0, 8 - tail.length) + tail);
		if (!taken(raw)) return { raw, exact: false };
	}
}

/** `ABCD-1234`, as in /dev/disk/by-uuid. */
export function serialOf(volumeId: number): string {
	const digits = volumeId.toString(16).toUpperCase().padStart(8, "0");
	return `${digits.slice(0, 4)}-${digits.slice(4)}`;
}
