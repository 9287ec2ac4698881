import { Command } from "commander";
import type { CheckSummary } from "../../disk/check.js";
import type { Finding } from "../../disk/disk.js";
import { type ImageOptions, imageOptions, options, withOptions } from "../options.js";
import type { ProgressMode } from "../progress.js";
import { stdout } from "../standard-streams.js";
import { humanBytes, type Paint, painter, wantsColour } from "../terminal.js";

interface CheckOptions extends ImageOptions {
	readonly read?: true;
	readonly json?: true;
	readonly format?: string;
	readonly progress: ProgressMode;
}

export function checkCommand(): Command {
	const command = new Command("check")
		.summary("look for what is wrong with an image")
		.description(
			`Looks for data that overlaps or leaves its file, and for what the format's own structures have wrong; changes nothing.

  error    data is lost or at risk
  leak     space is wasted
  warning  unusual; nothing is lost

Exit code 0: neither errors nor leaks. 10: errors. 11: leaks only. Anything else: it could not be checked.`,
		)
		.argument("<image>", "disk image, or what holds one")
		.option("--read", "also read all data, which decompresses everything");
	return withOptions(command, options.json(), options.progress(), options.format(), ...imageOptions()).action(run);
}

async function run(name: string, given: CheckOptions): Promise<void> {
	const [{ checkImage }, { confinedNeighbours }, { openNamedImage }, { progress }, { exitCodes }] = await Promise.all([
		import("../../disk/check.js"),
		import("../../disk/neighbours.js"),
		import("../../open-disk.js"),
		import("../progress.js"),
		import("../exit-codes.js"),
	]);
	await using origin = await openNamedImage(name, given);
	const paint = painter(wantsColour(stdout));
	const findings: Finding[] = [];
	const bar = progress(given.progress);
	const summary = await checkImage(origin.source, {
		format: given.format ?? origin.format,
		neighbours: confinedNeighbours(origin.neighbour),
		read: given.read === true,
		onFinding(finding) {
			if (findings.length < MOST_LISTED) findings.push(finding);
			if (!given.json) stdout.write(findingText(finding, paint));
		},
		onReading: (size) => bar.start("reading", size),
		onProgress: (bytes) => bar.advance(bytes),
	});
	if (given.read && summary.size !== null) bar.finish();
	const { error, leak } = summary.findings;
	if (given.json) {
		const { findings: counts, ...facts } = summary;
		const document = { file: origin.source.name, ...facts, counts, findings };
		stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
	} else stdout.write(summaryText(summary, given.read === true, paint));
	if (error > 0) process.exitCode = exitCodes["check-errors"];
	else if (leak > 0) process.exitCode = exitCodes["check-leaks"];
}

/** In the JSON document, which is made in memory; the counts count all. */
const MOST_LISTED = 10_000;

const styles = { error: "red", leak: "yellow", warning: "yellow" } as const;

function findingText({ severity, message, file, offset }: Finding, paint: Paint): string {
	const where = [...(message.includes(file) ? [] : [file]), ...(offset === undefined ? [] : [`byte ${offset}`])];
	const place = where.length === 0 ? "" : `  ${paint("dim", where.join(", "))}`;
	return `${paint(styles[severity], severity.padEnd(8))} ${message}${place}\n`;
}

function summaryText(
	{ size, format, data, compressed, runs, findings }: CheckSummary,
	read: boolean,
	paint: Paint,
): string {
	const { error, leak, warning } = findings;
	const counts = [counted(error, "error"), counted(leak, "leak"), counted(warning, "warning")].join(", ");
	const verdict =
		error > 0
			? paint("red", counts)
			: leak + warning > 0
				? paint("yellow", counts)
				: paint("green", `No errors${read ? "; all data can be read" : ""}.`);
	if (size === null) return `${verdict}\n`;
	const share = size === 0 ? 0 : (data / size) * 100;
	const packed = compressed === 0 ? "" : `, ${percent(compressed / Math.max(1, data))} of it compressed`;
	const kept = `${humanBytes(data)} of ${humanBytes(size)} kept (${share.toFixed(1)} %)${packed}`;
	return `${verdict}\n${format}: ${kept}, in ${counted(runs, "run")}.\n`;
}

const percent = (share: number) => `${(share * 100).toFixed(1)} %`;

const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`;
