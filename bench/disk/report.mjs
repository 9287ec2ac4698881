// What was measured, for people.
import { statfsSync } from "node:fs";
import os from "node:os";
import { measuresMemory, run } from "./measure.mjs";

const seconds = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`);
const mebibytes = (bytes) => `${Math.round(bytes / 2 ** 20)} MiB`;
const times = (ratio) => `${ratio.toFixed(ratio < 20 ? 2 : 0)}×`;

/** What is asked of a row: each with its words and whether the measurements keep to it. */
const targets = {
	ratio: (least, { ours, peer }) => ({ text: `≥ ${least}×`, reached: peer.ms / ours.ms >= least }),
	size: (most, { ours, peer }) => ({ text: `size ≤ ${most}×`, reached: ours.size <= most * peer.size }),
	below: (most, { ours }) => ({ text: `< ${most} ms`, reached: ours.ms < most }),
	memory: (most, { ours }) => ({
		text: `< ${mebibytes(most)}`,
		reached: measuresMemory ? ours.memory < most : undefined,
	}),
	grows: (most, { ours, than }) => ({ text: `≤ ${most}× of 4 GiB`, reached: ours.ms <= most * than.ms }),
};

/** @param row `{name, ours, peer?, flushed?, target?}` or `{name, skipped}` or `{name, failed}` */
export function judged(row) {
	if (row.failed !== undefined) return { ...row, reached: false };
	if (row.ours === undefined) return row;
	const verdicts = Object.entries(row.target ?? {}).map(([kind, value]) => targets[kind](value, row));
	const unknown = verdicts.some(({ reached }) => reached === undefined);
	return {
		...row,
		wanted: verdicts.map(({ text }) => text).join(", "),
		reached: verdicts.length === 0 || unknown ? undefined : verdicts.every(({ reached }) => reached),
	};
}

/** The cells of a row that has been judged, in the order of {@link columns}. */
function cells({ name, ours, peer, flushed, than, wanted, reached, skipped, failed }) {
	if (failed !== undefined)
		return [name, "**failed**", "", "", "", "no", "", "", "", failed.replace(/[\s|]+/g, " ").slice(0, 160)];
	if (skipped !== undefined) return [name, "skipped", "", "", "", "", "", "", "", skipped];
	const base = peer ?? than;
	const other = (value, write) => (value === undefined ? "" : write(value));
	return [
		name,
		seconds(ours.ms),
		other(base?.ms, seconds),
		other(base?.ms, (ms) => times(ms / ours.ms)),
		wanted,
		reached === undefined ? "" : reached ? "yes" : "**no**",
		other(flushed?.ms, seconds),
		other(flushed?.ms, (ms) => times(ms / ours.ms)),
		ours.size === undefined
			? ""
			: [
					mebibytes(ours.size),
					other(peer?.size, (size) => `/ ${mebibytes(size)} (${(ours.size / size).toFixed(3)})`),
				].join(" "),
		ours.memory === undefined
			? ""
			: [mebibytes(ours.memory), other(base?.memory, (memory) => `/ ${mebibytes(memory)}`)].join(" "),
	];
}

const columns = (beside) => [
	"",
	"Anyvisor",
	beside,
	"ratio",
	"target",
	"reached",
	"peer, flushed",
	"ratio",
	"on disk, ours / peer",
	"memory, ours / peer",
];

const line = (values) => `| ${values.join(" | ")} |`;

/** One line for a terminal. */
export function brief(row) {
	const [name, ...rest] = cells(row);
	const processor = row.ours?.processor === undefined ? "" : `  (processor ${seconds(row.ours.processor)})`;
	return `${name.padEnd(44)} ${rest
		.map((text) => text.padEnd(9))
		.join(" ")
		.trimEnd()}${processor}`;
}

/** The whole of RESULTS.md. */
export function markdown(groups, circumstances) {
	const rows = groups.flatMap(({ rows }) => rows);
	const withTarget = rows.filter(({ reached }) => reached !== undefined);
	const largest = rows
		.filter(({ ours }) => ours?.memory !== undefined)
		.sort((a, b) => b.ours.memory - a.ours.memory)[0];
	const missed = withTarget.filter(({ reached }) => !reached);
	const failed = rows.filter(({ failed }) => failed !== undefined);
	const summary = [
		`${withTarget.length - missed.length} of ${withTarget.length} targets reached.`,
		...(failed.length > 0 ? [`Rows that failed: ${failed.length}.`] : []),
		...(largest ? [`Highest peak memory of all rows: ${mebibytes(largest.ours.memory)} (${largest.name}).`] : []),
	].join(" ");
	return `${[
		"# The disk engine beside qemu-img",
		"Written by `npm run bench:disk`; do not edit. " + summary,
		circumstances.map(([what, value]) => `- ${what}: ${value}`).join("\n"),
		method,
		...groups.flatMap(({ title, about, beside, rows }) => [
			`## ${title}`,
			...(about ? [about] : []),
			[line(columns(beside)), line(columns(beside).map(() => "---")), ...rows.map((row) => line(cells(row)))].join(
				"\n",
			),
		]),
	].join("\n\n")}\n`;
}

const method = `How it is measured:

- Every figure is the median of whole processes, from start to exit, on the same input; the contenders take turns, and who begins changes from round to round. Between runs outputs are deleted and file systems synced; caches are left as they are.
- **ratio** is peer / Anyvisor: above 1, Anyvisor is faster. Targets are held against the first ratio, where qemu-img runs with its defaults and so leaves its output to the page cache (\`-t unsafe\`), while Anyvisor has always synced its own before it gives it its name. The second ratio is against \`qemu-img convert -t writeback\`, which flushes at the end too.
- "on disk" is what the output occupies (holes do not count). "memory" is the peak resident set of the process, ${
	measuresMemory ? "by GNU time (ru_maxrss of wait4(2))" : "not measured here: GNU time is missing"
}.
- Each output was found equal to its input by \`qemu-img compare\`, once per row and outside of the timing; outputs of 64 TiB by \`qemu-img check\` and by reading every piece of data with qemu-io.`;

/** The machine and what runs on it. */
export async function circumstances({ folder, rounds }) {
	const processors = os.cpus();
	const first = async (command, ...args) => (await run(command, args)).split("\n")[0].trim();
	const { codecReport } = await import("../../dist/bytes/index.js");
	const codecs = (await codecReport()).filter(({ codec }) => codec === "deflate" || codec === "zstd");
	const dirty = (await run("git", ["status", "--porcelain", "--", "src"])) === "" ? "" : ", with changes";
	return [
		["date", new Date().toISOString().slice(0, 16).replace("T", " ")],
		["Anyvisor", `${await first("git", "rev-parse", "--short", "HEAD")}${dirty}`],
		["machine", `${processors.length} × ${processors[0]?.model.trim()}, ${mebibytes(os.totalmem())}`],
		[
			"system",
			`${os.type()} ${os.release()} ${os.arch()}, outputs on ${await fileSystem(folder)} with ${mebibytes(free(folder))} free`,
		],
		[
			"load average at the start",
			os
				.loadavg()
				.map((load) => load.toFixed(2))
				.join(" "),
		],
		["Node", process.version],
		["peer", await first("qemu-img", "--version")],
		["codecs", codecs.map(({ codec, implementation }) => `${codec}: ${implementation}`).join("; ")],
		["rounds", String(rounds)],
	];
}

const fileSystem = async (folder) => (await run("df", ["--output=fstype", folder])).trim().split("\n").at(-1);

export function free(folder) {
	const { bavail, bsize } = statfsSync(folder);
	return bavail * bsize;
}
