import { Command, InvalidArgumentError, Option } from "commander";
import { type ImageOptions, imageOptions, options, withOptions } from "../options.js";
import type { ProgressMode } from "../progress.js";
import { variantLines, writtenFormats } from "./formats.js";
import { type NewSize, parseNewSize, parseSize } from "./size.js";

export interface ConvertOptions extends ImageOptions {
	readonly to?: string;
	readonly variant?: string;
	readonly unitSize?: number;
	readonly compression?: "zlib" | "zstd";
	readonly level?: number;
	readonly fast?: true;
	readonly preallocation?: "metadata" | "full";
	readonly sectorSize?: 512 | 4096;
	readonly backing?: string;
	readonly flatten?: true;
	readonly snapshot?: string;
	readonly resize?: NewSize;
	readonly dryRun?: true;
	readonly sync: boolean;
	readonly force?: true;
	readonly json?: true;
	readonly format?: string;
	readonly verify?: boolean;
	readonly progress: ProgressMode;
}

export function convertCommand(): Command {
	const command = new Command("convert")
		.summary("copy a disk into another format")
		.description(
			`Writes what a disk holds in another format, byte for byte and sparse; the guest is not looked at. The format is
taken from the output's suffix (${writtenFormats.map((id) => `.${id}`).join(" ")} .img) or from --to. What the image refers to
becomes part of the output, which stands alone.

Variants, the usual one first:
${variantLines}`,
		)
		.argument("<in>", "disk image, or what holds one; - is standard input")
		.argument("<out>", "file to write; - is standard output, for formats that can be written in one pass")
		.addOption(new Option("--to <format>", "format to write, whatever the suffix").choices(writtenFormats))
		.option("--variant <variant>", "variant of the format, see above")
		.option("--unit-size <size>", "of a cluster, grain or block, such as 64K", parseSize)
		.addOption(new Option("--compression <method>", "of compressed qcow2").choices(["zlib", "zstd"]))
		.addOption(options.level().conflicts("fast"))
		.option("--fast", "compress fast: level 1")
		.addOption(new Option("--preallocation <what>", "what has its place from the start").choices(["metadata", "full"]))
		.addOption(new Option("--sector-size <bytes>", "logical sector size to write").argParser(parseSectorSize))
		.addOption(new Option("--flatten", "write all data into the output; this is the default").conflicts("backing"))
		.option("--backing <file>", "write a qcow2 with only what differs from this disk, and refer to it")
		.addOption(options.snapshot())
		.option("--resize <size>", "grow the disk: 10G, or +2G for so much more", parseNewSize)
		.option("--no-sync", "do not wait until the output is on the disk: faster, and lost if the power fails now")
		.addOption(new Option("-n, --dry-run", "print what would be written, and write nothing"));
	return withOptions(
		command,
		options.force(),
		options.json(),
		options.progress(),
		options.format(),
		options.verify(),
		options.noVerify(),
		...imageOptions(),
	).action(async (input: string, output: string, given: ConvertOptions) => {
		const { convert } = await import("./converting.js");
		await convert(input, output, given.fast === true ? { ...given, level: 1 } : given);
	});
}

function parseSectorSize(text: string): 512 | 4096 {
	if (text === "512") return 512;
	if (text === "4096" || text.toUpperCase() === "4K") return 4096;
	throw new InvalidArgumentError("It is 512 or 4096.");
}
