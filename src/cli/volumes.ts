import { Command } from "commander";
import { options, vmOptions, withOptions } from "./options.js";
import { stderr, stdout } from "./standard-streams.js";
import type { VmOptions } from "./vm.js";

interface VolumesOptions extends VmOptions {
	readonly json?: true;
}

export function volumesCommand(): Command {
	const command = new Command("volumes")
		.summary("list the partitions and file systems of a VM's disks")
		.description(
			`Lists what the disks are divided into, and what is on it: the file system with its label and UUID, where the
guest's own fstab mounts it, and why it cannot be read where it cannot. The device is what fs --volume takes.`,
		)
		.argument("<vm>", "disk image, OVA, or descriptor beside its disks");
	return withOptions(command, options.json(), ...vmOptions()).action(run);
}

async function run(name: string, given: VolumesOptions): Promise<void> {
	const [{ openNamed }, { lookAtFiles }, { volumeDocument }, { deviceNames, volumesText }] = await Promise.all([
		import("./vm.js"),
		import("../pipeline.js"),
		import("../inspection.js"),
		import("./volumes-text.js"),
	]);
	await using vm = await openNamed(name, given);
	const { volumes, failure } = await lookAtFiles(vm);
	const devices = deviceNames(volumes);
	const documents = volumes.map((found, i) => Object.assign(volumeDocument(found), { device: devices[i] ?? "" }));
	stdout.write(given.json ? `${JSON.stringify(documents, undefined, 2)}\n` : volumesText(documents));
	// What is mounted where cannot be told then; the rest can.
	if (failure !== undefined) stderr.write(`anyvisor: ${failure.message}\n`);
}
