import { link, readFile, realpath, rm, stat } from "node:fs/promises";
import path from "node:path";
import { AnyvisorError, refused } from "../../bytes/errors.js";
import { describesOnly, facesInPlace, facesSize, sizeInside, sizeWithoutFaces, writeFaces } from "../../disk/faces.js";
import { recognise } from "../../disk/registry.js";
import { DESCRIPTOR_LIMIT } from "../../disk/vmdk/descriptor.js";
import { openNamedDisk } from "../../open-disk.js";
import { type LocalFile, openFile } from "../../source/file.js";
import { setEnd } from "../../source/in-place.js";
import { fileSink } from "../../source/sink.js";
import { removeOutputsWhenInterrupted } from "../interrupt.js";
import { progress } from "../progress.js";
import { stdout } from "../standard-streams.js";
import { exactBytes, type Paint, painter, table, wantsColour, wrap } from "../terminal.js";
import { attachings, WHOLE_FILE_NOTE } from "./attaching.js";
import type { FacesOptions } from "./faces.js";
import { openOutput } from "./output.js";

/** What was done, or would be. */
interface Outcome {
	readonly input: string;
	readonly action: "copy" | "add" | "undo";
	readonly dryRun: boolean;
	/** The file with the disk. */
	readonly file: string;
	/** Its other name, which ends in .vhd; null where it needs none, or cannot have one. */
	readonly link: string | null;
	/** Null where none is removed. */
	readonly descriptor: string | null;
	readonly virtualSize: number;
	/** Of the file, before and after; `before` is null where it is new. */
	readonly size: { readonly before: number | null; readonly after: number };
	/** Bytes of the file that share their blocks with the input. */
	readonly shared: number;
}

/** `disk faces`: writes a new file. */
export async function copyWithFaces(input: string, given: FacesOptions): Promise<void> {
	const output = given.output ?? besideInput(input);
	if (!/\.vhd$/i.test(output)) {
		throw new AnyvisorError("usage", `${output} does not end in .vhd, by which Hyper-V and Azure know a VHD`, {
			hint: "Choose a name that does; every other hypervisor takes any.",
		});
	}
	removeOutputsWhenInterrupted();
	await using named = await openNamedDisk(input, given);
	const { disk } = named;
	const descriptor = descriptorOf(output);
	const virtualSize = facesSize(disk.size);
	const told = { input, action: "copy", file: output, link: null, descriptor, virtualSize } as const;
	const size = { before: null, after: virtualSize + 512 };
	if (given.dryRun) return tell({ ...told, dryRun: true, size, shared: 0 }, given);

	await using sink = await openOutput(output, {
		format: "vhd/fixed",
		overwrite: given.force === true,
		inputs: named.origin.opened,
	});
	const bar = progress(given.progress);
	bar.start(`${disk.format} with faces`, disk.size);
	const written = await writeFaces(disk, sink, await siblingOf(sink, path.basename(descriptor)), {
		onProgress: (bytes) => bar.advance(bytes),
	});
	await sink.commit(written.size);
	bar.finish();
	tell({ ...told, dryRun: false, size: { before: null, after: written.size }, shared: sink.tally.shared }, given);
}

function besideInput(input: string): string {
	if (input === "-" || /^[a-z]+:\/\//i.test(input)) {
		throw new AnyvisorError("usage", `there is no place beside ${input}`, { hint: "Say where: --output disk.vhd" });
	}
	const { dir, name } = path.parse(input);
	return path.join(dir, `${name}.vhd`);
}

const descriptorOf = (file: string) => path.format({ ...path.parse(file), base: "", ext: ".vmdk" });

function siblingOf(sink: Awaited<ReturnType<typeof openOutput>>, name: string) {
	if (sink.sibling === undefined) throw new AnyvisorError("usage", "faces need a file, not a stream");
	return sink.sibling(name);
}

/** `disk faces --in-place` */
export async function addFaces(input: string, given: FacesOptions): Promise<void> {
	const file = await realFile(input);
	await using source = await openFile(file);
	await checkRaw(source, given.format);
	const descriptor = descriptorOf(file);
	const present = await ownDescriptor(descriptor, file);
	const { virtualSize, footer, descriptor: text } = await facesInPlace(source, present);
	const link = otherName(file);
	if (link !== null && !(await areSameFile(file, link))) await checkFree(link);
	const size = { before: source.size, after: virtualSize + 512 };
	const told = { input, action: "add", file, descriptor, virtualSize, size, shared: 0 } as const;
	if (given.dryRun) return tell({ ...told, dryRun: true, link }, given);

	removeOutputsWhenInterrupted();
	await using sink = await fileSink(descriptor, { overwrite: present !== undefined || given.force === true });
	const bytes = new TextEncoder().encode(text);
	await sink.write(0, bytes);
	if (footer !== undefined) await setEnd(file, { was: source.size, at: virtualSize, bytes: footer });
	await sink.commit(bytes.length);
	tell({ ...told, dryRun: false, link: link !== null && (await isLinked(file, link)) ? link : null }, given);
}

