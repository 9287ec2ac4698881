import { stat } from "node:fs/promises";
import path from "node:path";
import { AnyvisorError, refused } from "../../bytes/errors.js";
import type { Disk, DiskFormat, WriteOptions } from "../../disk/disk.js";
import { diskFormat, diskFormats } from "../../disk/registry.js";
import { resized } from "../../disk/resize.js";
import { variantOf } from "../../disk/variant.js";
import { type NamedDisk, openNamedDisk } from "../../open-disk.js";
import { now } from "../../source/now.js";
import { integrityCheck } from "../integrity.js";
import { removeOutputsWhenInterrupted } from "../interrupt.js";
import { progress } from "../progress.js";
import { stderr, stdout } from "../standard-streams.js";
import { exactBytes, humanBytes, humanSeconds, type Paint, painter, table, wantsColour } from "../terminal.js";
import type { ConvertOptions } from "./convert.js";
import { formatFacts, type Tuning, writtenFormats } from "./formats.js";
import { openOutput } from "./output.js";

/** `disk convert` */
export async function convert(input: string, output: string, given: ConvertOptions): Promise<void> {
	const format = formatToWrite(output, given.to);
	const variant = chosenVariant(format, given);

	removeOutputsWhenInterrupted();
	await using named = await openNamedDisk(input, { ...given, integrity: integrityCheck(given, !given.dryRun) });
	const disk = given.resize === undefined ? named.disk : grown(named.disk, given.resize);
	// What else was said, as which snapshot and which format, is about the input.
	const { allowExternal, spoolLimit } = given;
	await using backing =
		given.backing === undefined ? undefined : await openNamedDisk(given.backing, { allowExternal, spoolLimit });
	const told = { input, from: disk.format, output, to: format.id, variant, virtualSize: disk.size };
	if (given.dryRun) {
		const plan = { ...told, data: await dataOf(disk) };
		stdout.write(given.json ? json(plan) : planText(plan, painter(wantsColour(stdout))));
		return;
	}
	await using sink = await openOutput(output, {
		format: `${format.id}/${variant}`,
		overwrite: given.force === true,
		sync: given.sync,
		inputs: [...named.origin.opened, ...(backing?.origin.opened ?? [])],
	});
	const bar = progress(given.progress);
	const began = now();
	bar.start(`${disk.format} to ${format.id}`, disk.size);
	const { size } = await format.write(disk, sink, {
		...writeOptions(given, variant),
		...(backing && { backing: await referenceTo(backing, output, given) }),
		...(sink.sibling && { siblings: sink.sibling }),
		onProgress: (bytes) => bar.advance(bytes),
	});
	await sink.commit(size);
	bar.finish();
	const seconds = Math.round(now() - began) / 1000;
	const { shared } = sink.tally;
	const files = await Promise.all(
		sink.tally.files.map(async ({ name, size }) => ({ name, size, allocated: await allocatedBy(name) })),
	);
	const result = { ...told, size: files.reduce((sum, file) => sum + file.size, 0), files, shared, seconds };
	// Standard output may be the disk.
	if (given.json) (output === "-" ? stderr : stdout).write(json(result));
	else if (given.progress !== "json") stderr.write(resultText(result, painter(wantsColour(stderr))));
}

interface Told {
	readonly input: string;
	readonly from: string;
	readonly output: string;
	readonly to: string;
	readonly variant: string;
	readonly virtualSize: number;
}

const json = (document: unknown) => `${JSON.stringify(document, undefined, 2)}\n`;

function planText({ data, ...told }: Told & { readonly data: number }, paint: Paint): string {
	const rows = [
		["from", `${told.input}, ${told.from}`],
		["to", `${told.output}, ${told.to}/${told.variant}`],
		["virtual size", exactBytes(told.virtualSize)],
		["data", `at most ${humanBytes(data)}`],
	];
	return table(
		rows.map(([label = "", text = ""]) => [{ text: label, style: "dim" }, { text }]),
		paint,
		200,
	);
}

interface Result extends Told {
	/** Of all files. */
	readonly size: number;
	readonly files: readonly { readonly name: string; readonly size: number; readonly allocated: number | null }[];
	/** Of `files`, bytes that share their blocks with the source. */
	readonly shared: number;
	readonly seconds: number;
}

function resultText({ output, to, variant, virtualSize, files, shared, seconds }: Result, paint: Paint): string {
	const name = output === "-" ? "standard output" : output;
	const taken = files.reduce((sum, { allocated, size }) => sum + (allocated ?? size), 0);
	const facts = [
		`${to}/${variant}`,
		`${humanBytes(taken)} for a disk of ${humanBytes(virtualSize)}`,
		...(files.length > 1 ? [`${files.length} files`] : []),
		...(shared === 0 ? [] : [`${humanBytes(shared)} shared with the source`]),
		seconds < 1 ? `${Math.round(seconds * 1000)} ms` : seconds < 60 ? `${seconds.toFixed(1)} s` : humanSeconds(seconds),
	];
	return `${paint("green", "✔")} ${paint("bold", name)}  ${facts.join(", ")}\n`;
}

