import { execFile } from "node:child_process";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { temporaryFolder } from "../support/tools.js";

const exec = promisify(execFile);

/** What a script did: its output, and the words of every call of a tool. */
export interface Ran {
	readonly stdout: string;
	readonly calls: readonly (readonly string[])[];
}

/**
 * Runs a script of a package by `sh`, from another folder, with stand-ins for a platform's tools that write down how they
 * were called.
 *
 * @param tools shell commands that each stand-in goes on with: what it prints
 */
export async function runScript(
	script: string,
	args: readonly string[],
	tools: Readonly<Record<string, string>>,
): Promise<Ran> {
	const folder = await temporaryFolder();
	const log = path.join(folder, "log");
	await writeFile(log, "");
	const bin = path.join(folder, "bin");
	await mkdir(bin);
	for (const [name, body] of Object.entries(tools)) {
		const file = path.join(bin, name);
		await writeFile(file, `#!/bin/sh\nprintf '%s\\0' ${name} "$@" >>'${log}'\nprintf '\\0' >>'${log}'\n${body}\n`);
		await chmod(file, 0o755);
	}
	const env = { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` };
	const { stdout } = await exec("sh", [script, ...args], { env, cwd: folder });
	const calls = (await readFile(log, "utf8"))
		.split("\0\0")
		.filter((call) => call !== "")
		.map((call) => call.split("\0"));
	return { stdout, calls };
}

/** The value that follows an option, or that it is joined to by "=". */
export function valueOf(call: readonly string[] | undefined, option: string): string | undefined {
	const at = call?.indexOf(option) ?? -1;
	if (at >= 0) return call?.[at + 1];
	return call?.find((word) => word.startsWith(`${option}=`))?.slice(option.length + 1);
}
