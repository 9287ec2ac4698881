import { Command, Option } from "commander";
import { type ImageOptions, imageOptions, options, withOptions } from "../options.js";
import type { ProgressMode } from "../progress.js";

export interface FacesOptions extends ImageOptions {
	readonly output?: string;
	readonly inPlace?: true;
	readonly undo?: true;
	readonly snapshot?: string;
	readonly dryRun?: true;
	readonly force?: true;
	readonly json?: true;
	readonly format?: string;
	readonly progress: ProgressMode;
}

export function facesCommand(): Command {
	const command = new Command("faces")
		.summary("make one file that every hypervisor attaches as it lies there")
		.description(
			`Makes a file that is a raw disk, a fixed VHD and the extent of a VMDK at once: the disk's bytes, filled up to whole
MiB as Azure demands, then VHD's footer of 512 bytes; and beside it a small VMDK descriptor that names it. Whatever is
written through one of these faces is there in the others. Use one at a time.

The copy shares its blocks with a raw input where the file system can (XFS, Btrfs). With --in-place there is no copy:
only the end of the raw file changes, and --undo changes it back. Shut the VM down first.`,
		)
		.argument("<image>", "disk image of any format, or what holds one; with --in-place a raw disk")
		.option("-o, --output <file>", "file to write, ending in .vhd; beside the image where left out")
		.addOption(new Option("--in-place", "add the faces to the raw disk itself").conflicts(["output", "snapshot"]))
		.addOption(new Option("--undo", "take away what --in-place has added").conflicts(["output", "snapshot"]))
		.addOption(options.snapshot())
		.addOption(new Option("-n, --dry-run", "print what would be written, and write nothing"));
	return withOptions(
		command,
		options.force(),
		options.json(),
		options.progress(),
		options.format(),
		...imageOptions(),
	).action(async (image: string, given: FacesOptions) => {
		const { addFaces, copyWithFaces, takeFacesAway } = await import("./make-faces.js");
		const act = given.undo ? takeFacesAway : given.inPlace ? addFaces : copyWithFaces;
		await act(image, given);
	});
}
