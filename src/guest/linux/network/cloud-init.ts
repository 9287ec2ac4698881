import type { GuestTree } from "../../../filesystem/tree.js";
import type { CloudInit } from "../../guest.js";
import { attempt } from "../attempt.js";
import { filesIn } from "./network.js";
import { member, parseYaml, strings } from "./yaml.js";

/** Bytes. */
const largestFile = 64 * 1024;
const mostFiles = 100;

/**
 * cloud-init's own configuration; undefined where it is not installed or never runs. Of several files the last counts.
 * https://cloudinit.readthedocs.io/en/latest/reference/network-config.html
 */
export async function readCloudInit(
	tree: GuestTree,
	cmdline: readonly string[],
	problems: string[],
): Promise<CloudInit | undefined> {
	const main = "/etc/cloud/cloud.cfg";
	if (!(await attempt(problems, () => tree.stat(main)))) return undefined;
	if (await attempt(problems, () => tree.stat("/etc/cloud/cloud-init.disabled"))) return undefined;
	if (cmdline.includes("cloud-init=disabled")) return undefined;
	let networkDisabled = false;
	let datasources: string[] = [];
	const more = await filesIn(tree, ["/etc/cloud/cloud.cfg.d"], /\.cfg$/, problems);
	for (const file of [main, ...more].slice(0, mostFiles)) {
		const text = (await attempt(problems, () => tree.readText(file, largestFile))) ?? "";
		// What says nothing of either is not worth a parser's time.
		if (!/^\s*(?:network|datasource_list)\s*:/m.test(text)) continue;
		const document = await parseYaml(text);
		const config = member(member(document, "network"), "config");
		if (config !== undefined) networkDisabled = config === "disabled";
		const list = member(document, "datasource_list");
		if (list !== undefined) datasources = strings(list);
	}
	return { networkDisabled: networkDisabled || cmdline.includes("network-config=disabled"), datasources };
}
