// How long `anyvisor inspect` takes on each guest of test/verdicts.md, as a whole process; how much memory it needs, and how
// much of the disk it reads. Guests are made where they are not cached, for which one has to be root.
//
//   npm run bench:inspect -- [--only PATTERN] [--rounds N] [--write]
//
// With --write the result goes to bench/INSPECT.md.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { command } from "../scripts/command.mjs";
import { circumstances } from "./disk/circumstances.mjs";

const { values } = parseArgs({
	options: {
		only: { type: "string", default: "" },
		rounds: { type: "string", default: "9" },
		write: { type: "boolean", default: false },
	},
});
const rounds = Number(values.rounds);
const target = { milliseconds: 300, mebibytes: 150, share: 0.02, disk: 20 * 2 ** 30 };
const trace = path.join(os.tmpdir(), `anyvisor-trace-${process.pid}`);
const loadBefore = os.loadavg()[0];

const guests = execFileSync("node", ["scripts/guest/replicas.mjs", "--every"], { encoding: "utf8" })
	.trim()
	.split("\n")
	.map((line) => line.split("\t"))
	.filter(([name]) => name.includes(values.only))
	.map(([name, image]) => ({ name, image, times: [], processor: [], memory: 0, read: bytesRead(image) }));

// Everybody takes turns, so that what else runs on the machine meets all alike.
const bare = [];
for (let round = 0; round < rounds; round++) {
	bare.push(timed(["-e", "0"]).milliseconds);
	for (const guest of guests) {
		const { milliseconds, processor, kibibytes } = timed([command, "inspect", "--json", guest.image]);
		guest.processor.push(processor);
		guest.times.push(milliseconds);
		guest.memory = Math.max(guest.memory, kibibytes);
	}
}
const node = median(bare);
const report = await markdown();
console.log(report);
if (values.write) writeFileSync("bench/INSPECT.md", report);

/** One whole process of Node: its wall time, and by GNU time its processor time and highest resident set. */
function timed(args) {
	const began = performance.now();
	const { status, stderr } = spawnSync("/usr/bin/time", ["-f", "%M %U %S", process.execPath, ...args], {
		stdio: ["ignore", "ignore", "pipe"],
		encoding: "utf8",
	});
	if (status !== 0) throw new Error(stderr);
	const milliseconds = performance.now() - began;
	const [kibibytes, user, system] = stderr.trim().split("\n").at(-1).split(" ").map(Number);
	return { milliseconds, processor: (user + system) * 1000, kibibytes };
}

/** What the kernel handed out of the image, by strace: `{ calls, bytes, pages }`, a page read twice counting once. */
function bytesRead(image) {
	const file = realpathSync(image);
	// A file for each thread: in one, calls of several would be cut in pieces.
	const options = ["-ff", "-y", "-qq", "-e", "trace=read,pread64,readv,preadv,preadv2", "-o", path.join(trace, "of")];
	mkdirSync(trace);
	execFileSync("strace", [...options, process.execPath, command, "inspect", "--json", image], { stdio: "ignore" });
	const pages = new Set();
	const read = { calls: 0, bytes: 0, pages: 0 };
	const lines = readdirSync(trace).flatMap((name) => readFileSync(path.join(trace, name), "utf8").split("\n"));
	for (const line of lines) {
		if (!line.includes(`<${file}>`)) continue;
		const [, at, length] = /, (\d+)\)\s+= (\d+)/.exec(line) ?? [];
		if (length === undefined) continue;
		read.calls++;
		read.bytes += Number(length);
		const last = Math.floor((Number(at) + Number(length) - 1) / 4096);
		for (let page = Math.floor(Number(at) / 4096); page <= last; page++) pages.add(page);
	}
	rmSync(trace, { recursive: true });
	return { ...read, pages: pages.size };
}

async function markdown() {
	const { codecs: _, ...machine } = await circumstances();
	const rows = guests.map(row);
	const reached = rows.filter(({ reached }) => reached).length;
	const lines = Object.entries({
		...machine,
		Node: process.version,
		rounds,
		"load average": `${loadBefore.toFixed(2)} before, ${os.loadavg()[0].toFixed(2)} after`,
		"bare Node": `${Math.round(node)} ms (\`node -e 0\`, a process in each round)`,
	});
	return `# How fast a guest is judged

Written by \`npm run bench:inspect -- --write\`; do not edit. ${reached} of ${rows.length} guests reach all targets: under ${target.milliseconds} ms as a whole
process, under ${target.mebibytes} MiB, under ${target.share * 100} % of a 20 GiB disk read.

${lines.map(([what, value]) => `- ${what}: ${value}\n`).join("")}
Times are medians of whole processes of \`anyvisor inspect --json\` that took turns; "above Node" is what remains after bare
Node. A load average above the number of processors makes times longer than they are; processor time suffers least. Memory is the highest resident set of any run. Bytes are what the kernel handed out of the image, by strace, and
pages those of 4 KiB that were touched.

| guest | time | above Node | fastest, slowest | processor | memory | reads | bytes read | pages | of the disk | reached |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
${rows.map(({ cells }) => `| ${cells.join(" | ")} |\n`).join("")}`;
}

function row({ name, image, times, processor, memory, read }) {
	const milliseconds = median(times);
	const share = read.bytes / statSync(image).size;
	const reached =
		milliseconds < target.milliseconds && memory / 1024 < target.mebibytes && read.bytes < target.share * target.disk;
	return {
		reached,
		cells: [
			name,
			`${Math.round(milliseconds)} ms`,
			`${Math.round(milliseconds - node)} ms`,
			`${Math.round(Math.min(...times))}, ${Math.round(Math.max(...times))}`,
			`${Math.round(median(processor))} ms`,
			`${Math.round(memory / 1024)} MiB`,
			read.calls,
			`${(read.bytes / 2 ** 20).toFixed(1)} MiB`,
			`${((read.pages * 4096) / 2 ** 20).toFixed(1)} MiB`,
			`${(share * 100).toFixed(3)} %`,
			reached ? "yes" : "**no**",
		],
	};
}

function median(values) {
	return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}
