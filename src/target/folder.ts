import { unsupported } from "../bytes/errors.js";
import type { ByteSink, OutputFolder } from "../bytes/sink.js";
import { diskFormat } from "../disk/registry.js";
import type { Appliance, LayoutOptions } from "./target.js";

/** Writes one file of the folder; `fill` returns its length in bytes. */
export async function writeFile(
	folder: OutputFolder,
	name: string,
	fill: (sink: ByteSink) => Promise<number>,
): Promise<void> {
	await using sink = await folder.file(name);
	await sink.commit(await fill(sink));
}

/** Writes one text file of the folder, in UTF-8. */
export function writeText(folder: OutputFolder, name: string, text: string): Promise<void> {
	return writeFile(folder, name, async (sink) => {
		const bytes = new TextEncoder().encode(text);
		await sink.write(0, bytes);
		return bytes.length;
	});
}

/** A kind of disk file: {@link DiskFormat.id} and variant. */
export interface DiskKind {
	readonly format: string;
	readonly variant?: string;
}

/** Writes the appliance's disks into the folder, one after the other, named by `nameOf`. */
export async function writeDisks(
	{ disks }: Appliance,
	folder: OutputFolder,
	{ format, variant }: DiskKind,
	nameOf: (index: number) => string,
	options: LayoutOptions,
): Promise<void> {
	const writer = diskFormat(format);
	const write = writer.write?.bind(writer);
	if (write === undefined) throw unsupported(`disks of format ${format} cannot be written`);
	for (const [index, disk] of disks.entries()) {
		await writeFile(folder, nameOf(index), async (sink) => {
			const { size } = await write(disk, sink, variant === undefined ? options : { ...options, variant });
			return size;
		});
	}
}

/** What a person must know to import a folder. */
export interface ImportNote {
	/** The one command to type in the folder, and its language; absent where the platform has none. */
	readonly command?: { readonly shell: "sh" | "powershell"; readonly line: string };
	/** Sentences, a paragraph each. */
	readonly remarks: readonly string[];
}

/** Writes IMPORT.md: the command first, then what else is worth knowing. */
export function writeImportNote(
	{ machine, hypervisor }: Appliance,
	folder: OutputFolder,
	{ command, remarks }: ImportNote,
	lost: readonly string[],
): Promise<void> {
	const paragraphs = [
		`# ${heading(machine.name)} for ${hypervisor.title}`,
		...(command === undefined ? [] : ["Type in this folder:", `\`\`\`${command.shell}\n${command.line}\n\`\`\``]),
		...remarks,
		...(lost.length === 0
			? []
			: ["Not carried over from the original machine:", lost.map((line) => `- ${line}`).join("\n")]),
	];
	return writeText(folder, "IMPORT.md", `${paragraphs.join("\n\n")}\n`);
}

/** A name as one line of Markdown text. */
const heading = (name: string) => name.replaceAll(/\s+/g, " ").replaceAll(/[\\`*_[\]<>#]/g, (char) => `\\${char}`);
