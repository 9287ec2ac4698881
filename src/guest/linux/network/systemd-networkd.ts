import { parseIni } from "../text.js";
import type { Configured } from "./network.js";

/** A `.network` file: https://www.freedesktop.org/software/systemd/man/latest/systemd.network.html */
export function parseNetworkdUnit(text: string): readonly Configured[] {
	const sections = parseIni(text);
	const value = (section: string, key: string) =>
		sections
			.findLast(({ name, values }) => name === section && values.has(key))
			?.values.get(key)
			?.at(-1);
	const name = value("Match", "Name") || value("Match", "MACAddress")?.toLowerCase() || "*";
	if (/^(yes|true|1|on|ipv4|both)$/i.test(value("Network", "DHCP") ?? "")) return [{ interface: name, method: "dhcp" }];
	const address = value("Network", "Address") ?? value("Address", "Address");
	return [{ interface: name, method: address ? "static" : "unknown" }];
}
