import { Command } from "commander";
import { options, withOptions } from "./options.js";
import { stdout } from "./standard-streams.js";

interface ModelsOptions {
	readonly models: readonly string[];
	readonly json?: true;
}

export function modelsCommand(): Command {
	const command = new Command("models")
		.summary("the exchange of device models: what each hypervisor offers a guest")
		.description("Every verdict is computed from these data. Export one, adapt it, and pass it on with --models.");
	withOptions(
		command.command("list", { isDefault: true }).description("one line for each hypervisor"),
		options.models(),
		options.json(),
	).action(list);
	withOptions(
		command.command("show").description("the devices of a hypervisor").argument("<hypervisor>", "id or family"),
		options.models(),
		options.json(),
	).action(show);
	withOptions(
		command
			.command("export")
			.description("print as JSON, valid against schemas/hypervisor.schema.json")
			.argument("[hypervisor]", "id or family", "all"),
		options.models(),
	).action(exportJson);
	return command;
}

async function load(given: ModelsOptions) {
	const [context, terminal, hypervisor] = await Promise.all([
		import("./context.js"),
		import("./terminal.js"),
		import("../hypervisor/index.js"),
	]);
	const paint = terminal.painter(terminal.wantsColour(stdout));
	return { ...context, ...terminal, ...hypervisor, paint, all: await context.loadHypervisors(given.models) };
}

async function list(given: ModelsOptions): Promise<void> {
	const { all, table, paint } = await load(given);
	if (given.json) {
		const rows = all.map(({ id, title, vendor, family, firmware }) => ({ id, title, vendor, family, firmware }));
		stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`);
		return;
	}
	const head = ["id", "title", "firmware", "boot disks, as preferred", "networks, as preferred"];
	const rows = all.map(({ id, title, firmware, boot }) =>
		[id, title, firmware.join(", "), boot.disk.join(", "), boot.network.join(", ")].map((text) => ({ text })),
	);
	stdout.write(table([head.map((text) => ({ text, style: "bold" as const })), ...rows], paint, 160));
}

async function show(name: string, given: ModelsOptions): Promise<void> {
	const { all, table, paint, selectHypervisors, exportModels } = await load(given);
	const chosen = selectHypervisors(all, name);
	if (given.json) {
		stdout.write(exportModels(chosen));
		return;
	}
	for (const { id, title, vendor, devices, notes } of chosen) {
		const head = ["role", "device", "what the guest sees", "verified", "source"];
		const rows = devices.map(({ role, id, addresses, verified, source }) => [
			{ text: role },
			{ text: id },
			{ text: addresses.map(describeAddress).join(" > ") },
			verified ? { text: "yes", style: "green" as const } : { text: "no", style: "yellow" as const },
			{ text: source, style: "dim" as const },
		]);
		stdout.write(`${paint("bold", title)} (${id}), ${vendor}\n`);
		stdout.write(table([head.map((text) => ({ text, style: "bold" as const })), ...rows], paint, 160));
		for (const note of notes) stdout.write(`- ${note}\n`);
		stdout.write("\n");
	}
}

function describeAddress(address: { readonly bus: string } & Record<string, unknown>): string {
	const { bus, ...ids } = address;
	if (bus === "pci") return `pci ${String(ids["vendor"])}:${String(ids["device"])}`;
	return `${bus} ${Object.values(ids).flat().join(" ")}`;
}

async function exportJson(name: string, given: ModelsOptions): Promise<void> {
	const { all, selectHypervisors, exportModels } = await load(given);
	stdout.write(exportModels(selectHypervisors(all, name)));
}
