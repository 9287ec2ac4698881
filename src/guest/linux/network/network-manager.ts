import { parseIni } from "../text.js";
import type { Configured } from "./network.js";

/** A keyfile: https://networkmanager.dev/docs/api/latest/nm-settings-keyfile.html. Only Ethernet connections count. */
export function parseKeyfile(text: string): readonly Configured[] {
	const sections = parseIni(text);
	const value = (names: readonly string[], key: string) =>
		sections
			.find(({ name }) => names.includes(name))
			?.values.get(key)
			?.at(-1);
	const ethernet = ["ethernet", "802-3-ethernet"];
	if (!ethernet.includes(value(["connection"], "type") ?? "")) return [];
	const name = value(["connection"], "interface-name") || value(ethernet, "mac-address")?.toLowerCase() || "*";
	const method = value(["ipv4"], "method") ?? "auto";
	return [{ interface: name, method: method === "auto" ? "dhcp" : method === "manual" ? "static" : "unknown" }];
}
