import { Command, Option } from "commander";
import { type ImageOptions, imageOptions, options, withOptions } from "../options.js";
import type { ProgressMode } from "../progress.js";
import { stdout } from "../standard-streams.js";
import { exactBytes, painter, wantsColour } from "../terminal.js";

interface CompareOptions extends ImageOptions {
	readonly strict?: true;
	readonly json?: true;
	readonly format?: string;
	readonly format2?: string;
	readonly system2?: string;
	readonly progress: ProgressMode;
}

export function compareCommand(): Command {
	const command = new Command("compare")
		.summary("tell whether two disks hold the same bytes")
		.description(
			`Compares what two disks hold, whatever their formats; only what is data in either of them is read. Disks of different
sizes are identical if the rest of the larger one is zero.

Exit code 0: identical. 1: they differ. Anything else: they could not be compared.`,
		)
		.argument("<first>", "disk image, or what holds one")
		.argument("<second>", "the other one")
		.option("--strict", "disks of different sizes differ");
	const [format, second] = [options.format(), options.format()];
	const format2 = new Option("--format2 <format>", "the same for the second disk").choices(second.argChoices ?? []);
	const system2 = new Option("--system2 <id>", "which machine of the second one");
	format.description = "read the first disk as this format instead of recognising it";
	return withOptions(command, options.json(), options.progress(), format, format2, ...imageOptions(), system2).action(
		run,
	);
}

async function run(first: string, second: string, given: CompareOptions): Promise<void> {
	const [{ compareDisks }, { openNamedDisk }, { progress }, { exitCodes }] = await Promise.all([
		import("../../disk/compare.js"),
		import("../../open-disk.js"),
		import("../progress.js"),
		import("../exit-codes.js"),
	]);
	const { format, system, format2, system2, allowExternal, spoolLimit } = given;
	await using one = await openNamedDisk(first, { format, system, allowExternal, spoolLimit });
	await using other = await openNamedDisk(second, { format: format2, system: system2, allowExternal, spoolLimit });
	const sizes = [one.disk.size, other.disk.size] as const;
	const bar = progress(given.progress);
	bar.start("comparing", Math.max(...sizes));
	const { identical, sameSize, firstDifference, compared } = await compareDisks(one.disk, other.disk, {
		strict: given.strict === true,
		onProgress: (bytes) => bar.advance(bytes),
	});
	bar.finish();

	if (given.json) {
		const result = { identical, sameSize, firstDifference: firstDifference ?? null, sizes, compared };
		stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
	} else {
		const paint = painter(wantsColour(stdout));
		const difference = `first at byte ${firstDifference} (0x${firstDifference?.toString(16)})`;
		const verdict = identical
			? `${paint("green", "Identical.")}${sameSize ? "" : " What only the larger one has is zero."}`
			: given.strict && !sameSize
				? paint("red", "Different in size.")
				: `${paint("red", "Different")}, ${difference}.`;
		const note = sameSize ? "" : ` Sizes: ${sizes.map(exactBytes).join(" and ")}.`;
		stdout.write(`${verdict}${note}\n`);
	}
	if (!identical) process.exitCode = exitCodes.differ;
}
