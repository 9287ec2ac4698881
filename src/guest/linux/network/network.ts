import type { GuestTree } from "../../../filesystem/tree.js";
import type { NetworkFact } from "../../guest.js";
import { attempt } from "../attempt.js";
import { parseIfcfg, parseSuseIfcfg } from "./ifcfg.js";
import { parseInterfaces } from "./ifupdown.js";
import { fits } from "./names.js";
import { parseNetplan } from "./netplan.js";
import { parseKeyfile } from "./network-manager.js";
import { parseNetworkdUnit } from "./systemd-networkd.js";
import { parseWicked } from "./wicked.js";

/** What one file says; the file and who reads it are added here. */
export type Configured = Omit<NetworkFact, "by" | "file">;

interface Place {
	readonly by: NetworkFact["by"];
	/** Of files with the same name, the one in the first folder counts. */
	readonly folders: readonly string[];
	/** File names that are read there. */
	readonly files: RegExp;
	/** `NAME.d/*.conf` in the same folders are read as the end of the file. */
	readonly dropIns?: true;
	readonly parse: (text: string, file: string) => readonly Configured[] | Promise<readonly Configured[]>;
}

/** Without the copies that editors and packages leave, which the scripts pass over as well. */
const ifcfgFiles = /^ifcfg-(?!lo$)(?!.*\.(?:bak|old|orig|rej|rpmnew|rpmorig|rpmsave|swp|scpmbackup)$)[^~]+$/;

const places: readonly Place[] = [
	{
		by: "netplan",
		folders: ["/etc/netplan", "/usr/lib/netplan", "/lib/netplan"],
		files: /\.yaml$/,
		parse: parseNetplan,
	},
	{
		by: "NetworkManager",
		folders: ["/etc/NetworkManager/system-connections", "/usr/lib/NetworkManager/system-connections"],
		files: /^[^.].*[^~]$/,
		parse: parseKeyfile,
	},
	{
		by: "systemd-networkd",
		folders: ["/etc", "/usr/local/lib", "/usr/lib", "/lib"].map((top) => `${top}/systemd/network`),
		files: /\.network$/,
		dropIns: true,
		parse: parseNetworkdUnit,
	},
	{ by: "ifcfg", folders: ["/etc/sysconfig/network-scripts"], files: ifcfgFiles, parse: parseIfcfg },
	{ by: "ifcfg", folders: ["/etc/sysconfig/network"], files: ifcfgFiles, parse: parseSuseIfcfg },
	{ by: "wicked", folders: ["/etc/wicked/ifconfig"], files: /\.xml$/, parse: parseWicked },
];

const mostFiles = 1000;
const mostDropIns = 100;
/** Interfaces that are configured: no machine has as many. */
const mostFacts = 1000;
/** `source` lines that differ. */
const mostSources = 100;
/** Bytes; a real one has a few hundred. */
const largestFile = 128 * 1024;

/** How the guest configures its network interfaces, loopback left out: one fact for each interface in each file. */
export async function readNetwork(tree: GuestTree, problems: string[]): Promise<readonly NetworkFact[]> {
	const facts = await readIfupdown(tree, problems);
	for (const { by, folders, files, dropIns, parse } of places) {
		for (const file of await filesIn(tree, folders, files, problems)) {
			const text = await attempt(problems, () => tree.readText(file, largestFile));
			// One that is empty, or leads to /dev/null, is masked.
			if (!text) continue;
			const more = dropIns ? await readDropIns(tree, folders, file, problems) : "";
			for (const configured of await parse(text + more, file)) facts.push({ by, file, ...configured });
		}
	}
	return facts.slice(0, mostFacts);
}

/** What systemd reads behind a file: https://www.freedesktop.org/software/systemd/man/latest/systemd.network.html */
export async function readDropIns(
	tree: GuestTree,
	folders: readonly string[],
	file: string,
	problems: string[],
): Promise<string> {
	const name = file.slice(file.lastIndexOf("/") + 1);
	const own = folders.map((folder) => `${folder}/${name}.d`);
	let text = "";
	for (const path of (await filesIn(tree, own, /\.conf$/, problems)).slice(0, mostDropIns)) {
		text += `\n${(await attempt(problems, () => tree.readText(path, largestFile))) ?? ""}`;
	}
	return text;
}

/** Paths of the files that count, in the order of their names; those in later folders are hidden. */
export async function filesIn(
	tree: GuestTree,
	folders: readonly string[],
	files: RegExp,
	problems: string[],
): Promise<readonly string[]> {
	const found = new Map<string, string>();
	const seen = new Set<string | undefined>();
	for (const folder of folders) {
		// /lib is most often /usr/lib.
		const place = (await attempt(problems, () => tree.resolve(folder)))?.guestPath;
		if (place === undefined || seen.has(place)) continue;
		seen.add(place);
		const entries = (await attempt(problems, () => tree.listIfExists(folder))) ?? [];
		for (const { name } of entries.filter((entry) => files.test(entry.name)).slice(0, mostFiles)) {
			if (!found.has(name)) found.set(name, `${folder}/${name}`);
		}
	}
	return [...found].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, path]) => path);
}

/** /etc/network/interfaces and what it asks to be read in its place; each file, and each request, once. */
async function readIfupdown(tree: GuestTree, problems: string[]): Promise<NetworkFact[]> {
	const facts: NetworkFact[] = [];
	const files = new Set(["/etc/network/interfaces"]);
	const sources = new Set<string>();
	// A set goes on with what is added to it on the way.
	for (const file of files) {
		const text = await attempt(problems, () => tree.readText(file, largestFile));
		if (text === undefined) continue;
		const parsed = parseInterfaces(text);
		for (const configured of parsed.configured) facts.push({ by: "ifupdown", file, ...configured });
		for (const source of parsed.sources) {
			if (sources.has(source) || sources.size >= mostSources) continue;
			sources.add(source);
			for (const path of await expand(tree, source, problems)) if (files.size < mostFiles) files.add(path);
		}
	}
	return facts;
}

/** The files that a `source` line names: a pattern in its last part, or a folder with a slash at the end. */
async function expand(tree: GuestTree, source: string, problems: string[]): Promise<string[]> {
	const absolute = source.startsWith("/") ? source : `/etc/network/${source}`;
	const slash = absolute.lastIndexOf("/");
	const folder = absolute.slice(0, slash) || "/";
	const pattern = absolute.slice(slash + 1);
	const entries = (await attempt(problems, () => tree.listIfExists(folder))) ?? [];
	const wanted = (name: string) =>
		pattern === "" ? /^[a-zA-Z0-9_-]+$/.test(name) : !name.startsWith(".") && fits(pattern, name) === true;
	return entries
		.map(({ name }) => name)
		.filter(wanted)
		.sort()
		.map((name) => `${folder}/${name}`);
}
