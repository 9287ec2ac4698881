import { parseAssignments } from "../text.js";
import type { Configured } from "./network.js";

/**
 * One interface of RHEL's or SUSE's network scripts:
 * https://github.com/fedora-sysv/initscripts/blob/main/doc/sysconfig.txt
 */
export function parseIfcfg(text: string): readonly Configured[] {
	const values = parseAssignments(text);
	const name = values.get("DEVICE") || values.get("HWADDR")?.toLowerCase() || values.get("NAME") || "*";
	const protocol = values.get("BOOTPROTO")?.toLowerCase() ?? "";
	const hasAddress = values.has("IPADDR") || values.has("IPADDR0");
	if (/^(dhcp|bootp)/.test(protocol)) return [{ interface: name, method: "dhcp" }];
	return [{ interface: name, method: hasAddress || protocol === "static" ? "static" : "unknown" }];
}
