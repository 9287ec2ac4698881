import { Command, Option } from "commander";
import type { Machine } from "../machine/machine.js";
import type { Delivery } from "../packaging.js";
import type { ArchiveKind } from "../source/archived-folder.js";
import { withOptions, withPreparingOptions } from "./options.js";
import { generation, type OverrideOptions, ofGeneration, overrideOptions, overridesOf } from "./overrides.js";
import type { PreparingOptions } from "./preparing.js";

interface ExpandOptions extends PreparingOptions, OverrideOptions {
	readonly output?: string;
	readonly generation?: string;
	readonly checksum?: "sha1" | "xxhash";
	readonly archive?: ArchiveKind;
}

export function expandCommand(): Command {
	const command = new Command("expand")
		.summary("write native packages, one folder each, that import with the platform's own command")
		.description(
			`Adds to a copy of the VM's disk what the chosen hypervisors lack, and writes a folder for each, with an IMPORT.md
that holds the one command to type there. All of them are written in one pass over the disk. The VM itself is not touched.`,
		)
		.argument("[vm]", "disk image, OVA, or descriptor beside its disks")
		.requiredOption(
			"--for <hypervisors>",
			'ids, families, packages, or groups such as "all", separated by commas; "list" explains them',
		)
		.option("-o, --output <folder>", "where the packages' folders go")
		.addOption(
			new Option(
				"--archive <kind>",
				"make an archive of each folder: tar.zst keeps holes, a zip is unpacked to full size",
			).choices(["zip", "tar.zst"] satisfies ArchiveKind[]),
		)
		.addOption(
			new Option("--checksum <algorithm>", "of an XVA's blocks: xxhash, or sha1 for hosts before 8.1").choices([
				"xxhash",
				"sha1",
			]),
		);
	return withPreparingOptions(withOptions(command, ...overrideOptions(), generation())).action(run);
}

async function run(name: string | undefined, given: ExpandOptions): Promise<void> {
	const [
		{ mkdir },
		path,
		{ AnyvisorError, refused },
		packaging,
		{ groupNames, hypervisorsNamed },
		source,
		context,
		preparing,
		interrupt,
	] = await Promise.all([
		import("node:fs/promises"),
		import("node:path"),
		import("../bytes/errors.js"),
		import("../packaging.js"),
		import("../hypervisor/registry.js"),
		import("../source/folder.js"),
		import("./context.js"),
		import("./preparing.js"),
		import("./interrupt.js"),
	]);
	const known = await context.loadHypervisors(given.models);
	if (given.for === "list") return preparing.listTargets(known, given.json);
	if (name === undefined)
		throw new AnyvisorError("usage", "expand needs the VM to expand", { hint: "anyvisor expand --help" });
	const output = given.output;
	if (output === undefined && !given.dryRun) {
		throw new AnyvisorError("usage", "expand needs a folder to write to", { hint: "Add -o <folder>." });
	}
	const wanted = preparing.selectPackages(known, given.for, (found) => ofGeneration(found, given.generation));
	const targets = [...new Set(wanted.flatMap(({ hypervisors }) => hypervisors))];

	interrupt.removeOutputsWhenInterrupted();
	await using work = await preparing.prepareNamed(name, targets, given, await overridesOf(given));
	const { possible, impossible } = packaging.deliveries(work.prepared, wanted);
	const [blocked] = impossible;
	const severalAsked = given.for
		.split(",")
		.map((word) => word.trim())
		.some(
			(word) => groupNames.includes(word) || ofGeneration(hypervisorsNamed(word, known), given.generation).length > 1,
		);
	if (blocked && (possible.length === 0 || !severalAsked)) {
		throw refused(`${name} cannot run on ${blocked.title}: ${blocked.reasons.join(" ")}`, {
			file: name,
			hint: `anyvisor inspect ${name} shows where it can.`,
		});
	}
	const told = (machines: ReadonlyMap<Delivery, Machine>, place?: (delivery: Delivery) => string) =>
		possible.map((delivery) => ({
			hypervisor: delivery.hypervisor.id,
			layout: delivery.layout.id,
			...(place && { path: place(delivery) }),
			machine: machines.get(delivery),
			interfaces: packaging.interfacesOn(work.prepared, delivery),
		}));
	if (output === undefined || given.dryRun) {
		return work.tellPlan(told(await packaging.envisage(work.prepared, possible)), impossible);
	}

	await mkdir(output, { recursive: true });
	const { refuseFolderOfInput, refuseInput } = await import("./inputs.js");
	const { archive } = given;
	const folderOf = ({ layout }: Delivery) => path.join(output, layout.folder);
	const place = (delivery: Delivery) => `${folderOf(delivery)}${archive === undefined ? "" : `.${archive}`}`;
	const overwrite = given.force === true;
	for (const delivery of possible) {
		await refuseInput(place(delivery), work.opened);
		await refuseFolderOfInput(folderOf(delivery), work.opened);
	}
	const outputOf = async (folder: string) =>
		archive === undefined
			? source.outputFolder(folder, { overwrite })
			: (await import("../source/archived-folder.js")).archivedFolder(folder, archive, {
					overwrite,
					now: work.now,
					level: given.level,
				});
	work.progress.start(`expanding for ${targets.length} targets`, possible.length * work.bytes);
	const machines = await packaging.expand(work.prepared, possible, (delivery) => outputOf(folderOf(delivery)), {
		now: work.now,
		level: given.level,
		checksum: given.checksum,
		onProgress: (bytes) => work.progress.advance(bytes),
	});
	work.progress.finish();
	work.tellResult(told(machines, place), impossible);
}
