import { Command } from "commander";
import type { MapEntry } from "../../disk/map.js";
import { type ImageOptions, imageOptions, options, withOptions } from "../options.js";
import { stdout } from "../standard-streams.js";
import { humanBytes, type Paint, painter, wantsColour } from "../terminal.js";

interface MapOptions extends ImageOptions {
	readonly json?: true;
	readonly format?: string;
	readonly snapshot?: string;
}

export function mapCommand(): Command {
	const command = new Command("map")
		.summary("list where each part of a disk is kept")
		.description(
			`Lists the runs of a disk in order: what is data and what reads as zero, and in which file, at which offset, data is
kept. With --json, an array of {start, length, kind, file, offset, compressed}.`,
		)
		.argument("<image>", "disk image, or what holds one");
	return withOptions(command, options.json(), options.snapshot(), options.format(), ...imageOptions()).action(run);
}

async function run(name: string, given: MapOptions): Promise<void> {
	const [{ mapDisk }, { openNamedDisk }, { writeAll }] = await Promise.all([
		import("../../disk/map.js"),
		import("../../open-disk.js"),
		import("./write-all.js"),
	]);
	await using named = await openNamedDisk(name, given);
	const entries = mapDisk(named.disk);
	const paint = painter(wantsColour(stdout));
	await writeAll(stdout.stream, given.json ? jsonLines(entries) : textLines(entries, named.disk.size, paint));
}

/** A JSON array with an entry a line. */
async function* jsonLines(entries: AsyncIterable<MapEntry>): AsyncGenerator<string> {
	let before = "[";
	for await (const entry of entries) {
		yield `${before}\n${JSON.stringify(entry)}`;
		before = ",";
	}
	yield before === "[" ? "[]\n" : "\n]\n";
}

/** Columns as wide as the disk's size needs them: the lines are written as they come. */
async function* textLines(entries: AsyncIterable<MapEntry>, size: number, paint: Paint): AsyncGenerator<string> {
	const digits = Math.max(8, size.toString(16).length);
	const hex = (value: number) => `0x${value.toString(16).padStart(digits, "0")}`;
	const wide = digits + 4;
	const head = ["start".padEnd(wide), "length".padStart(9), "  kind        ", "offset".padEnd(wide), "file"];
	yield `${paint("bold", head.join(""))}\n`;
	for await (const { start, length, kind, file, offset, compressed } of entries) {
		const what = compressed ? "compressed" : kind;
		const line = `${hex(start).padEnd(wide)}${humanBytes(length).padStart(9)}  ${what.padEnd(12)}`;
		if (kind === "zero") yield `${paint("dim", line.trimEnd())}\n`;
		else yield `${line}${(offset === null ? "-" : hex(offset)).padEnd(wide)}${file ?? "-"}\n`;
	}
}