type Writer = DiskFormat & Required<Pick<DiskFormat, "write">>;

const writes = (format: DiskFormat | undefined): format is Writer => format?.write !== undefined;

function formatToWrite(output: string, to: string | undefined): Writer {
	const suffix = /\.[^./\\]*$/.exec(output)?.[0].toLowerCase() ?? "";
	const format = to === undefined ? diskFormats.find(({ extensions }) => extensions.includes(suffix)) : diskFormat(to);
	if (writes(format)) return format;
	const what = output === "-" ? "Standard output has no suffix that" : `The suffix of ${output}`;
	throw new AnyvisorError("usage", `${what} names no disk format that can be written`, {
		hint: `Add --to ${diskFormats.flatMap((known) => (writes(known) ? [known.id] : [])).join(" | ")}.`,
	});
}

/**
 * The variant to write: that which compresses where it is said how to.
 *
 * @throws `usage` for options that the format or the variant does not have
 */
function chosenVariant({ id, variants }: Writer, given: ConvertOptions): string {
	const [first, ...others] = variants;
	const facts = formatFacts[id];
	if (first === undefined || facts === undefined) throw new Error(`${id} writes no variant that is known here`);
	const asked = tunings.filter(([name]) => given[name] !== undefined);
	for (const [name, option] of asked) {
		if (facts.takes.includes(name)) continue;
		const able = writtenFormats.filter((other) => formatFacts[other]?.takes.includes(name));
		throw new AnyvisorError("usage", `${id} has no ${option}`, {
			hint: `Leave it out, or write ${able.join(" or ")} (--to).`,
		});
	}
	const compressing = asked.find(([, , compresses]) => compresses);
	const wanted = given.variant ?? (compressing && facts.compressed);
	const variant = variantOf(id, wanted === undefined ? {} : { variant: wanted }, [first, ...others]);
	if (compressing !== undefined && variant !== facts.compressed) {
		throw new AnyvisorError("usage", `${id}/${variant} is not compressed, so it has no ${compressing[1]}`, {
			hint: `Leave it out, or choose --variant ${facts.compressed}.`,
		});
	}
	return variant;
}

/** Each with its name on the command line, and whether it says how to compress. */
const tunings = [
	["unitSize", "--unit-size", false],
	["compression", "--compression", true],
	["level", "--level", true],
	["preallocation", "--preallocation", false],
	["sectorSize", "--sector-size", false],
	["backing", "--backing", false],
] as const satisfies readonly (readonly [Tuning, string, boolean])[];

function grown(disk: Disk, { bytes, added }: NonNullable<ConvertOptions["resize"]>): Disk {
	return resized(disk, added ? disk.size + bytes : bytes);
}

function writeOptions(given: ConvertOptions, variant: string): WriteOptions {
	const { unitSize, compression, level, preallocation, sectorSize } = given;
	return {
		variant,
		...(unitSize !== undefined && { unitSize }),
		...(compression !== undefined && { compression }),
		...(level !== undefined && { level }),
		...(preallocation !== undefined && { preallocation }),
		...(sectorSize !== undefined && { sectorSize }),
	};
}

/** How the output refers to its backing file: relative to its own folder, which it may leave only by permission. */
async function referenceTo({ disk, origin }: NamedDisk, output: string, { allowExternal }: ConvertOptions) {
	const file = path.resolve(origin.source.name);
	if ((await allocatedBy(file)) === null) {
		throw refused(`${origin.source.name} is no file that an image could refer to`, {
			file: origin.source.name,
			hint: "Unpack it, or copy it to this computer, and name it there.",
		});
	}
	const name = path.relative(path.dirname(path.resolve(output)), file).replaceAll(path.sep, "/");
	const outside = name.startsWith("../") || path.isAbsolute(name);
	if (outside && !allowExternal.some((each) => path.resolve(each) === file)) {
		throw refused(`${origin.source.name} lies outside of the folder of ${output}, which would refer to it`, {
			file: origin.source.name,
			hint: `Put both into one folder, or add --allow-external ${origin.source.name}`,
		});
	}
	return { name, format: disk.format.replace(/\/.*/, ""), disk };
}

/** What a file takes up where it lies, in bytes; null for what is no file of this computer. */
const allocatedBy = (name: string) =>
	stat(name).then(
		(found) => found.blocks * 512,
		() => null,
	);

async function dataOf(disk: Disk): Promise<number> {
	let data = 0;
	for await (const { length, kind } of disk.extents()) if (kind === "data") data += length;
	return data;
}
