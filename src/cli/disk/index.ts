import { Command } from "commander";
import { addCommands, type CommandTable } from "../commands.js";
import { formatNames } from "./formats.js";

const commands: CommandTable = {
	info: async () => (await import("./info.js")).infoCommand(),
	check: async () => (await import("./check.js")).checkCommand(),
	convert: async () => (await import("./convert.js")).convertCommand(),
	compare: async () => (await import("./compare.js")).compareCommand(),
	map: async () => (await import("./map.js")).mapCommand(),
	snapshot: async () => (await import("./snapshot.js")).snapshotCommand(),
	faces: async () => (await import("./faces.js")).facesCommand(),
};

/** What can be done with a disk, whatever is on it. */
export async function diskCommand([called]: readonly string[]): Promise<Command> {
	const command = new Command("disk").summary("look into, check, convert and compare disk images").description(
		`Works on disk images of every format (${formatNames.join(", ")}), recognised by content. Where an <image> is
read, it may also be

  disk.qcow2.xz, app.ova      compressed, or in an archive
  app.ova:disk2.vmdk          one of several in an archive
  https://host/disk.vhdx      read in ranges as far as it is needed
  vm.vmx, vm.ovf, vm.hdd/     the disk of a machine with one
  -                           what comes through standard input`,
	);
	await addCommands(command, commands, called);
	return command;
}
