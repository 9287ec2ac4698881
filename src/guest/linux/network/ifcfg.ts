import { parseAssignments } from "../text.js";
import { prefixLength } from "./ifupdown.js";
import { macAddress } from "./names.js";
import type { Configured } from "./network.js";

/** What is no card: its cards have files of their own. */
const software = /^(?:bridge|ovsbridge|bond|team|vlan|infiniband|wireless|tunnel|ipip|gre|sit|tap)/i;

/**
 * One interface of RHEL's network scripts:
 * https://github.com/fedora-sysv/initscripts/blob/main/doc/sysconfig.txt
 */
export function parseIfcfg(text: string): readonly Configured[] {
	const values = parseAssignments(text);
	const device = values.get("DEVICE") || (values.has("HWADDR") ? "" : values.get("NAME")) || "";
	return configured(values, device);
}

/** One of SUSE's, which is for the interface that the file is named after: ifcfg(5) of wicked. */
export function parseSuseIfcfg(text: string, file: string): readonly Configured[] {
	return configured(parseAssignments(text), file.replace(/^.*\/ifcfg-/, ""));
}

function configured(values: ReadonlyMap<string, string>, device: string): readonly Configured[] {
	if (software.test(values.get("TYPE") ?? values.get("DEVICETYPE") ?? "")) return [];
	if (["VLAN", "BRIDGE", "BONDING_MASTER"].some((key) => values.get(key)?.toLowerCase() === "yes")) return [];
	const mac = macAddress(values.get("HWADDR") ?? values.get("LLADDR_MATCH"));
	const addresses = addressesOf(values);
	const protocol = values.get("BOOTPROTO")?.toLowerCase() ?? "";
	const method = /^(?:dhcp|bootp)/.test(protocol)
		? "dhcp"
		: addresses.length > 0 || protocol === "static"
			? "static"
			: "unknown";
	if (device === "") return [{ interface: mac ?? "*", method, addresses }];
	// The scripts give a card with that address the name.
	return [{ interface: device, method, addresses, ...(mac !== undefined && { mac, renamedTo: device }) }];
}

function addressesOf(values: ReadonlyMap<string, string>): string[] {
	const addresses: string[] = [];
	for (const [key, address] of values) {
		const suffix = /^IPADDR(_?\w{0,20})$/.exec(key)?.[1];
		if (suffix === undefined || address === "") continue;
		const mask = ["PREFIX", "PREFIXLEN", "NETMASK"].map((name) => values.get(name + suffix)).find(Boolean);
		addresses.push(address.includes("/") || mask === undefined ? address : `${address}/${prefixLength(mask)}`);
	}
	return addresses;
}
