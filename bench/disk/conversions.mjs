// Races of conversions: Anyvisor and its peer, each as it comes and in the other's way with the sync at the end.
import path from "node:path";
import { compared, kinds, ourConvert, peerConvert } from "./kinds.mjs";
import { race } from "./measure.mjs";

const ours = "Anyvisor";
const oursUnsynced = "Anyvisor --no-sync";
const peer = "qemu-img";
const peerSynced = "qemu-img -t writeback";

/**
 * The contenders of one conversion, by their names.
 *
 * @param options
 *   - `from`, `to`: names of kinds; `source`: path of the image
 *   - `folder`: the output lies in a folder inside it
 *   - `label`: before each name, where several conversions are one race
 *   - `besidePeer`: false where the peer would never end
 *   - `variants`: `{name: {extra?, env?}}`, further ways to run Anyvisor. They cost processor time, not I/O, so they run
 *     only without the sync
 *   - `verify`: called with an output of Anyvisor's; by default it is compared with the source. Without
 *     the sync the same is written, and it is not called
 */
function contenders({ from, to, source, folder, label = "", besidePeer = true, variants = {}, verify }) {
	const output = path.join(folder, "out", `disk.${kinds[to].suffix}`);
	const anyvisor = (extra, env) => ({ command: ourConvert(to, source, output, ...extra), env, output });
	const verified = { verify: verify ?? (() => compared(from, to, source, output)) };
	const qemuImg = (...extra) => ({ command: peerConvert(from, to, source, output, ...extra), output });
	const all = {
		[ours]: { ...anyvisor([]), ...verified },
		[oursUnsynced]: anyvisor(["--no-sync"]),
		...(besidePeer && { [peer]: qemuImg(), [peerSynced]: { ...qemuImg("-t", "writeback"), twin: true } }),
	};
	for (const [name, { extra = [], env }] of Object.entries(variants)) {
		all[name] = { ...anyvisor(["--no-sync", ...extra], env), ...verified };
	}
	return Object.fromEntries(Object.entries(all).map(([name, contender]) => [label + name, contender]));
}

/** Which contenders a row sets side by side: like with like, and `cross`, each as it comes. */
const pairs = (label = "", besidePeer = true) => ({
	synced: [label + ours, ...(besidePeer ? [label + peerSynced] : [])],
	unsynced: [label + oursUnsynced, ...(besidePeer ? [label + peer] : [])],
	...(besidePeer && { cross: [label + ours, label + peer] }),
});

/**
 * @param lab see disk.mjs
 * @param options what {@link contenders} are given, and
 *   - `name`, `target`: of the row; `input`: made lazily
 *   - `variants`: with a `target` each, a row each
 *   - `references`: `{name: command}`, given source and output and run beside the others; a row each, not judged
 *   - `folder`: asked when the input is there; `note`: the same, says what belongs behind the rows' names
 *   - `limits`: other than the usual ones
 * @returns a race, see groups.mjs
 */
export function conversion(lab, { name, target, input, variants = {}, references, limits, note, ...given }) {
	const { folder = () => lab.folder, besidePeer } = given;
	return {
		name,
		inputs: [input],
		rows: [
			{ name, target, pairs: pairs("", besidePeer) },
			...Object.entries(variants).map(([variant, { target: own }]) => ({
				name: `${name}, ${variant}`,
				target: own,
				pairs: { unsynced: [variant, peer] },
			})),
			...Object.keys(references ?? {}).map((other) => ({
				name: `${name}, beside ${other}`,
				pairs: { unsynced: [oursUnsynced, other] },
			})),
		],
		async measure() {
			const source = await input();
			const all = contenders({ ...given, variants, source, folder: folder() });
			const { output } = all[ours];
			for (const [other, command] of Object.entries(references ?? {})) {
				all[other] = { command: [...command, source, output], output };
			}
			return { note: note?.(), contenders: await race(all, { ...limits, ...lab.limits, notes: lab.notes }) };
		},
	};
}

/**
 * The same conversion of a small disk and of a large one that has as much data, in one race.
 *
 * @param sizes `{label: input}`, the small one first
 * @param target what the large one is held to beside the small one: see report.mjs
 */
export function growth(lab, { from, to, sizes, target, each }) {
	const labels = Object.keys(sizes).map((size) => `${size}: `);
	const [small, large] = labels;
	return {
		name: `${Object.keys(sizes).join(" and ")}: ${from} → ${to}`,
		inputs: Object.values(sizes),
		rows: [
			...labels.map((label) => ({ name: `${label}${from} → ${to}`, target: each, pairs: pairs(label) })),
			{
				name: `${Object.keys(sizes).toReversed().join(" beside ")}: ${from} → ${to}`,
				target,
				pairs: {
					synced: [large + ours, small + ours],
					unsynced: [large + oursUnsynced, small + oursUnsynced],
				},
			},
		],
		async measure() {
			const all = {};
			for (const [size, input] of Object.entries(sizes)) {
				const source = await input();
				Object.assign(all, contenders({ from, to, source, folder: lab.folder, label: `${size}: ` }));
			}
			return { contenders: await race(all, { ...lab.limits, notes: lab.notes }) };
		},
	};
}
