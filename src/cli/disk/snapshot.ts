import { Command } from "commander";
import { type ImageOptions, imageOptions, options, withOptions } from "../options.js";
import { stdout } from "../standard-streams.js";
import { painter, wantsColour } from "../terminal.js";

interface ListOptions extends ImageOptions {
	readonly json?: true;
	readonly format?: string;
}

export function snapshotCommand(): Command {
	const command = new Command("snapshot")
		.summary("the snapshots inside of an image")
		.description(
			"Snapshots that an image keeps beside its current state. One of them is read with --snapshot: disk convert --help",
		);
	withOptions(
		command
			.command("list", { isDefault: true })
			.description("one line for each snapshot")
			.argument("<image>", "disk image, or what holds one"),
		options.json(),
		options.format(),
		...imageOptions(),
	).action(list);
	return command;
}

async function list(name: string, given: ListOptions): Promise<void> {
	const [{ notFound, unsupported }, { openNamedImage }, { openWithoutMissing }, text] = await Promise.all([
		import("../../bytes/errors.js"),
		import("../../open-disk.js"),
		import("./chain.js"),
		import("./info-text.js"),
	]);
	await using origin = await openNamedImage(name, given);
	const { source } = origin;
	// The list is in the image itself, whatever else it needs.
	const { format, disk, asked } = await openWithoutMissing(origin, given.format ?? origin.format);
	if (disk === undefined) {
		const { problem } = asked.find((each) => each.problem !== undefined) ?? {};
		throw problem ?? notFound(`${source.name} cannot be opened`, { file: source.name });
	}
	try {
		const { snapshots } = disk;
		if (snapshots === undefined) {
			throw unsupported(`${source.name} is a ${format.id} image, which has no snapshots inside`, {
				file: source.name,
				hint: "A snapshot in a file of its own is a disk image like any other: name that file.",
			});
		}
		if (given.json) stdout.write(`${JSON.stringify(snapshots, undefined, 2)}\n`);
		else if (snapshots.length === 0) stdout.write(`${source.name} has no snapshots inside.\n`);
		else stdout.write(text.snapshotsText(snapshots, painter(wantsColour(stdout))));
	} finally {
		await disk[Symbol.asyncDispose]?.();
	}
}
