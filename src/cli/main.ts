#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { completionCommand } from "./completion.js";
import { convertCommand } from "./disk/convert.js";
import { diskCommand } from "./disk/index.js";
import { exitCodes } from "./exit-codes.js";
import { expandCommand } from "./expand.js";
import { report } from "./failure.js";
import { inspectCommand } from "./inspect.js";
import { modelsCommand } from "./models.js";
import { packCommand } from "./pack.js";

/** The command line, complete but not yet run. What a command does is loaded when it is called. */
export function program(): Command {
	const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
		version: string;
	};
	const root = new Command("anyvisor")
		.description(
			"Package a virtual machine once; expand it and run it on any hypervisor, with every driver it needs already inside.",
		)
		.version(version, "-V, --version", "print the version")
		.helpOption("-h, --help", "explain a command")
		.showSuggestionAfterError()
		.configureHelp({ showGlobalOptions: true })
		.addHelpText(
			"after",
			`
A <vm> is a disk image (raw, qcow2, VMDK, VHD, VHDX, VDI, Parallels), an OVA, a descriptor beside its disks (OVF, VMX,
libvirt XML), a URL of one of these, or - for standard input. It is recognised by content and never written to.

  anyvisor inspect vm.qcow2                   where will it run, and what is missing?
  anyvisor pack vm.qcow2 -o vm.ova            one package with all drivers inside
  anyvisor expand vm.ova --for all -o out/    native packages for every hypervisor
  anyvisor expand vm.ova --for kvm -o out/ --dry-run
  anyvisor convert vm.vmdk vm.qcow2           only the disk's format; anyvisor disk --help has more on disks

Exit codes: 0 done, 1 disks differ, 2 usage, 3 damaged, 4 unsupported, 5 refused, 6 not found, 7 permission, 8 no space,
9 i/o, 10 check found errors, 11 check found leaks, 130 interrupted.`,
		);
	for (const command of [inspectCommand, packCommand, expandCommand, convertCommand, diskCommand, modelsCommand]) {
		root.addCommand(command());
	}
	root.addCommand(completionCommand(root));
	for (const command of everyCommand(root)) {
		command
			.description(unbroken(command.description()))
			.exitOverride()
			.configureOutput({ outputError: () => {} });
	}
	return root;
}

/** Joins the lines of a paragraph, which the terminal's width breaks again; indented lines stay as they are. */
const unbroken = (text: string) => text.replaceAll(/(?<=^\S.*)\n(?=\S)/gm, " ");

function everyCommand(command: Command): Command[] {
	return [command, ...command.commands.flatMap(everyCommand)];
}

async function main(): Promise<void> {
	try {
		await program().parseAsync();
	} catch (error) {
		// Help and version end by an exception as well.
		if (error instanceof CommanderError && error.exitCode === 0) return;
		process.exitCode = report(error);
	}
}

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
	// The reader of a pipe has gone away: nobody is left to tell.
	if (error.code === "EPIPE") process.exit(exitCodes.ok);
	throw error;
});
process.on("uncaughtException", (error) => process.exit(report(error)));
await main();
