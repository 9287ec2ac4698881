import { Command } from "commander";
import { addCommands, type CommandTable } from "../commands.js";

const commands: CommandTable = {
	show: async () => (await import("./show.js")).showCommand(),
	convert: async () => (await import("./convert.js")).convertCommand(),
};

/** The other half of a VM: what its descriptor says. */
export async function machineCommand([called]: readonly string[]): Promise<Command> {
	const command = new Command("machine").summary("show what a VM's descriptor says, or write another one").description(
		`A machine is what lies around the disks: processors, memory, firmware, controllers and what hangs on them, network
cards with their addresses. It is read from a descriptor, whose disks need not be there, or inferred from the guest on a
bare disk.`,
	);
	await addCommands(command, commands, called);
	return command;
}
