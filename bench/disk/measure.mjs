// Runs whole processes side by side and says how long each took and how much memory it needed.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import path from "node:path";

/** Bytes of memory are measured where GNU time is: it is wait4(2)'s ru_maxrss of this one child. */
export const measuresMemory = existsSync("/usr/bin/time");

/** A command is stopped when this aborts: Ctrl-C must not leave mounts and gigabytes behind. */
export const interruption = new AbortController();

/** Five runs, or as many as there is time for: a whole benchmark has to end within half an hour or so. */
export const limits = {
	rounds: 5,
	least: 3,
	/** After the third round of a race none begins once it has taken this long. */
	race: 10_000,
	/** Who has run for this long in total does not run again: medians of slow processes differ little. */
	contender: 45_000,
	/** Who only repeats another contender's work with a flush runs once if it takes longer than this. */
	twin: 10_000,
	/** Who takes longer is stopped, and has taken at least this long. */
	patience: 30 * 60_000,
};

/**
 * Runs a command to its end; a failure throws with what it said.
 *
 * @returns {Promise<string>} its standard output
 */
export async function run(command, args, { env = {}, uninterrupted = false, patience = limits.patience } = {}) {
	const { signal: interrupted } = interruption;
	if (!uninterrupted) interrupted.throwIfAborted();
	// A group of its own, because what `time` runs has to be stopped with it.
	const child = spawn(command, args, {
		stdio: ["ignore", "pipe", "pipe"],
		env: { ...process.env, ...env },
		detached: true,
	});
	const stop = () => {
		try {
			if (child.pid) process.kill(-child.pid);
		} catch (error) {
			if (error.code !== "ESRCH") throw error;
		}
	};
	let stopped = false;
	const timer = setTimeout(() => {
		stopped = true;
		stop();
	}, patience);
	if (!uninterrupted) interrupted.addEventListener("abort", stop);
	const errors = [];
	child.on("error", (error) => errors.push(error));
	let stdout = "";
	let stderr = "";
	child.stdout.setEncoding("utf8").on("data", (text) => {
		stdout += text;
	});
	child.stderr.setEncoding("utf8").on("data", (text) => {
		stderr += text;
	});
	// Not before its end, even where it was interrupted: what it holds open cannot be unmounted.
	const [code, signal] = await new Promise((resolve) => child.on("close", (...how) => resolve(how)));
	clearTimeout(timer);
	interrupted.removeEventListener("abort", stop);
	if (stopped) throw Object.assign(new Error(`${command} was stopped after ${patience / 1000} s`), { stopped });
	if (errors.length > 0) throw new Error(`${command}: ${errors[0].message}`, { cause: errors[0] });
	if (code === 0) return stdout;
	const said = (stderr || stdout).trim();
	throw new Error(`${said} (${signal ?? `exit code ${code}`} of ${command} ${args.join(" ")})`);
}

/** Wall clock, processor time and peak memory of one process. */
async function timed([command, ...args], { env, notes, patience }) {
	const measured = measuresMemory
		? ["/usr/bin/time", ["--quiet", "--output", notes, "--format", "%M %U %S", command, ...args]]
		: [command, args];
	const began = performance.now();
	try {
		await run(...measured, { env, patience });
	} catch (error) {
		if (error.stopped) return { ms: patience, stopped: true };
		throw error;
	}
	const ms = performance.now() - began;
	if (!measuresMemory) return { ms };
	const [kibibytes, user, system] = (await readFile(notes, "utf8")).trim().split(" ").map(Number);
	return { ms, memory: kibibytes * 1024, processor: (user + system) * 1000 };
}

/**
 * Measures contenders in turn, each round beginning with another one. Between two runs the outputs are deleted and the
 * file systems are synced, so that nobody pays for what another has left unwritten; caches stay as they are.
 *
 * @param contenders `{name: {command, env?, output?, verify?, twin?}}`: `output` is the file that it writes, alone or with
 *   others in a folder of its own; `verify` is called with its first output; `twin` marks who repeats another's work
 * @param options see {@link limits}, and `notes`, a file for what GNU time says
 * @returns by the contenders' names what {@link summary} says, or why it `failed`; who fails is left out from then on
 */
export async function race(contenders, { notes, ...options }) {
	const { rounds, least, ...most } = { ...limits, ...options };
	const lanes = Object.entries(contenders).map(([name, contender]) => ({ name, contender, runs: [], took: 0 }));
	const began = performance.now();
	for (let round = 0; round < rounds; round++) {
		if (round >= least && performance.now() - began > most.race) break;
		for (let i = 0; i < lanes.length; i++) {
			const lane = lanes[(i + round) % lanes.length];
			const enough = lane.stopped || lane.took > most.contender || (lane.contender.twin && lane.took > most.twin);
			if (lane.failed === undefined && !enough) await runOnce(lane, { notes, patience: most.patience });
		}
	}
	return Object.fromEntries(
		lanes.map(({ failed, name, ...lane }) => [name, failed === undefined ? summary(lane) : { failed }]),
	);
}

async function runOnce(lane, options) {
	const { runs } = lane;
	const { command, env, output, verify } = lane.contender;
	const folder = output && path.dirname(output);
	try {
		if (folder) await mkdir(folder, { recursive: true });
		const result = await timed(command, { env, ...options });
		lane.took += result.ms;
		runs.push(result);
		lane.stopped = result.stopped;
		if (folder === undefined || runs.length > 1 || lane.stopped) return;
		// Places are given to blocks as late as when they are written.
		await run("sync", []);
		lane.size = await occupied(folder);
		await verify?.(output);
	} catch (error) {
		interruption.signal.throwIfAborted();
		lane.failed = error.message;
	} finally {
		if (folder) {
			await rm(folder, { recursive: true, force: true });
			await run("sync", [], { uninterrupted: true });
		}
	}
}

/** Bytes on disk of all files in a folder. */
async function occupied(folder) {
	let bytes = 0;
	for (const name of await readdir(folder)) bytes += (await stat(path.join(folder, name))).blocks * 512;
	return bytes;
}

/** What is kept of a contender's runs: the median time and what it lies between, and the largest memory of all. */
function summary({ runs, size, stopped }) {
	const times = runs.map(({ ms }) => ms);
	return {
		runs: runs.length,
		ms: median(times),
		min: Math.min(...times),
		max: Math.max(...times),
		processor: median(runs.map(({ processor }) => processor)),
		memory: measuresMemory && !stopped ? Math.max(...runs.map(({ memory }) => memory)) : undefined,
		size,
		stopped,
	};
}

/** The middle one; of an even number the mean of the two in the middle. Undefined where nothing was measured. */
function median(values) {
	const sorted = values.toSorted((a, b) => a - b);
	const middle = (sorted.length - 1) / 2;
	const value = (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
	return Number.isNaN(value) ? undefined : value;
}
