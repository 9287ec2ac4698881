import { Command, CommanderError } from "commander";
import { addCommands, type CommandTable } from "./commands.js";
import { report } from "./failure.js";
import { stderr, stdout } from "./standard-streams.js";

/**
 * The command line, not yet run: with the command that `words` call, or with all of them; see {@link addCommands}. What a
 * command does is loaded when it runs.
 */
async function program(words: readonly string[], version: string): Promise<Command> {
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
A <vm> is a disk image (raw, qcow2, VMDK, VHD, VHDX, VDI, Parallels), an OVA, XVA, VMA or Vagrant box, a descriptor beside
its disks (OVF, VMX, VMCX, .vbox, libvirt XML, Proxmox VE .conf, xl), a folder with one of these, a URL of one, or - for standard
input. It is recognised by content and never written to.

  anyvisor inspect vm.qcow2                   where will it run, and what is missing?
  anyvisor pack vm.qcow2 -o vm.ova            one package with all drivers inside
  anyvisor expand vm.ova --for all -o out/    native packages for every hypervisor
  anyvisor expand vm.ova --for kvm -o out/ --dry-run
  anyvisor lint vm.ova                        what would importers refuse in it, and why?
  anyvisor fs cat vm.qcow2 /etc/fstab         the files inside, without starting it
  anyvisor machine show vm.vmx                what the descriptor says
  anyvisor convert vm.vmdk vm.qcow2           only the disk's format; anyvisor disk --help has more on disks

Exit codes: 0 done, 1 disks differ or an importer would refuse, 2 usage, 3 damaged, 4 unsupported, 5 refused, 6 not found, 7 permission, 8 no space,
9 i/o, 10 check found errors, 11 check found leaks, 130 interrupted.`,
		);
	const [called, ...rest] = words;
	const commands: CommandTable = {
		inspect: async () => (await import("./inspect.js")).inspectCommand(),
		pack: async () => (await import("./pack.js")).packCommand(),
		expand: async () => (await import("./expand.js")).expandCommand(),
		convert: async () => (await import("./disk/convert.js")).convertCommand(),
		lint: async () => (await import("./lint.js")).lintCommand(),
		volumes: async () => (await import("./volumes.js")).volumesCommand(),
		fs: async () => (await import("./fs/index.js")).fsCommand(rest),
		machine: async () => (await import("./machine/index.js")).machineCommand(rest),
		disk: async () => (await import("./disk/index.js")).diskCommand(rest),
		models: async () => (await import("./models.js")).modelsCommand(),
		completion: async () => (await import("./completion.js")).completionCommand(() => program([], version)),
	};
	await addCommands(root, commands, called);
	for (const command of everyCommand(root)) {
		command
			.description(unbroken(command.description()))
			.exitOverride()
			.configureOutput({
				writeOut: (text) => stdout.write(text),
				writeErr: (text) => stderr.write(text),
				outputError: () => {},
			});
	}
	return root;
}

/** Joins the lines of a paragraph, which the terminal's width breaks again; indented lines stay as they are. */
const unbroken = (text: string) => text.replaceAll(/(?<=^\S.*)\n(?=\S)/gm, " ");

function everyCommand(command: Command): Command[] {
	return [command, ...command.commands.flatMap(everyCommand)];
}

/** Runs the command line and leaves the exit code to the process. */
export async function runProgram(words: readonly string[], version: string): Promise<void> {
	process.on("uncaughtException", (error) => process.exit(report(error, stderr)));
	try {
		await (await program(words, version)).parseAsync(words, { from: "user" });
	} catch (error) {
		// Help and version end by an exception as well.
		if (error instanceof CommanderError && error.exitCode === 0) return;
		process.exitCode = report(error, stderr);
	}
}
