import { InvalidArgumentError } from "commander";

const powers = "KMGTPE";

/** `10G`, `1.5T`, `65536`: bytes, with binary suffixes. */
export function parseSize(text: string): number {
	const [, digits = "", suffix = ""] = /^(\d+(?:\.\d+)?)([kmgtpe]?)(?:i?b)?$/i.exec(text) ?? [];
	const bytes = Number(digits) * 1024 ** (suffix === "" ? 0 : powers.indexOf(suffix.toUpperCase()) + 1);
	if (digits === "" || !Number.isSafeInteger(bytes)) {
		throw new InvalidArgumentError("It is a number of bytes, or one with K, M, G, T or P, such as 10G.");
	}
	return bytes;
}

/** A size, or how much to add to one. */
export interface NewSize {
	readonly bytes: number;
	readonly added: boolean;
}

/** `10G`, `+2G` */
export function parseNewSize(text: string): NewSize {
	const added = text.startsWith("+");
	return { bytes: parseSize(added ? text.slice(1) : text), added };
}
