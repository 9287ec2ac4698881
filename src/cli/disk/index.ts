import { Command } from "commander";
import { checkCommand } from "./check.js";
import { compareCommand } from "./compare.js";
import { convertCommand } from "./convert.js";
import { facesCommand } from "./faces.js";
import { formatNames } from "./formats.js";
import { infoCommand } from "./info.js";
import { mapCommand } from "./map.js";
import { snapshotCommand } from "./snapshot.js";

/** What can be done with a disk, whatever is on it. */
export function diskCommand(): Command {
	const command = new Command("disk").summary("look into, check, convert and compare disk images").description(
		`Works on disk images of every format (${formatNames.join(", ")}), recognised by content. Where an <image> is
read, it may also be

  disk.qcow2.xz, app.ova      compressed, or in an archive
  app.ova:disk2.vmdk          one of several in an archive
  https://host/disk.vhdx      read in ranges as far as it is needed
  vm.vmx, vm.ovf, vm.hdd/     the disk of a machine with one
  -                           what comes through standard input`,
	);
	for (const each of [
		infoCommand,
		checkCommand,
		convertCommand,
		compareCommand,
		mapCommand,
		snapshotCommand,
		facesCommand,
	]) {
		command.addCommand(each());
	}
	return command;
}
