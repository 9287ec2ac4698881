import { wordsOf } from "../bytes/words.js";

const POWERS: Readonly<Record<string, number>> = wordsOf({ "": 0, k: 1, m: 2, g: 3, t: 4, p: 5, e: 6 });

/**
 * Bytes in one unit of a descriptor, in any spelling seen in the field: `byte * 2^20` (OVF, with or without spaces),
 * `MegaBytes`, `MB`, `MiB`, `M`, `KiB`, `bytes`. OVF and libvirt both define the short decimal-looking names of OVF as
 * powers of two; only libvirt's `kB`, `MB`, `GB` are powers of ten, which {@link libvirtUnit} knows. Undefined where the
 * spelling means nothing.
 *
 * DSP0004 2.7, annex C.1 (programmatic units), https://www.dmtf.org/standards/cim
 */
export function unitBytes(unit: string): number | undefined {
	const compact = unit.replaceAll(/\s+/g, "").toLowerCase();
	const programmatic = /^byte((?:\*\d{1,4}(?:\^\d{1,2})?)*)$/.exec(compact);
	if (programmatic !== null) {
		const factors = programmatic[1]?.split("*").slice(1) ?? [];
		const bytes = factors.reduce((product, factor) => {
			const [base = "1", exponent = "1"] = factor.split("^");
			return product * Number(base) ** Number(exponent);
		}, 1);
		return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined;
	}
	const word = /^(?:(kilo|mega|giga|tera)bytes?|([kmgtpe]?)(?:i?b)?|bytes)$/.exec(compact);
	if (word === null) return undefined;
	return 1024 ** (POWERS[word[1]?.[0] ?? word[2] ?? ""] ?? 0);
}

/**
 * Bytes in one unit of a libvirt `unit` attribute: `KB` and its like are powers of ten, `K` and `KiB` powers of two.
 * https://libvirt.org/formatdomain.html#memory-allocation
 */
export function libvirtUnit(unit: string): number | undefined {
	const decimal = /^([kmgtpe])b$/i.exec(unit);
	return decimal === null ? unitBytes(unit) : 1000 ** (POWERS[decimal[1]?.toLowerCase() ?? ""] ?? 0);
}

/** A whole number from 0 to 2^53 - 1 in decimal digits; undefined for anything else. */
export function wholeNumber(text: string | undefined): number | undefined {
	if (text === undefined || !/^\s*\+?\d{1,20}\s*$/.test(text)) return undefined;
	const value = Number(text);
	return Number.isSafeInteger(value) ? value : undefined;
}

/** As {@link wholeNumber}; but what is there and is none must not turn into a default: it is NaN. */
export const statedNumber = (text: string | undefined): number | undefined =>
	text === undefined ? undefined : (wholeNumber(text) ?? Number.NaN);

/** A MAC address in any usual spelling, as lower-case pairs with colons; undefined where it is none. */
export function macAddress(text: string | undefined): string | undefined {
	const digits = text?.replaceAll(/[\s:.-]/g, "").toLowerCase();
	return digits !== undefined && /^[0-9a-f]{12}$/.test(digits) ? digits.replaceAll(/(..)(?!$)/g, "$1:") : undefined;
}

/** A UUID in any usual spelling, in lower case with its four dashes; undefined where it is none. */
export function uuidOf(text: string | undefined): string | undefined {
	const digits = text?.replaceAll(/[\s{}-]/g, "").toLowerCase();
	if (digits === undefined || !/^[0-9a-f]{32}$/.test(digits) || /^0+$/.test(digits)) return undefined;
	return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
