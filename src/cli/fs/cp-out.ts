import { Command } from "commander";
import { options, vmOptions, withOptions } from "../options.js";
import { stderr, stdout } from "../standard-streams.js";
import { volumeOption } from "./entry.js";
import type { ViewOptions } from "./view.js";

interface CopyOptions extends ViewOptions {
	readonly links?: true;
	readonly sync: boolean;
	readonly json?: true;
}

export function cpOutCommand(): Command {
	const command = new Command("cp-out")
		.summary("copy files and folders out of a VM")
		.description(
			`Copies files, and folders with all that is in them, into a folder of this computer, with their rights and times; the
owner is you. Each appears when it is complete. Links stay links; those that would lead out of what is copied are left
out, and so are devices, pipes and sockets: the result names them.`,
		)
		.argument("<vm>", "disk image, OVA, or descriptor beside its disks")
		.argument("<path...>", "absolute paths in the guest, then the folder to copy into")
		.option("--links", "copy links as they are, wherever they lead")
		.option("--no-sync", "do not wait until everything is on the disk");
	return withOptions(command, volumeOption(), options.json(), ...vmOptions()).action(run);
}

async function run(name: string, words: readonly string[], given: CopyOptions): Promise<void> {
	const [{ AnyvisorError }, { openView }, { copyOut }, { removeOutputsWhenInterrupted }, terminal] = await Promise.all([
		import("../../bytes/errors.js"),
		import("./view.js"),
		import("./copy-out.js"),
		import("../interrupt.js"),
		import("../terminal.js"),
	]);
	const [into, ...paths] = words.toReversed();
	if (into === undefined || paths.length === 0) {
		throw new AnyvisorError("usage", "There is no folder to copy into", {
			hint: "Name it last: anyvisor fs cp-out vm.qcow2 /etc/fstab .",
		});
	}
	removeOutputsWhenInterrupted();
	await using view = await openView(name, given);
	const results = [];
	for (const path of paths.toReversed()) results.push(await copyOut(view.tree, path, into, given));
	if (given.json) {
		stdout.write(`${JSON.stringify(results, undefined, 2)}\n`);
		return;
	}
	const paint = terminal.painter(terminal.wantsColour(stderr));
	for (const { output, files, folders, bytes, left } of results) {
		const what = `files: ${files}, folders: ${folders}, ${terminal.humanBytes(bytes)}`;
		stderr.write(`${paint("green", "✔")} ${paint("bold", terminal.printable(output))}  ${what}\n`);
		for (const { path, why } of left) {
			stderr.write(`${paint("yellow", "!")} ${terminal.printable(path)} left out: ${terminal.printable(why)}\n`);
		}
	}
}
