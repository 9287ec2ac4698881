import { lines, words } from "../text.js";
import type { Configured } from "./network.js";

/** What one file says, and which others it has read in its place. */
export interface Interfaces {
	readonly configured: readonly Configured[];
	/** Patterns of files, and folders with a slash at the end. */
	readonly sources: readonly string[];
}

const ports = new Set(["bridge_ports", "bridge-ports", "bond-slaves", "slaves", "vlan-raw-device", "vlan_raw_device"]);
/** Words that stand among a bridge's or bond's ports. */
const noPorts = new Set(["none", "all", "regex", "noregex"]);
/** More lines than a file has that a person wrote. */
const mostLines = 20_000;

/** https://manpages.debian.org/stable/ifupdown/interfaces.5.en.html; where IPv4 and IPv6 differ, IPv4 counts. */
export function parseInterfaces(text: string): Interfaces {
	const found = new Map<string, { family: string; method: Configured["method"]; addresses: string[] }>();
	const sources: string[] = [];
	/** The stanza that options belong to. */
	let addresses: string[] = [];
	let netmask: (mask: string) => void = () => undefined;
	const stanza = (name: string, family: string, word: string) => {
		const method = word === "dhcp" || word === "static" ? word : "unknown";
		addresses = [];
		const known = found.get(name);
		if (known?.family === "inet" && family === "inet") addresses = known.addresses;
		else if (known?.family !== "inet") found.set(name, { family, method, addresses });
	};
	for (const line of logicalLines(text)) {
		const [keyword = "", ...rest] = words(line);
		const [first = "", second = "", third = ""] = rest;
		if (keyword === "iface") {
			if (first !== "" && third !== "loopback") stanza(first, second, third);
			else addresses = [];
			netmask = () => undefined;
		} else if (keyword === "source") sources.push(...rest);
		else if (keyword === "source-directory") sources.push(...rest.map((folder) => `${folder}/`));
		else if (keyword === "address" && first !== "") {
			const into = addresses;
			const at = into.push(first) - 1;
			netmask = (mask) => {
				if (!first.includes("/")) into[at] = `${first}/${prefixLength(mask)}`;
			};
		} else if (keyword === "netmask") netmask(first);
		else if (ports.has(keyword)) {
			for (const port of rest.filter((word) => !noPorts.has(word))) {
				if (!found.has(port)) found.set(port, { family: "", method: "unknown", addresses: [] });
			}
		}
	}
	return {
		configured: Array.from(found, ([name, { method, addresses }]) => ({ interface: name, method, addresses })),
		sources,
	};
}

/** A line that ends in a backslash goes on in the next one. */
function* logicalLines(text: string): Generator<string, void, void> {
	let begun: string[] = [];
	let count = 0;
	for (const line of lines(text)) {
		if (++count > mostLines) return;
		if (line.endsWith("\\")) {
			begun.push(line.slice(0, -1));
			continue;
		}
		yield begun.length === 0 ? line : [...begun, line].join("");
		begun = [];
	}
	if (begun.length > 0) yield begun.join("");
}

/** `24` for `255.255.255.0`; what is no mask stays as it is. */
export function prefixLength(mask: string): string {
	if (!/^\d{1,3}(?:\.\d{1,3}){3}$/.test(mask)) return mask;
	const bits = mask
		.split(".")
		.map((part) => Number(part).toString(2).padStart(8, "0"))
		.join("");
	return /^1*0*$/.test(bits) ? String(bits.replace(/0+$/, "").length) : mask;
}
