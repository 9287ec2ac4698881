import { Command } from "commander";
import { options, vmOptions, withOptions } from "./options.js";
import { stdout } from "./standard-streams.js";
import type { VmOptions } from "./vm.js";

interface InspectOptions extends VmOptions {
	readonly json?: true;
	readonly for: string;
	readonly models: readonly string[];
}

export function inspectCommand(): Command {
	const command = new Command("inspect")
		.summary("say where a VM will run, and what it lacks where it will not")
		.description(
			`Reads a VM's disks, finds the guest's kernels and drivers, and judges them against every hypervisor, without
booting anything and without writing anything.

  ready    boots with disk and network as it is
  fixable  will, once pack or expand have added what is missing
  blocked  cannot; the reasons say why`,
		)
		.argument("<vm>", "disk image, OVA, or descriptor beside its disks")
		.option("--for <hypervisors>", "judge only these, separated by commas", "all");
	return withOptions(command, options.json(), options.models(), ...vmOptions()).action(run);
}

async function run(name: string, given: InspectOptions): Promise<void> {
	const [{ openNamed }, { inspect }, { loadHypervisors, selectHypervisors }, { matrix }] = await Promise.all([
		import("./vm.js"),
		import("../pipeline.js"),
		import("./context.js"),
		import("./matrix.js"),
	]);
	const hypervisors = selectHypervisors(await loadHypervisors(given.models), given.for);
	await using vm = await openNamed(name, given);
	const document = await inspect(vm, hypervisors);
	stdout.write(given.json ? `${JSON.stringify(document, undefined, 2)}\n` : matrix(document));
}
