// Converts disks with Anyvisor and with qemu-img in turn, and writes how they compare to bench/RESULTS.md.
//
//   npm run bench:disk -- [--rounds 5] [--only PATTERN] [--quick] [--input DISK.raw] [--dir FOLDER]
//
//   --rounds   how often each contender runs (5)
//   --only     only the rows whose name matches this regular expression; RESULTS.md is left alone
//   --quick    small disks, one round: does everything work? RESULTS.md is left alone
//   --input    a raw disk to convert instead of the test guest
//   --dir      where the disks go, up to 8 GiB at a time; everything there is deleted at the end
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { groups, guestOf } from "./disk/groups.mjs";
import { interruption } from "./disk/measure.mjs";
import { brief, circumstances, free, judged, markdown } from "./disk/report.mjs";

const { values } = parseArgs({
	options: {
		rounds: { type: "string" },
		only: { type: "string" },
		quick: { type: "boolean", default: false },
		input: { type: "string" },
		dir: { type: "string", default: os.tmpdir() },
	},
});
const { quick } = values;
const rounds = Number(values.rounds ?? (quick ? 1 : 5));
const pattern = new RegExp(values.only ?? "", "i");
const needed = (quick ? 2 : 8) * 2 ** 30;

process.chdir(path.resolve(import.meta.dirname, ".."));
if (free(values.dir) < needed) throw new Error(`${values.dir} has less than ${needed / 2 ** 30} GiB free; use --dir`);
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => interruption.abort());

const folder = await mkdtemp(path.join(values.dir, "anyvisor-bench-"));
const lab = {
	folder,
	rounds,
	quick,
	/** File for what GNU time says. */
	notes: path.join(folder, "time"),
	guest: guestOf(folder, values.input, { quick }),
	wants: (name) => pattern.test(name),
	interruption: interruption.signal,
};
const results = [];
try {
	const where = await circumstances(lab);
	for (const [what, value] of where) console.log(`${what}: ${value}`);
	for (const group of groups) {
		const rows = [];
		for await (const row of group.rows(lab)) {
			if (rows.length === 0) console.log(`\n${group.title}`);
			rows.push(judged(row));
			console.log(brief(rows.at(-1)));
		}
		if (rows.length > 0) results.push({ ...group, rows });
	}
	if (!quick && values.only === undefined) {
		await writeFile("bench/RESULTS.md", markdown(results, where));
		console.log("\nWritten to bench/RESULTS.md.");
	}
} finally {
	await rm(folder, { recursive: true, force: true });
}
if (results.some(({ rows }) => rows.some(({ failed }) => failed !== undefined))) process.exitCode = 1;
