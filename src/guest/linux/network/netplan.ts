import type { Configured } from "./network.js";

/** https://netplan.readthedocs.io/en/stable/netplan-yaml/. What is no such YAML configures nothing. */
export async function parseNetplan(text: string): Promise<readonly Configured[]> {
	// Few guests have netplan: the others do not wait for a YAML parser.
	const { parse } = await import("yaml");
	let document: unknown;
	try {
		document = parse(text, { logLevel: "error" });
	} catch {
		// Broken YAML, which netplan would not apply either.
		return [];
	}
	const ethernets = member(member(document, "network"), "ethernets");
	if (!isMapping(ethernets)) return [];
	return Object.entries(ethernets).map(([id, definition]) => {
		const match = member(definition, "match");
		const name = [member(match, "name"), member(match, "macaddress")].find((value) => typeof value === "string");
		const addresses = member(definition, "addresses");
		const method =
			member(definition, "dhcp4") === true
				? "dhcp"
				: Array.isArray(addresses) && addresses.length > 0
					? "static"
					: "unknown";
		return { interface: match === undefined ? id : (name?.toLowerCase() ?? "*"), method };
	});
}

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
	typeof value === "object" && value !== null && !Array.isArray(value);

const member = (value: unknown, key: string) =>
	isMapping(value) && Object.hasOwn(value, key) ? value[key] : undefined;
