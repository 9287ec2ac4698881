import type { LinuxGuest } from "../../guest/guest.js";
import type { Planning } from "../planning.js";

/** The first serial port of the machines that hypervisors make; others than PCs have it under other names. */
const serialPorts: Readonly<Record<string, string>> = { x86_64: "ttyS0,115200", i686: "ttyS0,115200" };

/** Characters; what is longer is no kernel command line. */
const longestLine = 64 * 1024;

/** Groups: what stands before the arguments, a quote that they stand in, and the arguments. */
const places = {
	/** GRUB; in the Boot Loader Specification's files no arguments follow. */
	linux: /^(\s*linux(?:16|efi)?\s+(?!\S*memtest)\S+\s+)()(\S.*)$/,
	options: /^(options\s+)()(.*)$/,
	append: /^(\s*append\s+)()(.*\broot=.*)$/i,
	environment: /^(kernelopts=)()(.*)$/,
	variable: /^(\s*set\s+kernelopts=)(["']?)(.*?)\2\s*$/,
	grub: /^(\s*(?:export\s+)?GRUB_CMDLINE_LINUX=)(["']?)(.*?)\2\s*$/,
	grubDefault: /^(\s*(?:export\s+)?GRUB_CMDLINE_LINUX_DEFAULT=)(["']?)(.*?)\2\s*$/,
	extlinux: /^(\s*(?:EXTLINUX_PARAMETERS|default_kernel_opts)=)(["']?)(.*?)\2\s*$/,
	ukify: /^(Cmdline=)()(?!@)(.*)$/,
	/** A file that holds nothing else. */
	whole: /^()()(.*\broot=.*)$/,
} as const;

type Place = keyof typeof places;

/**
 * Gives the kernel the screen and the first serial port as consoles where it has neither said so nor forbidden it. They
 * are put before what is there, and the screen comes last where nothing is: the last one is /dev/console, which stays
 * what it was. https://docs.kernel.org/admin-guide/serial-console.html
 *
 * @param path of the file
 * @returns what changes a line of it, given all of them
 */
export function consoleEditor({ guest }: Pick<Planning, "guest">, path: string) {
	const port = serialPorts[guest.arch];
	let file: FileConsoles | undefined;
	return (text: string, line: number, all: readonly string[]): string => {
		if (port === undefined || text.length > longestLine || /^\s*#/.test(text)) return text;
		const place = placeOf(text, path);
		const [, start = "", quote = "", value = ""] = (place && places[place].exec(text)) ?? [];
		// What is in kernelopts is changed where that is set.
		if (place === undefined || value.endsWith("\\") || /\$\{?(?:kernelopts\b|GRUB_CMDLINE_LINUX)/.test(value))
			return text;
		file ??= consolesOf(all, path);
		if (place === "options" && line !== file.lastOptions) return text;
		if (place === "grubDefault" && file.hasGrub) return text;
		const elsewhere = place === "options" || place.startsWith("grub") ? file.named : expanded(value, guest);
		const added = withConsoles(value, elsewhere, port);
		if (added === value) return text;
		const needsQuote = quote === "" && /^(?:grub|grubDefault|extlinux|variable)$/.test(place);
		const mark = needsQuote ? '"' : quote;
		return `${start}${mark}${added}${mark}`;
	};
}

function placeOf(text: string, path: string): Place | undefined {
	if (/^\/etc\/(?:kernel\/cmdline|cmdline\.d\/)/.test(path)) return places.whole.test(text) ? "whole" : undefined;
	return (Object.keys(places) as Place[]).find((place) => place !== "whole" && places[place].test(text));
}

interface FileConsoles {
	/** Consoles of the lines that together make one command line. */
	readonly named: readonly string[];
	/** Of several lines with options the last one, from 1. */
	readonly lastOptions: number;
	readonly hasGrub: boolean;
}

function consolesOf(all: readonly string[], path: string): FileConsoles {
	const found = all.map((raw) => ({ raw, place: raw.length > longestLine ? undefined : placeOf(raw, path) }));
	const parts = found.filter(({ place }) => place === "options" || place === "grub" || place === "grubDefault");
	return {
		named: parts.flatMap(({ raw }) => consolesIn(raw)),
		lastOptions: found.findLastIndex(({ place }) => place === "options") + 1,
		hasGrub: found.some(({ place }) => place === "grub"),
	};
}

/** What variables of the loader hold shows in the entry that it starts. */
function expanded(value: string, { boot }: LinuxGuest): readonly string[] {
	return value.includes("$") ? consolesIn(boot.entries[boot.default]?.cmdline ?? "") : [];
}

/** Names of devices, or `null` or nothing where there is to be none. */
const consolesIn = (text: string) =>
	Array.from(text.matchAll(/(?<![^\s"'=])console=(["']?)([^\s"',]*)/g), ([, , name]) => name ?? "");

function withConsoles(value: string, elsewhere: readonly string[], port: string): string {
	const known = [...consolesIn(value), ...elsewhere];
	if (known.some((name) => name === "" || name === "null" || name.startsWith("$"))) return value;
	const serial = known.some((name) => /^(?:ttyS|uart)/.test(name)) ? [] : [`console=${port}`];
	const screen = known.some((name) => /^tty\d+$/.test(name)) ? [] : ["console=tty0"];
	const added = [...serial, ...screen];
	if (added.length === 0) return value;
	// Before what has a say in it, and before what is for the init.
	const at = value.search(/(?<![^\s])(?:console=|["']?\$|---?(?:\s|$))/);
	if (at < 0) return [value.trimEnd(), ...added].join(" ").trimStart();
	return `${value.slice(0, at)}${added.join(" ")} ${value.slice(at)}`;
}
