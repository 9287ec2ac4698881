import type { GuestTree } from "../../../filesystem/tree.js";
import type { NetworkFact } from "../../guest.js";
import { attempt } from "../attempt.js";
import { parseIfcfg } from "./ifcfg.js";
import { parseInterfaces } from "./ifupdown.js";
import { parseNetplan } from "./netplan.js";
import { parseKeyfile } from "./network-manager.js";
import { parseNetworkdUnit } from "./systemd-networkd.js";

/** What one file says; the file and who reads it are added here. */
export type Configured = Pick<NetworkFact, "interface" | "method">;

interface Place {
	readonly by: NetworkFact["by"];
	readonly folder: string;
	/** File names that are read there. */
	readonly files: RegExp;
	readonly parse: (text: string) => readonly Configured[] | Promise<readonly Configured[]>;
}

const places: readonly Place[] = [
	{ by: "ifupdown", folder: "/etc/network", files: /^interfaces$/, parse: parseInterfaces },
	{ by: "ifupdown", folder: "/etc/network/interfaces.d", files: /^[\w.-]*\w$/, parse: parseInterfaces },
	{ by: "netplan", folder: "/etc/netplan", files: /\.yaml$/, parse: parseNetplan },
	{
		by: "NetworkManager",
		folder: "/etc/NetworkManager/system-connections",
		files: /^[^.].*[^~]$/,
		parse: parseKeyfile,
	},
	{ by: "systemd-networkd", folder: "/etc/systemd/network", files: /\.network$/, parse: parseNetworkdUnit },
	...["/etc/sysconfig/network-scripts", "/etc/sysconfig/network"].map(
		(folder): Place => ({ by: "ifcfg", folder, files: /^ifcfg-(?!lo$)[^~]+$/, parse: parseIfcfg }),
	),
];

const mostFiles = 1000;
/** Bytes; a real one has a few hundred. */
const largestFile = 128 * 1024;

/** How the guest configures its network interfaces, loopback left out: one fact for each interface in each file. */
export async function readNetwork(tree: GuestTree, problems: string[]): Promise<readonly NetworkFact[]> {
	const facts: NetworkFact[] = [];
	for (const { by, folder, files, parse } of places) {
		const entries = (await attempt(problems, () => tree.listIfExists(folder))) ?? [];
		const names = entries.map(({ name }) => name).filter((name) => files.test(name));
		for (const name of names.sort().slice(0, mostFiles)) {
			const file = `${folder}/${name}`;
			const text = (await attempt(problems, () => tree.readText(file, largestFile))) ?? "";
			for (const configured of await parse(text)) facts.push({ by, file, ...configured });
		}
	}
	return facts;
}
