import type { GuestTree } from "../../../filesystem/tree.js";
import type { InterfaceNaming, LinkFile, NameRule } from "../../guest.js";
import { attempt } from "../attempt.js";
import { words } from "../text.js";
import { readCloudInit } from "./cloud-init.js";
import { parseLinkFile } from "./link-file.js";
import { filesIn, readDropIns } from "./network.js";
import { parseNameRules } from "./udev-rules.js";

/** What is known of the guest when this is asked. */
export interface NamingContext {
	/** os-release ID and VERSION_ID. */
	readonly id: string;
	readonly version: string;
	/** Of the kernel that boots by default. */
	readonly cmdline: string;
}

/** Bytes; a rule file that installers write has a line for each card. */
const largestFile = 128 * 1024;
const mostFiles = 200;
const libraries = [
	...["/usr/lib/systemd", "/lib/systemd", "/usr/lib64/systemd"],
	...["x86_64", "aarch64", "i386"].map((arch) => `/usr/lib/${arch}-linux-gnu/systemd`),
];
const tops = ["/etc", "/usr/local/lib", "/usr/lib", "/lib"];

/** Facts that the names of network interfaces hang on, from the guest's files alone. */
export async function readNaming(
	tree: GuestTree,
	context: NamingContext,
	problems: string[],
): Promise<InterfaceNaming> {
	const has = async (path: string) => (await attempt(problems, () => tree.stat(path))) !== undefined;
	const hasAny = async (paths: readonly string[]) => {
		for (const path of paths) if (await has(path)) return true;
		return false;
	};
	const read = async <T>(
		files: readonly string[],
		parse: (text: string, file: string) => T,
		more: (file: string) => Promise<string> = () => Promise.resolve(""),
	): Promise<T[]> => {
		const parsed: T[] = [];
		for (const file of files.slice(0, mostFiles)) {
			const text = await attempt(problems, () => tree.readText(file, largestFile));
			// One that is empty, or leads to /dev/null, is masked.
			if (text) parsed.push(parse(text + (await more(file)), file));
		}
		return parsed;
	};
	const rulesFolders = tops.map((top) => `${top}/udev/rules.d`);
	const cmdline = words(context.cmdline);
	const udev = (await systemdVersion(tree, problems)) ?? releaseOf(context);
	const [setupLink] = await filesIn(tree, rulesFolders, /^80-net-setup-link\.rules$/, problems);
	const [nameSlot] = await filesIn(tree, rulesFolders, /^80-net-name-slot\.rules$/, problems);
	const masked = async (file: string) => (await read([file], () => true)).length === 0;
	const linkFolders = tops.map((top) => `${top}/systemd/network`);
	const links = await filesIn(tree, linkFolders, /\.link$/, problems);
	const rules = await filesIn(tree, ["/etc/udev/rules.d"], /\.rules$/, problems);
	const cloudInit = await readCloudInit(tree, cmdline, problems);
	const argument = cmdline.findLast((word) => word.startsWith("net.ifnames="));
	const off = argument !== undefined && /=(?:0|no|false|off)$/.test(argument) ? argument : undefined;
	const giver = setupLink ?? nameSlot;
	const hidden = giver !== undefined && (await masked(giver)) ? giver : undefined;
	const disabledBy = hidden ?? off;
	let by: InterfaceNaming["by"] = "kernel";
	if (setupLink !== undefined && hidden === undefined) by = "links";
	else if (nameSlot !== undefined && disabledBy === undefined) by = "slots";
	else if (await hasAny(rulesFolders)) by = "rules";
	return {
		udev,
		scheme: schemeOf(context, cmdline, udev),
		by,
		...(disabledBy !== undefined && { disabledBy }),
		links: await read<LinkFile>(links, parseLinkFile, (file) => readDropIns(tree, linkFolders, file, problems)),
		rules: (await read<readonly NameRule[]>(rules, parseNameRules)).flat(),
		generator: await hasAny(rulesFolders.map((folder) => `${folder}/75-persistent-net-generator.rules`)),
		biosdevname: await hasAny(["/sbin/biosdevname", "/usr/sbin/biosdevname"]),
		...(cloudInit && { cloudInit }),
	};
}

/** systemd's private library bears its version since 231. */
async function systemdVersion(tree: GuestTree, problems: string[]): Promise<number | null> {
	for (const folder of libraries) {
		const entries = (await attempt(problems, () => tree.listIfExists(folder))) ?? [];
		const versions = entries.flatMap(({ name }) => /^libsystemd-shared-(\d{3})\b.*\.so$/.exec(name)?.[1] ?? []);
		if (versions.length > 0) return Math.max(...versions.map(Number));
	}
	return null;
}

/** Releases from before that, each with the systemd it shipped. */
const older: Readonly<Record<string, number>> = {
	"debian 8": 215,
	"rhel 7": 219,
	"centos 7": 219,
	"ol 7": 219,
	"scientific 7": 219,
	"ubuntu 14.04": 204,
	"ubuntu 16.04": 229,
	"sles 12": 228,
};

function releaseOf({ id, version }: NamingContext): number | null {
	return older[`${id} ${version}`] ?? older[`${id} ${version.split(".")[0]}`] ?? null;
}

/** Systems with schemes of their own, rebuilds included, which take them over. */
const enterprise: ReadonlySet<string> = new Set(["rhel", "centos", "rocky", "almalinux", "ol"]);

/**
 * The argument net.naming-scheme=, or what the distribution was built with:
 * https://www.freedesktop.org/software/systemd/man/latest/systemd.net-naming-scheme.html. SLE 15 keeps that of systemd
 * 238 with changes of its own: its own manual page says so.
 */
function schemeOf({ id, version }: NamingContext, cmdline: readonly string[], udev: number | null): string | null {
	const [major = ""] = version.split(".");
	const asked = cmdline.findLast((word) => /^net\.naming[-_]scheme=/.test(word))?.replace(/^[^=]*=/, "");
	if (asked && asked !== "latest") return asked;
	if (enterprise.has(id) && Number(major) >= 8) return `rhel-${major}.0`;
	if (["sles", "sled", "sle-micro", "opensuse-leap"].includes(id) && major === "15") return "sle15-sp3";
	return udev === null ? null : `v${udev}`;
}
