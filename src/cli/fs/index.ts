import { Command } from "commander";
import { addCommands, type CommandTable } from "../commands.js";

const commands: CommandTable = {
	ls: async () => (await import("./ls.js")).lsCommand(),
	stat: async () => (await import("./stat.js")).statCommand(),
	cat: async () => (await import("./cat.js")).catCommand(),
	"cp-out": async () => (await import("./cp-out.js")).cpOutCommand(),
};

/** The files in a VM, without starting it. */
export async function fsCommand([called]: readonly string[]): Promise<Command> {
	const command = new Command("fs").summary("look at the files in a VM, and copy them out").description(
		`Reads files as the guest's own programs see them: its file systems mounted as its fstab says, links followed. With
--volume, or where no system is found, it is the files of one volume; anyvisor volumes lists them. Nothing is written to
the VM.`,
	);
	await addCommands(command, commands, called);
	return command;
}
