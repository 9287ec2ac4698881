import { parseIni, words } from "../text.js";
import { macAddress } from "./names.js";
import type { Configured } from "./network.js";

/** A `.network` file: https://www.freedesktop.org/software/systemd/man/latest/systemd.network.html */
export function parseNetworkdUnit(text: string): readonly Configured[] {
	const sections = parseIni(text);
	const all = (section: string, key: string) =>
		sections.flatMap(({ name, values }) => (name === section ? (values.get(key) ?? []) : []));
	const last = (section: string, key: string) => all(section, key).at(-1);
	// Containers, and what software makes.
	const kinds = [...all("Match", "Kind"), ...all("Match", "Driver")].join(" ");
	const type = last("Match", "Type") ?? "ether";
	if (/container/.test(last("Match", "Virtualization") ?? "") || /veth|tun|bridge|bond/.test(kinds)) return [];
	if (!words(type).includes("ether")) return [];
	const mac = ["MACAddress", "PermanentMACAddress"].flatMap((key) => macAddress(last("Match", key)) ?? [])[0];
	const name = all("Match", "Name").join(" ").trim() || undefined;
	const dhcp = /^(?:yes|true|1|on|y|ipv4|both|v4)$/i.test(last("Network", "DHCP") ?? "");
	const addresses = [...all("Network", "Address"), ...all("Address", "Address")].filter((address) => address !== "");
	return [
		{
			interface: name ?? mac ?? "*",
			method: dhcp ? "dhcp" : addresses.length > 0 ? "static" : "unknown",
			addresses,
			...(name !== undefined && mac !== undefined && { mac }),
		},
	];
}