/** `disk faces --undo` */
export async function takeFacesAway(input: string, given: FacesOptions): Promise<void> {
	const file = await realFile(input);
	await using source = await openFile(file);
	const beside = descriptorOf(file);
	const present = await ownDescriptor(beside, file);
	const after = await sizeWithoutFaces(source, present);
	const name = otherName(file);
	const link = name !== null && (await areSameFile(file, name)) ? name : null;
	const descriptor = present === undefined ? null : beside;
	const dryRun = given.dryRun === true;
	if (!dryRun) {
		for (const goes of [descriptor, link]) if (goes !== null) await rm(goes);
		await setEnd(file, { was: source.size, at: after, bytes: new Uint8Array() });
	}
	const size = { before: source.size, after };
	tell({ input, action: "undo", dryRun, file, link, descriptor, virtualSize: after, size, shared: 0 }, given);
}

/** Where the file lies, whatever links lead there: its faces belong beside it. */
async function realFile(input: string): Promise<string> {
	await using found = await openFile(input);
	return realpath(found.name);
}

async function checkRaw(source: LocalFile, format: string | undefined): Promise<void> {
	if ((await sizeInside(source)) !== undefined) return;
	const id = format ?? (await recognise(source)).id;
	if (id === "raw") return;
	throw refused(`${source.name} is a ${id} image, and only a raw disk can get faces where it lies`, {
		file: source.name,
		hint: "Leave out --in-place: then a file with faces is written beside it.",
	});
}

/** The name ending in .vhd that a file needs beside its own, for Hyper-V and Azure; null for one that ends so. */
const otherName = (file: string) =>
	/\.vhd$/i.test(file) ? null : path.format({ ...path.parse(file), base: "", ext: ".vhd" });

async function areSameFile(file: string, other: string): Promise<boolean> {
	const found = await stat(other).catch(() => undefined);
	const { dev, ino } = await stat(file);
	return found?.dev === dev && found.ino === ino;
}

async function checkFree(file: string): Promise<void> {
	if ((await stat(file).catch(() => undefined)) === undefined) return;
	throw refused(`${file} exists already, and is another file`, { file, hint: "Move it away, or rename the disk." });
}

/** Gives the file its other name; false where the file system has no hard links. */
async function isLinked(file: string, other: string): Promise<boolean> {
	if (await areSameFile(file, other)) return true;
	return link(file, other).then(
		() => true,
		() => false,
	);
}

/** The text of a descriptor, where it is one of `file` and nothing else. */
async function ownDescriptor(descriptor: string, file: string): Promise<string | undefined> {
	const found = await stat(descriptor).catch(() => undefined);
	if (found === undefined || !found.isFile() || found.size > DESCRIPTOR_LIMIT) return undefined;
	const text = await readFile(descriptor, "utf8");
	return describesOnly(text, file) ? text : undefined;
}

function tell(outcome: Outcome, { json }: FacesOptions): void {
	const ways =
		outcome.action === "undo"
			? []
			: attachings(outcome.link ?? outcome.file, outcome.descriptor ?? "", outcome.virtualSize);
	if (json) {
		stdout.write(`${JSON.stringify({ ...outcome, attach: ways }, undefined, 2)}\n`);
		return;
	}
	const paint = painter(wantsColour(stdout));
	const rows = rowsOf(outcome).map(([label, text]) => [{ text: label, style: "dim" as const }, { text }]);
	stdout.write(`${headline(outcome, paint)}\n${table(rows, paint, WIDTH)}`);
	if (ways.length === 0) return;
	const lines = ways.map(({ hypervisor, how, sees }) => [
		{ text: hypervisor, style: "bold" as const },
		{ text: sees === "file" ? `${how}  (takes the whole file)` : how },
	]);
	stdout.write(`\nIt is attached as it lies there, in one place at a time:\n\n${table(lines, paint, WIDTH)}`);
	stdout.write(`\n${wrap(WHOLE_FILE_NOTE, 100).join("\n")}\n`);
}

/** Commands stay whole, to be copied. */
const WIDTH = 1000;

function headline({ action, dryRun, file }: Outcome, paint: Paint): string {
	const [would, did] = {
		copy: ["would be written", "has its faces"],
		add: ["would get its faces where it lies", "has its faces"],
		undo: ["would be a raw disk again", "is a raw disk again"],
	}[action] as [string, string];
	return dryRun ? `${paint("bold", file)} ${would}` : `${paint("green", "✔")} ${paint("bold", file)} ${did}`;
}

function rowsOf({ action, file, link, descriptor, virtualSize, size, shared }: Outcome): [string, string][] {
	const rows: [string, string][] = [["disk", exactBytes(virtualSize)]];
	if (action === "undo") {
		for (const gone of [descriptor, link]) if (gone !== null) rows.push(["removed", gone]);
		rows.push(["cut off", `the last ${(size.before ?? 0) - size.after} bytes of the file`]);
		return rows;
	}
	const filling = virtualSize - (size.before ?? virtualSize);
	if (action === "add" && size.before === size.after) rows.push(["footer", "is there already"]);
	else if (filling > 0) rows.push(["filled up", `${filling} zeros at the end of the disk, to whole MiB`]);
	if (size.before !== size.after) rows.push(["VHD footer", `512 bytes at byte ${virtualSize}`]);
	if (descriptor !== null) rows.push(["descriptor", descriptor]);
	if (link !== null) rows.push(["same file", `${link}, the name by which Hyper-V and Azure know a VHD`]);
	if (link === null && !/\.vhd$/i.test(file)) rows.push(["for Hyper-V", "name it .vhd: there are no hard links here"]);
	if (shared > 0) rows.push(["shared", `${exactBytes(shared)} with the input`]);
	return rows;
}
