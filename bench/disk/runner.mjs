// Runs races, and cleans up behind them and behind what was killed.
import { mkdtemp, readdir, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { interruption } from "./measure.mjs";
import { unmounted } from "./sharing.mjs";

/** What failed, or could not run here, is tried again. */
export const isDone = (measured) =>
	measured?.contenders !== undefined && Object.values(measured.contenders).every(({ failed }) => failed === undefined);

/**
 * Measures races in turn, stores each, and yields it. Inputs are dropped after the last race that needs them.
 *
 * @param races see groups.mjs
 * @param options `state`: see state.mjs; `circumstances`: stored with the measurements
 */
export async function* measureAll(races, { state, circumstances }) {
	const needs = races.map(({ inputs }) => withSources(inputs));
	try {
		for (const [i, race] of races.entries()) {
			const load = os.loadavg()[0];
			const measured = await attempt(race);
			await state.store(race.name, { at: new Date().toISOString(), load, ...measured }, circumstances);
			yield race;
			const later = new Set(needs.slice(i + 1).flat());
			for (const input of needs[i]) if (!later.has(input)) await input.drop();
		}
	} finally {
		for (const input of withSources(races.flatMap(({ inputs }) => inputs))) await input.drop();
	}
}

async function attempt(race) {
	try {
		return await race.measure();
	} catch (error) {
		interruption.signal.throwIfAborted();
		return error.skipped ? { skipped: error.message } : { failed: error.message };
	}
}

/** Inputs, each before what it was made of. */
function withSources(inputs) {
	const all = new Set();
	const visit = (input) => {
		if (all.has(input)) return;
		input.from.forEach(visit);
		all.add(input);
	};
	inputs.forEach(visit);
	return [...all].reverse();
}

const prefix = "anyvisor-bench-";

/** A new folder for disks. Those of benchmarks that were killed are deleted first: they may hold all the room there is. */
export async function temporaryFolder(parent) {
	for (const name of await readdir(parent)) {
		const owner = name.match(`^${prefix}(\\d+)-`)?.[1];
		if (owner === undefined || isAlive(Number(owner))) continue;
		const folder = path.join(parent, name);
		await unmounted(path.join(folder, "xfs.img"), path.join(folder, "xfs"));
		await rm(folder, { recursive: true, force: true });
	}
	return mkdtemp(path.join(parent, `${prefix}${process.pid}-`));
}

function isAlive(pid) {
	try {
		process.kill(pid, 0);
		return true;
	} catch (error) {
		return error.code !== "ESRCH";
	}
}
