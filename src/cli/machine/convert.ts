import { Command, Option } from "commander";
import { options, vmOptions, withOptions } from "../options.js";
import { type OverrideOptions, overrideOptions, overridesOf } from "../overrides.js";
import { stderr, stdout } from "../standard-streams.js";
import type { VmOptions } from "../vm.js";

interface ConvertOptions extends VmOptions, OverrideOptions {
	readonly to: string;
	readonly output?: string;
	readonly force?: true;
}

/** Machine formats that are written, and whose kind of MACs a new identity has there. */
const platforms: Readonly<Record<string, string>> = {
	ovf: "vmware",
	vmx: "vmware",
	libvirt: "kvm",
	proxmox: "kvm",
	xl: "xenserver",
};
const written = Object.keys(platforms);

export function convertCommand(): Command {
	const command = new Command("convert")
		.description(
			`Writes the machine as another descriptor. Disks are neither read nor written: convert them on their own, or take
expand, which makes both fit. What cannot be said in the other description, and which devices became others, is told on
standard error.`,
		)
		.argument("<vm>", "descriptor, OVA, or disk image")
		.addOption(new Option("--to <format>", "descriptor to write").choices(written).makeOptionMandatory())
		.option("-o, --output <file>", "write it here instead of to standard output");
	return withOptions(command, ...overrideOptions(), options.force(), ...vmOptions()).action(run);
}

async function run(name: string, given: ConvertOptions): Promise<void> {
	const [{ readMachineOf }, { machineFormats }, { refitted }, { reconnected }, { printable }] = await Promise.all([
		import("./read.js"),
		import("../../machine/registry.js"),
		import("../../machine/refit.js"),
		import("../../machine/override.js"),
		import("../terminal.js"),
	]);
	const format = machineFormats.find(({ id }) => id === given.to);
	if (format?.write === undefined) throw new RangeError(`no machine format ${given.to} is written`);
	const overrides = await overridesOf(given);
	const { identity, networks } = overrides;
	const opened: string[] = [];
	const read = await readMachineOf(name, given, overrides, opened);
	const machine = refitted(reconnected(identity?.of(platforms[given.to] ?? "", read) ?? read, networks), format);
	const text = format.write(machine);
	for (const sentence of machine.lost) stderr.write(`anyvisor: ${printable(sentence)}\n`);
	if (given.output === undefined) {
		stdout.write(text);
		return;
	}
	const [{ fileSink }, { refuseInput }] = await Promise.all([import("../../source/sink.js"), import("../inputs.js")]);
	await refuseInput(given.output, opened);
	await using sink = await fileSink(given.output, { overwrite: given.force === true });
	const bytes = new TextEncoder().encode(text);
	await sink.write(0, bytes);
	await sink.commit(bytes.length);
}
