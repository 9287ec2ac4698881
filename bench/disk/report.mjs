// What was measured, for people.
import { limits, measuresMemory } from "./measure.mjs";

const seconds = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`);
const mebibytes = (bytes) => `${Math.round(bytes / 2 ** 20)} MiB`;
const times = (ratio) => `${ratio.toFixed(ratio < 20 ? 2 : 0)}×`;

/**
 * What is asked of a row: each with its words and whether the measurements keep to it. Where there are two pairs,
 * synced and not, both have to.
 */
const targets = {
	ratio: (least, pairs) => ({
		text: `≥ ${least}×`,
		reached: pairs.every(([ours, peer]) => peer.ms / ours.ms >= least),
	}),
	size: (most, pairs) => ({
		text: `size ≤ ${most}×`,
		reached: pairs.every(([ours, peer]) => ours.size <= most * peer.size),
	}),
	grows: (most, pairs) => ({
		text: `≤ ${most}× the time`,
		reached: pairs.every(([large, small]) => large.ms <= most * small.ms),
	}),
	below: (most, pairs) => ({ text: `< ${most} ms`, reached: pairs.every(([ours]) => ours.ms < most) }),
	memory: (most, pairs) => ({
		text: `< ${mebibytes(most)}`,
		reached: measuresMemory ? pairs.every(([ours]) => ours.memory < most) : undefined,
	}),
};

/**
 * The rows of a race with what was measured for them.
 *
 * @param race see groups.mjs. The `pairs` of its rows name contenders: `synced` and `unsynced` are pairs of Anyvisor's and the peer's,
 *   `cross` is a pair whose ratio is told, `single` is Anyvisor's, bare Node's and the peer's
 * @param measured of the race, as it is stored, if it is
 */
export function rowsOf({ rows }, measured) {
	return rows.map(({ name, target = {}, pairs }) => {
		if (measured?.contenders === undefined) return { name, ...measured, missing: measured === undefined };
		const named = measured.note === undefined ? name : `${name} (${measured.note})`;
		const found = Object.entries(pairs).map(([pair, names]) => [
			pair,
			names.map((contender) => measured.contenders[contender]).filter((one) => one !== undefined),
		]);
		const failed = found.flatMap(([, pair]) => pair).find((one) => one.failed !== undefined)?.failed;
		if (failed !== undefined) return { name: named, failed };
		const judged = found.filter(([pair]) => pair !== "cross").map(([, pair]) => pair);
		const verdicts = Object.entries(target).map(([kind, value]) => targets[kind](value, judged));
		const unknown = verdicts.some(({ reached }) => reached === undefined);
		return {
			name: named,
			...Object.fromEntries(found),
			largest: Math.max(...judged.map(([ours]) => ours.memory ?? 0)),
			wanted: verdicts.map(({ text }) => text).join(", "),
			reached: verdicts.length === 0 || unknown ? undefined : verdicts.every(({ reached }) => reached),
		};
	});
}

const conversionColumns = [
	["", ({ name }) => name],
	["Anyvisor, synced", ({ synced }) => synced && seconds(synced[0].ms)],
	["peer, synced", ({ synced }) => peerTime(synced)],
	["ratio", ({ synced }) => ratio(synced)],
	["Anyvisor, not synced", ({ unsynced }) => unsynced && seconds(unsynced[0].ms)],
	["peer, not synced", ({ unsynced }) => peerTime(unsynced)],
	["ratio", ({ unsynced }) => ratio(unsynced)],
	["target", ({ wanted }) => wanted],
	["reached", verdict],
	["defaults", ({ cross }) => ratio(cross)],
	["on disk, ours / peer", ({ synced, unsynced }) => sizes(synced ?? unsynced)],
	["memory, ours / peer", (row) => memories(row.largest, [...(row.synced ?? []), ...(row.unsynced ?? [])])],
];

const singleColumns = [
	["", ({ name }) => name],
	["Anyvisor", ({ single }) => seconds(single[0].ms)],
	["target", ({ wanted }) => wanted],
	["reached", verdict],
	["bare Node", ({ single }) => seconds(single[1].ms)],
	["above bare Node", ({ single }) => seconds(single[0].ms - single[1].ms)],
	["qemu-img", ({ single }) => single[2] && seconds(single[2].ms)],
	["memory", ({ largest }) => memories(largest, [])],
];

function verdict({ reached }) {
	return reached === undefined ? "" : reached ? "yes" : "**no**";
}

const atLeast = ({ stopped }) => (stopped ? "> " : "");

function peerTime([, peer] = []) {
	return peer && atLeast(peer) + seconds(peer.ms);
}

function ratio([ours, peer] = []) {
	return peer && atLeast(peer) + times(peer.ms / ours.ms);
}

function sizes([ours, peer]) {
	if (ours.size === undefined) return "";
	const beside = peer?.size && ` / ${mebibytes(peer.size)} (${(ours.size / peer.size).toFixed(3)})`;
	return mebibytes(ours.size) + (beside ?? "");
}

function memories(ours, [, peer]) {
	if (!ours) return "";
	return mebibytes(ours) + (peer?.memory === undefined ? "" : ` / ${mebibytes(peer.memory)}`);
}

const columnsOf = (single) => (single ? singleColumns : conversionColumns);

/** The cells of a row that has been judged. */
function cells(row, single) {
	const columns = columnsOf(single);
	const alone = (...texts) => [row.name, ...texts, ...columns.slice(texts.length + 1).map(() => "")];
	if (row.missing) return alone("not measured");
	if (row.skipped !== undefined) return alone(`skipped: ${short(row.skipped)}`);
	if (row.failed !== undefined) return alone(`**failed**: ${short(row.failed)}`);
	return columns.map(([, write]) => write(row) ?? "");
}

const short = (text) => text.replace(/[\s|]+/g, " ").slice(0, 160);

/** A row for a terminal. */
export function brief(row, title, single) {
	const [, ...values] = cells(row, single);
	const told = columnsOf(single)
		.map(([name], i) => [name, values[i - 1]].join(" "))
		.filter((_, i) => values[i - 1]);
	const alone = row.missing || row.skipped !== undefined || row.failed !== undefined;
	return `${title} | ${row.name}: ${alone ? values[0] : told.join("; ")}`;
}

const line = (values) => `| ${values.join(" | ")} |`;

/** The whole of RESULTS.md. */
export function markdown(groups, { races, circumstances }, validity) {
	const tables = groups.map((group) => ({
		...group,
		rows: group.races.flatMap((race) => rowsOf(race, races[race.name])),
	}));
	const rows = tables.flatMap((table) => table.rows);
	const stored = groups.flatMap((group) => group.races.flatMap(({ name }) => races[name] ?? []));
	return `${[
		"# The disk engine beside qemu-img",
		`Written by \`npm run bench:disk\`; do not edit. ${outcome(rows)}`,
		Object.entries(about(stored, circumstances, validity))
			.map(([what, value]) => `- ${what}: ${value}`)
			.join("\n"),
		method,
		...tables.flatMap(sections),
	].join("\n\n")}\n`;
}

function sections({ title, about = "", single, rows }) {
	const names = columnsOf(single).map(([name]) => name);
	const table = [names, names.map(() => "---"), ...rows.map((row) => cells(row, single))];
	return [`## ${title}`, about, table.map(line).join("\n")].filter((text) => text !== "");
}

