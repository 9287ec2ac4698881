// Runs whole processes side by side and says how long each took and how much memory it needed.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, rm, stat } from "node:fs/promises";

/** Bytes of memory are measured where GNU time is: it is wait4(2)'s ru_maxrss of this one child. */
export const measuresMemory = existsSync("/usr/bin/time");

/** A command is stopped when this aborts: Ctrl-C must not leave mounts and gigabytes behind. */
export const interruption = new AbortController();

/**
 * Runs a command to its end; a failure throws with what it said.
 *
 * @returns {Promise<string>} its standard output
 */
export async function run(command, args, { env = {}, uninterrupted = false } = {}) {
	const child = spawn(command, args, {
		stdio: ["ignore", "pipe", "pipe"],
		env: { ...process.env, ...env },
		timeout: 30 * 60_000,
		...(!uninterrupted && { signal: interruption.signal }),
	});
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
	if (errors.length > 0) throw new Error(`${command}: ${errors[0].message}`, { cause: errors[0] });
	if (code === 0) return stdout;
	const said = (stderr || stdout).trim();
	throw new Error(`${said} (${signal ?? `exit code ${code}`} of ${command} ${args.join(" ")})`);
}

/** Wall clock, processor time and peak memory of one process. */
async function timed([command, ...args], { env, notes }) {
	const measured = measuresMemory
		? ["/usr/bin/time", ["--quiet", "--output", notes, "--format", "%M %U %S", command, ...args]]
		: [command, args];
	const began = performance.now();
	await run(...measured, { env });
	const ms = performance.now() - began;
	if (!measuresMemory) return { ms };
	const [kibibytes, user, system] = (await readFile(notes, "utf8")).trim().split(" ").map(Number);
	return { ms, memory: kibibytes * 1024, processor: (user + system) * 1000 };
}

/**
 * Measures contenders in turn, `rounds` times, each round beginning with another one. Between two runs their output is
 * deleted and the file systems are synced, so that nobody pays for what another has left unwritten; caches stay as they are.
 *
 * @param contenders `{name: {command, env?, output?}}`
 * @param verify called with the first output of each
 * @returns by the contenders' names: medians, or why it `failed`; who fails is left out from then on
 */
export async function race(contenders, { rounds, verify, notes }) {
	const results = new Map(Object.keys(contenders).map((name) => [name, { runs: [] }]));
	const entries = Object.entries(contenders);
	for (let round = 0; round < rounds; round++) {
		for (let i = 0; i < entries.length; i++) {
			const [name, { command, env, output }] = entries[(i + round) % entries.length];
			const result = results.get(name);
			if (result.failed !== undefined) continue;
			try {
				result.runs.push(await timed(command, { env, notes }));
				if (output === undefined) continue;
				await run("sync", []);
				if (round > 0) continue;
				result.size = (await stat(output)).blocks * 512;
				await verify?.(output);
			} catch (error) {
				interruption.signal.throwIfAborted();
				result.failed = error.message;
			} finally {
				if (output !== undefined) await rm(output, { force: true });
			}
		}
	}
	return Object.fromEntries(
		[...results].map(([name, { runs, size, failed }]) => {
			if (failed !== undefined) return [name, { failed }];
			const of = (property) => median(runs.map((each) => each[property]));
			return [name, { ms: of("ms"), memory: of("memory"), processor: of("processor"), size }];
		}),
	);
}

/** The middle one; of an even number the mean of the two in the middle. Undefined where nothing was measured. */
function median(values) {
	const sorted = values.toSorted((a, b) => a - b);
	const middle = (sorted.length - 1) / 2;
	const value = (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
	return Number.isNaN(value) ? undefined : value;
}
