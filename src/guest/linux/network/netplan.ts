import { macAddress } from "./names.js";
import type { Configured } from "./network.js";
import { isMapping, member, parseYaml, strings } from "./yaml.js";

/** https://netplan.readthedocs.io/en/stable/netplan-yaml/. What is no such YAML configures nothing. */
export async function parseNetplan(text: string): Promise<readonly Configured[]> {
	const network = member(await parseYaml(text), "network");
	const ethernets = member(network, "ethernets");
	if (!isMapping(ethernets)) return [];
	const general = [member(network, "renderer"), member(ethernets, "renderer")].findLast((one) => one !== undefined);
	return Object.entries(ethernets)
		.filter(([id]) => id !== "renderer")
		.map(([id, definition]) => configured(id, definition, member(definition, "renderer") ?? general));
}

function configured(id: string, definition: unknown, renderer: unknown): Configured {
	const match = member(definition, "match");
	const name = member(match, "name");
	const mac = macAddress(strings(member(match, "macaddress"))[0]);
	const setName = member(definition, "set-name");
	const list = member(definition, "addresses");
	const addresses = (Array.isArray(list) ? list : []).flatMap((entry) =>
		isMapping(entry) ? Object.keys(entry).slice(0, 1) : strings(entry),
	);
	const dhcp = (key: string) => isTrue(member(definition, key));
	let method: Configured["method"] = dhcp("dhcp6") ? "dhcp" : "unknown";
	if (dhcp("dhcp4")) method = "dhcp";
	else if (addresses.length > 0) method = "static";
	return {
		interface: match === undefined ? id : typeof name === "string" ? name : (mac ?? "*"),
		method,
		addresses,
		...(mac !== undefined && typeof name === "string" && { mac }),
		...(typeof setName === "string" && match !== undefined && { renamedTo: setName }),
		...(typeof renderer === "string" && { renderer }),
	};
}

/** netplan takes what YAML 1.1 takes. */
const isTrue = (value: unknown) => value === true || (typeof value === "string" && /^(?:true|on|yes|y)$/i.test(value));
