import { Command } from "commander";
import { options, vmOptions, withOptions } from "../options.js";
import { stdout } from "../standard-streams.js";
import type { VmOptions } from "../vm.js";

interface ShowOptions extends VmOptions {
	readonly json?: true;
}

export function showCommand(): Command {
	const command = new Command("show")
		.description("print the machine; with --json valid against schemas/machine.schema.json")
		.argument("<vm>", "descriptor (OVF, VMX, VMCX, .vbox, libvirt XML, Proxmox VE .conf, xl), OVA, or disk image");
	return withOptions(command, options.json(), ...vmOptions()).action(run);
}

async function run(name: string, given: ShowOptions): Promise<void> {
	const [{ readMachineOf }, { machineText }] = await Promise.all([import("./read.js"), import("./text.js")]);
	const machine = await readMachineOf(name, given);
	stdout.write(given.json ? `${JSON.stringify(machine, undefined, 2)}\n` : machineText(machine));
}
