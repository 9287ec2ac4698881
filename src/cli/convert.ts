import { Command, Option } from "commander";
import { options, withOptions } from "./options.js";
import type { ProgressMode } from "./progress.js";

interface ConvertOptions {
	readonly to?: string;
	readonly variant?: string;
	readonly compression?: "zlib" | "zstd";
	readonly force?: true;
	readonly json?: true;
	readonly format?: string;
	readonly level: number;
	readonly progress: ProgressMode;
}

export function convertCommand(): Command {
	const command = new Command("convert")
		.summary("copy a disk into another format")
		.description(
			`Writes what a disk holds in another format, byte for byte and sparse; the guest is not looked at. The format is
taken from the output's suffix (.raw .img .qcow2 .vmdk .vhd .vhdx) or from --to.

Variants: qcow2 plain, compressed; vmdk streamOptimized, monolithicSparse; vhd and vhdx dynamic, fixed.`,
		)
		.argument("<in>", "disk image, or a VM with one disk")
		.argument("<out>", "file to write")
		.option("--to <format>", "format to write, whatever the suffix")
		.option("--variant <variant>", "variant of the format, see above")
		.addOption(new Option("--compression <method>", "of compressed qcow2").choices(["zlib", "zstd"]));
	return withOptions(
		command,
		options.level(),
		options.force(),
		options.json(),
		options.progress(),
		options.format(),
	).action(run);
}

async function run(input: string, output: string, given: ConvertOptions): Promise<void> {
	const [{ AnyvisorError, refused }, disks, source, { openNamed }, { progress }, interrupt] = await Promise.all([
		import("../bytes/errors.js"),
		import("../disk/index.js"),
		import("../source/index.js"),
		import("./vm.js"),
		import("./progress.js"),
		import("./interrupt.js"),
	]);
	const { diskFormat, diskFormats } = disks;
	const suffix = /\.[^./\\]*$/.exec(output)?.[0].toLowerCase() ?? "";
	const format =
		given.to === undefined ? diskFormats.find(({ extensions }) => extensions.includes(suffix)) : diskFormat(given.to);
	if (!format?.write) {
		throw new AnyvisorError("usage", `The suffix of ${output} names no disk format that can be written`, {
			hint: `Add --to ${diskFormats.flatMap((known) => (known.write ? [known.id] : [])).join(" | ")}.`,
		});
	}

	interrupt.removeOutputsWhenInterrupted();
	await using vm = await openNamed(input, given.format);
	const [disk, ...others] = vm.disks;
	if (!disk || others.length > 0) {
		throw refused(`${input} has ${vm.disks.length} disks, and convert writes one`, {
			file: input,
			hint: "Name the disk's own file, or use expand to convert the whole VM.",
		});
	}
	await using sink = await source.fileSink(output, { overwrite: given.force === true });
	const bar = progress(given.progress);
	bar.start(`${disk.format} to ${format.id}`, disk.size);
	const { size } = await format.write(disk, sink, {
		level: given.level,
		...(given.variant !== undefined && { variant: given.variant }),
		...(given.compression !== undefined && { compression: given.compression }),
		onProgress: (bytes) => bar.advance(bytes),
	});
	await sink.commit(size);
	bar.finish();
	if (given.json) {
		const result = { input, from: disk.format, output, to: format.id, virtualSize: disk.size, size };
		process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
	}
}
