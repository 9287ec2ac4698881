import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { fileSink } from "../../src/source/index.js";
import { temporaryFolder } from "../support/tools.js";
import { extentsBeside, isWhole, runWriter, startWriter, type Writing } from "./writer.js";

const root = await temporaryFolder();
const SIZE = 2 << 20;

/** Starts a writer and kills it with `signal` so many milliseconds after it has begun; what it said. */
async function killed(writing: Writing, signal: NodeJS.Signals, after: number) {
	const writer = startWriter(writing);
	let [output, errors] = ["", ""];
	writer.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()));
	writer.stderr?.on("data", (chunk: Buffer) => (errors += chunk.toString()));
	const ended = once(writer, "close");
	await Promise.race([once(writer.stdout ?? writer, "data"), ended]);
	await sleep(after);
	writer.kill(signal);
	await ended;
	return { finished: output.includes("done"), errors, code: writer.exitCode };
}

async function stateOf(file: string, size: number): Promise<"old" | "new" | "broken"> {
	if ((await readFile(file)).equals(Buffer.from("old"))) return "old";
	return (await isWhole(file, size)) ? "new" : "broken";
}

/** Moments all over the run of a writer that takes about `duration` milliseconds, the same ones every time. */
const moments = (count: number, duration: number) => Array.from({ length: count }, (_, i) => (i * duration) / count);

async function duration(writing: Writing): Promise<number> {
	const writer = startWriter(writing);
	const ended = once(writer, "close");
	await Promise.race([once(writer.stdout ?? writer, "data"), ended]);
	const began = performance.now();
	await ended;
	return performance.now() - began;
}

describe("killed outright at any moment, an output", () => {
	test("is complete or not there, and the next run removes what is left", async () => {
		const folder = path.join(root, "one");
		await mkdir(folder);
		const whole = await duration({ target: path.join(folder, "first"), size: SIZE });
		const found: boolean[] = [];
		for (const [i, moment] of moments(20, whole * 1.1).entries()) {
			const writing = { target: path.join(folder, `disk-${i}`), size: SIZE };
			await killed(writing, "SIGKILL", moment);
			found.push(existsSync(writing.target));
			expect(found[i] !== true || (await isWhole(writing.target, SIZE))).toBe(true);
			await using next = await fileSink(writing.target, { overwrite: true });
			await next[Symbol.asyncDispose]();
			expect((await readdir(folder)).filter((name) => name.startsWith(`.disk-${i}.`))).toEqual([]);
		}
		// Otherwise the moments were badly chosen.
		expect(found.filter((complete) => !complete).length).toBeGreaterThan(3);
	});

	test("of several files never lacks one that it refers to", async () => {
		const folder = path.join(root, "several");
		await mkdir(folder);
		const target = path.join(folder, "disk.vmdk");
		const writing = { target, size: SIZE / 4, siblings: 4, overwrite: true };
		const whole = await duration(writing);
		for (const moment of moments(12, whole * 1.1)) {
			for (const file of [target, ...extentsBeside(target, 4)]) await writeFile(file, "old");
			await killed(writing, "SIGKILL", moment);
			const extents = await Promise.all(extentsBeside(target, 4).map((file) => stateOf(file, writing.size)));
			const descriptor = await stateOf(target, writing.size);
			expect([...extents, descriptor]).not.toContain("broken");
			expect(extents).not.toContain(descriptor === "new" ? "old" : "");
		}
		expect(runWriter(writing)).toBe("done");
		expect((await readdir(folder)).filter((name) => name.startsWith("."))).toEqual([]);
	});

	test("keeps what it was to replace", async () => {
		const target = path.join(root, "kept");
		await writeFile(target, "old");
		await killed({ target, size: 64 * SIZE, overwrite: true }, "SIGKILL", 5);
		expect(await readFile(target, "utf8")).toBe("old");
	});
});

describe.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("stopped by %s, an output", (signal) => {
	test("goes at once, with all its parts, and says so", async () => {
		const folder = path.join(root, signal);
		await mkdir(folder);
		const target = path.join(folder, "disk.vmdk");
		const { errors, code } = await killed({ target, size: 16 * SIZE, siblings: 3 }, signal, 30);
		expect(await readdir(folder)).toEqual([]);
		expect(errors).toContain(`removed unfinished ${target}`);
		expect(code).toBe(130);
	});
});
