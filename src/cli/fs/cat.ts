import { once } from "node:events";
import { Command } from "commander";
import { vmOptions, withOptions } from "../options.js";
import { stdout } from "../standard-streams.js";
import { volumeOption } from "./entry.js";
import type { ViewOptions } from "./view.js";

const PIECE = 1 << 20;

export function catCommand(): Command {
	const command = new Command("cat")
		.summary("write a file of a VM to standard output")
		.description("Writes the contents of a file, links followed, byte for byte.")
		.argument("<vm>", "disk image, OVA, or descriptor beside its disks")
		.argument("<path>", "absolute path in the guest");
	return withOptions(command, volumeOption(), ...vmOptions()).action(run);
}

async function run(name: string, path: string, given: ViewOptions): Promise<void> {
	const [{ openView }, { readUpTo }] = await Promise.all([import("./view.js"), import("../../bytes/source.js")]);
	await using view = await openView(name, given);
	const file = await view.tree.open(path);
	for (let at = 0; at < file.size; at += PIECE) {
		if (!stdout.stream.write(await readUpTo(file, at, PIECE))) await once(stdout.stream, "drain");
	}
}