function outcome(rows) {
	const withTarget = rows.filter(({ reached }) => reached !== undefined);
	const reached = withTarget.filter((row) => row.reached).length;
	const [most] = rows.filter(({ largest }) => largest > 0).sort((a, b) => b.largest - a.largest);
	const count = (what, of) => (of.length === 0 ? [] : [`${what}: ${of.length} rows.`]);
	return [
		`${reached} of ${withTarget.length} targets reached.`,
		...count(
			"Failed",
			rows.filter(({ failed }) => failed !== undefined),
		),
		...count(
			"Skipped",
			rows.filter(({ skipped }) => skipped !== undefined),
		),
		...count(
			"Not measured",
			rows.filter(({ missing }) => missing),
		),
		...(most ? [`Highest peak memory of all rows: ${mebibytes(most.largest)} (${most.name}).`] : []),
	].join(" ");
}

/** One measurement may be from today and another from yesterday. */
function about(stored, circumstances, { source, peer, node, input, outputs }) {
	const between = (values) => {
		const [least = "nothing", most = least] = [values[0], values.at(-1)];
		return least === most ? least : `${least} to ${most}`;
	};
	const dates = stored.map(({ at }) => at.slice(0, 16).replace("T", " ")).sort();
	const loads = stored.map(({ load }) => load).sort((a, b) => a - b);
	const { Anyvisor, ...others } = circumstances ?? {};
	return {
		measured: between(dates),
		Anyvisor: `${Anyvisor}, src/ is ${source.slice(0, 12)}${source.includes("+") ? " with changes" : ""}`,
		...others,
		"load average when a race began": between(loads.map((load) => load.toFixed(2))),
		Node: node,
		peer,
		input,
		"outputs on": outputs,
	};
}

const method = `How it is measured:

- Every figure is the median of whole processes, from start to exit, on the same input. The contenders of a row take turns, and who begins changes from round to round. Between runs outputs are deleted and file systems synced; caches are left as they are.
- Like is compared with like. qemu-img by default leaves its output to the page cache; Anyvisor waits until it is on the disk before it gives it its name. So each conversion is raced in two pairs: **synced** is \`anyvisor convert\` beside \`qemu-img convert -t writeback\`, which flushes at its end; **not synced** is \`anyvisor convert --no-sync\` beside \`qemu-img convert\`. **ratio** is peer / Anyvisor: above 1, Anyvisor is faster. A target counts as reached only if both pairs reach it.
- **defaults** is judged by nobody: \`qemu-img convert\`, which does not sync, beside \`anyvisor convert\`, which does, each as it is typed.
- \`--fast\` and “node:zlib alone” run only without the sync: what they change is processor time.
- There are ${limits.rounds} rounds; after the ${limits.least}rd, none begins once the race has taken ${limits.race / 1000} s. Whoever has run for ${limits.contender / 1000} s in total does not run again, and of a peer that takes more than ${limits.twin / 1000} s the twin with the flush runs once. Exceptions are told with their tables. How often each contender ran, and its fastest and slowest run, is kept beside the medians in the file that the benchmark stores.
- "on disk" is what the output occupies (holes do not count). "memory" is the highest resident set of any run, ${
	measuresMemory ? "by GNU time (ru_maxrss of wait4(2))" : "not measured here: GNU time is missing"
}; Anyvisor's is the larger of the two pairs.
- Each kind of output of Anyvisor's was found equal to its input by \`qemu-img compare\`, once per row and outside of the timing; of outputs with shared extents the last copy of the guest disk; outputs of 64 TiB by \`qemu-img check\` and by reading every piece of data with qemu-io.`;
