import { Command } from "commander";
import type { FileStat } from "../../filesystem/filesystem.js";
import type { GuestTree } from "../../filesystem/tree.js";
import { options, vmOptions, withOptions } from "../options.js";
import { stdout } from "../standard-streams.js";
import { fileDocument, modeText, volumeOption } from "./entry.js";
import type { ViewOptions } from "./view.js";

interface ListOptions extends ViewOptions {
	readonly long?: true;
	readonly json?: true;
}

export function lsCommand(): Command {
	const command = new Command("ls")
		.summary("list a folder of a VM")
		.description(
			"Lists the names in a folder, sorted, or names the file itself; links are not followed but in the path.",
		)
		.argument("<vm>", "disk image, OVA, or descriptor beside its disks")
		.argument("[path]", "absolute path in the guest", "/")
		.option("-l, --long", "with type and rights, owner, group, size and time");
	return withOptions(command, volumeOption(), options.json(), ...vmOptions()).action(run);
}

async function run(name: string, path: string, given: ListOptions): Promise<void> {
	const [{ openView }, { printable }] = await Promise.all([import("./view.js"), import("../terminal.js")]);
	await using view = await openView(name, given);
	if (given.json) {
		const documents = (await entries(view.tree, path)).map(({ at, stat }) => fileDocument(at, stat));
		stdout.write(`${JSON.stringify(documents, undefined, 2)}\n`);
	} else if (given.long) {
		for (const { name, at, stat } of await entries(view.tree, path)) {
			const { uid, gid, size, mtime } = fileDocument(at, stat);
			const when = mtime.slice(0, 16).replace("T", " ");
			const shown = stat.target === undefined ? name : `${name} -> ${stat.target}`;
			const numbers = `${String(uid).padStart(5)} ${String(gid).padStart(5)} ${String(size).padStart(11)}`;
			stdout.write(`${modeText(stat)} ${numbers} ${when} ${printable(shown)}\n`);
		}
	} else {
		// Names alone need no look at the files.
		for (const each of await names(view.tree, path)) stdout.write(`${printable(each)}\n`);
	}
}

interface Entry {
	readonly name: string;
	readonly at: string;
	readonly stat: FileStat;
}

async function names(tree: GuestTree, path: string): Promise<readonly string[]> {
	const stat = await existing(tree, path);
	if (stat.type !== "directory") return [path];
	return (await tree.list(path)).map(({ name }) => name).toSorted((a, b) => (a < b ? -1 : 1));
}

async function entries(tree: GuestTree, path: string): Promise<readonly Entry[]> {
	const stat = await existing(tree, path);
	if (stat.type !== "directory") return [{ name: path, at: path, stat: (await tree.lstat(path)) ?? stat }];
	const found: Entry[] = [];
	for (const name of await names(tree, path)) {
		const at = `${path.replace(/\/+$/, "")}/${name}`;
		const one = await tree.lstat(at);
		if (one !== undefined) found.push({ name, at, stat: one });
	}
	return found;
}

/** A link that leads nowhere is still there. */
async function existing(tree: GuestTree, path: string): Promise<FileStat> {
	const stat = (await tree.stat(path)) ?? (await tree.lstat(path));
	if (stat !== undefined) return stat;
	const { notFound } = await import("../../bytes/errors.js");
	throw notFound(`There is no ${path} in this VM`, { file: path, hint: "List the folder above it: anyvisor fs ls." });
}
