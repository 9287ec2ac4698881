import { parseIni } from "../text.js";
import { macAddress } from "./names.js";
import type { Configured } from "./network.js";

/** A keyfile: https://networkmanager.dev/docs/api/latest/nm-settings-keyfile.html. Only Ethernet connections count. */
export function parseKeyfile(text: string): readonly Configured[] {
	const sections = parseIni(text);
	const section = (names: readonly string[]) => sections.find(({ name }) => names.includes(name))?.values;
	const value = (names: readonly string[], key: string) => section(names)?.get(key)?.at(-1);
	const ethernet = ["ethernet", "802-3-ethernet"];
	if (!ethernet.includes(value(["connection"], "type") ?? "")) return [];
	const mac = macAddress(value(ethernet, "mac-address"));
	const name = value(["connection"], "interface-name") || matched(value(["match"], "interface-name"));
	const method = value(["ipv4"], "method") ?? "auto";
	return [
		{
			interface: name || mac || "*",
			method: method === "auto" ? "dhcp" : method === "manual" ? "static" : "unknown",
			addresses: ["ipv4", "ipv6"].flatMap((family) => addressesIn(section([family]))),
			...(name && mac !== undefined && { mac }),
		},
	];
}

/** `match.interface-name` lists patterns, separated by semicolons. */
const matched = (list: string | undefined) => list?.replaceAll(";", " ").trim();

/** `address1=10.0.0.2/24,10.0.0.1`: the gateway after a comma is left out; old files write a semicolon or a space. */
function addressesIn(values: ReadonlyMap<string, readonly string[]> | undefined): string[] {
	const keys = [...(values?.keys() ?? [])].filter((key) => /^address(?:es)?\d{0,4}$/.test(key));
	return keys.flatMap((key) => {
		const [address] = (values?.get(key)?.at(-1) ?? "").split(/[,; ]/, 1);
		return address ? [address] : [];
	});
}
