import { Command } from "commander";
import { options, vmOptions, withOptions } from "../options.js";
import { stdout } from "../standard-streams.js";
import { fileDocument, modeText, volumeOption } from "./entry.js";
import type { ViewOptions } from "./view.js";

interface StatOptions extends ViewOptions {
	readonly json?: true;
}

export function statCommand(): Command {
	const command = new Command("stat")
		.summary("say what a file of a VM is, and where it lies")
		.description(
			`Tells a file's type, size, owner, rights and time, what a link leads to, and which file system has it; with --json its
extended attributes too, their values in Base64.`,
		)
		.argument("<vm>", "disk image, OVA, or descriptor beside its disks")
		.argument("<path>", "absolute path in the guest");
	return withOptions(command, volumeOption(), options.json(), ...vmOptions()).action(run);
}

async function run(name: string, path: string, given: StatOptions): Promise<void> {
	const [{ openView }, { notFound }, terminal] = await Promise.all([
		import("./view.js"),
		import("../../bytes/errors.js"),
		import("../terminal.js"),
	]);
	await using view = await openView(name, given);
	const stat = await view.tree.lstat(path);
	if (stat === undefined) {
		throw notFound(`There is no ${path} in this VM`, { file: path, hint: "List the folder above it: anyvisor fs ls." });
	}
	const place = await view.tree.resolve(path);
	const document = {
		...fileDocument(path, stat),
		/** Free of links; null where a link leads nowhere. */
		resolved: place?.guestPath ?? null,
		filesystem: place?.filesystem.kind ?? null,
		mount: place?.mount ?? null,
	};
	if (given.json) {
		const attributes = await view.tree.extendedAttributes(path);
		const encoded = [...attributes].map(([key, value]) => [key, Buffer.from(value).toString("base64")]);
		const whole = { ...document, attributes: Object.fromEntries(encoded) as Record<string, string> };
		stdout.write(`${JSON.stringify(whole, undefined, 2)}\n`);
		return;
	}
	const { target, resolved, filesystem, mount, uid, gid, size, mtime } = document;
	const rows = [
		["type", stat.type],
		["size", terminal.exactBytes(size)],
		["rights", `${document.mode} ${modeText(stat)}`],
		["owner", `${uid}:${gid}`],
		["changed", mtime],
		...(target === null ? [] : [["link to", target]]),
		...(resolved === path ? [] : [["leads to", resolved ?? "nothing"]]),
		...(filesystem === null ? [] : [["file system", `${filesystem}, mounted at ${mount}`]]),
	];
	const { painter, table, wantsColour } = terminal;
	const cells = rows.map(([label = "", text = ""]) => [{ text: label, style: "dim" as const }, { text }]);
	stdout.write(table(cells, painter(wantsColour(stdout)), 200));
}
