// Converts disks with Anyvisor and with qemu-img in turn, and writes how they compare to bench/RESULTS.md.
//
//   npm run bench:disk -- [--only PATTERN] [--fresh] [--write] [--quick] [--rounds N] [--input DISK.raw] [--dir FOLDER]
//
// What has been measured is stored at once. A run that was cut off is continued by the same command; RESULTS.md is
// written when no row is missing.
//
//   --only     only the rows whose name matches this regular expression, and those measured in one race with them
//   --fresh    forgets what was measured before, of the rows that are asked for
//   --write    writes RESULTS.md from what is there, and measures nothing
//   --quick    small disks, one round: does everything work? Nothing is stored
//   --rounds   how often each contender runs at most
//   --input    a raw disk to convert instead of the test guest
//   --dir      where the disks go, 12 GiB at a time, 30 where there is room; they are deleted at the end
//   --state    where measurements are stored (bench-disk.json in the user's cache folder)
import { rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { circumstances, free, validity } from "./disk/circumstances.mjs";
import { groupsOf } from "./disk/groups.mjs";
import { interruption } from "./disk/measure.mjs";
import { brief, markdown, rowsOf } from "./disk/report.mjs";
import { isDone, measureAll, temporaryFolder } from "./disk/runner.mjs";
import { defaultState, stateOf } from "./disk/state.mjs";

const { values } = parseArgs({
	options: {
		only: { type: "string", default: "" },
		fresh: { type: "boolean", default: false },
		write: { type: "boolean", default: false },
		quick: { type: "boolean", default: false },
		rounds: { type: "string" },
		input: { type: "string" },
		dir: { type: "string", default: os.tmpdir() },
		state: { type: "string", default: defaultState },
	},
});
const { quick, write } = values;
const dir = path.resolve(values.dir);
const input = values.input && path.resolve(values.input);
const stateFile = quick ? undefined : path.resolve(values.state);
const rounds = values.rounds === undefined ? {} : { rounds: Number(values.rounds) };
const needed = quick ? 2 : 12;

process.chdir(path.resolve(import.meta.dirname, ".."));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => interruption.abort());

const folder = await temporaryFolder(dir);
try {
	if (!write && free(folder) < needed * 2 ** 30) throw new Error(`${dir} has less than ${needed} GiB free; use --dir`);
	const lab = {
		folder,
		quick,
		input,
		/** File for what GNU time says. */
		notes: path.join(folder, "time"),
		limits: quick ? { rounds: 1 } : rounds,
	};
	const valid = await validity(lab);
	const state = await stateOf(stateFile, valid);
	const groups = groupsOf(lab);
	const races = groups.flatMap((group) => group.races);
	const pattern = new RegExp(values.only, "i");
	const wanted = write ? [] : races.filter(({ rows }) => rows.some(({ name }) => pattern.test(name)));
	if (values.fresh) await state.forget(wanted.map(({ name }) => name));
	const pending = wanted.filter(({ name }) => !isDone(state.races[name]));
	if (pending.length < wanted.length) {
		console.log(`Measured before: ${wanted.length - pending.length} of ${wanted.length} races; --fresh forgets them.`);
	}

	let failed = false;
	for await (const race of measureAll(pending, { state, circumstances: await circumstances() })) {
		const { title, single } = groups.find((group) => group.races.includes(race));
		const rows = rowsOf(race, state.races[race.name]);
		failed ||= rows.some((row) => row.failed !== undefined);
		for (const row of rows) console.log(brief(row, title, single));
	}
	if (!quick && (write || races.every(({ name }) => state.races[name]))) {
		await writeFile("bench/RESULTS.md", markdown(groups, state, valid));
		console.log("Written to bench/RESULTS.md.");
	}
	if (failed) process.exitCode = 1;
} catch (error) {
	if (!interruption.signal.aborted) throw error;
	console.log("Interrupted. What was measured is kept; the same command goes on from there.");
	process.exitCode = 130;
} finally {
	await rm(folder, { recursive: true, force: true });
}
