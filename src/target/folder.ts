import { unsupported } from "../bytes/errors.js";
import type { ByteSink, OutputFolder } from "../bytes/sink.js";
import { diskFormat } from "../disk/registry.js";
import { resized } from "../disk/resize.js";
import type { Machine } from "../machine/machine.js";
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
	/** Bytes that the size of a disk has to be a multiple of: zeros are added at its end. */
	readonly multiple?: number;
	/** Fewest bytes of a disk, a multiple of {@link multiple}. */
	readonly least?: number;
}

/** The size of a disk in a file of that kind. */
export const sizeIn = ({ multiple = 1, least = 0 }: DiskKind, size: number): number =>
	Math.max(least, Math.ceil(size / multiple) * multiple);

/** Progress of `size` bytes and no more, for who writes a disk that was made larger. */
export function progressOf(size: number, { onProgress }: LayoutOptions): (bytes: number) => void {
	let left = size;
	return (bytes) => {
		const told = Math.min(bytes, left);
		left -= told;
		if (told > 0) onProgress?.(told);
	};
}

/** Writes the appliance's disks into the folder, one after the other, named by `nameOf`. */
export async function writeDisks(
	{ disks }: Appliance,
	folder: OutputFolder,
	kind: DiskKind,
	nameOf: (index: number) => string,
	options: LayoutOptions,
): Promise<void> {
	const { format, variant } = kind;
	const writer = diskFormat(format);
	const write = writer.write?.bind(writer);
	if (write === undefined) throw unsupported(`disks of format ${format} cannot be written`);
	for (const [index, disk] of disks.entries()) {
		await writeFile(folder, nameOf(index), async (sink) => {
			const whole = sizeIn(kind, disk.size) === disk.size ? disk : resized(disk, sizeIn(kind, disk.size));
			const watching = { ...options, onProgress: progressOf(disk.size, options) };
			const { size } = await write(whole, sink, variant === undefined ? watching : { ...watching, variant });
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

/** For platforms where processors and memory are chosen by a name. */
export const sizeToChoose = ({ cpus, memory }: Machine, what: string): string =>
	`The machine had ${cpus} processor(s) and ${Math.round(memory / 2 ** 20)} MiB of memory: choose ${what} of about that size.`;
