import { Command } from "commander";
import { withPreparingOptions } from "./options.js";
import type { PreparingOptions } from "./preparing.js";

interface PackOptions extends PreparingOptions {
	readonly output?: string;
}

export function packCommand(): Command {
	const command = new Command("pack")
		.summary("make one package that carries the drivers for every hypervisor")
		.description(
			`Adds to a copy of the VM's disk what it lacks for other hypervisors, and writes it as an OVA that VMware and
VirtualBox import as it is and that expand turns into any other package. The VM itself is not touched, and none of its
programs are run.`,
		)
		.argument("<vm>", "disk image, OVA, or descriptor beside its disks")
		.option("-o, --output <file>", "the OVA to write")
		.option("--for <hypervisors>", "prepare only for these, separated by commas", "all");
	return withPreparingOptions(command).action(run);
}

async function run(name: string, given: PackOptions): Promise<void> {
	const [{ AnyvisorError }, packaging, source, context, preparing, interrupt] = await Promise.all([
		import("../bytes/errors.js"),
		import("../packaging.js"),
		import("../source/sink.js"),
		import("./context.js"),
		import("./preparing.js"),
		import("./interrupt.js"),
	]);
	const { output } = given;
	if (output === undefined && !given.dryRun) {
		throw new AnyvisorError("usage", "pack needs a file to write", { hint: "Add -o <name>.ova." });
	}
	const targets = context.selectHypervisors(await context.loadHypervisors(given.models), given.for);

	interrupt.removeOutputsWhenInterrupted();
	await using work = await preparing.prepareNamed(name, targets, given);
	if (output === undefined || given.dryRun) return work.tellPlan();

	await (await import("./inputs.js")).refuseInput(output, work.opened);
	await using sink = await source.fileSink(output, { overwrite: given.force === true });
	work.progress.start("packing", work.bytes);
	const machine = await packaging.pack(work.prepared, sink, {
		now: work.now,
		level: given.level,
		onProgress: (bytes) => work.progress.advance(bytes),
	});
	work.progress.finish();
	work.tellResult([{ layout: "ova", path: output, machine }], []);
}
