import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";

const { bin } = JSON.parse(readFileSync("package.json", "utf8")) as { bin: { anyvisor: string } };
/** The file that users run. */
export const COMMAND = path.resolve(bin.anyvisor);

export interface Ended {
	readonly code: number | null;
	/** That ended it, where it did not end by itself. */
	readonly signal: NodeJS.Signals | null;
	readonly stdout: string;
	readonly stderr: string;
}

export interface RunOptions {
	readonly env?: NodeJS.ProcessEnv;
	readonly uid?: number;
	/** To run instead of {@link COMMAND}. */
	readonly command?: string;
	/** Called with what standard error says, as it says it. */
	readonly onError?: (text: string, interrupt: () => void) => void;
}

/** Runs the built command, as a user would. */
export function anyvisor(
	args: readonly string[],
	{ env, uid, command = COMMAND, onError }: RunOptions = {},
): Promise<Ended> {
	return new Promise((resolve, reject) => {
		const child = spawn(process.execPath, [command, ...args], {
			env: { ...process.env, NO_COLOR: "1", ...env },
			...(uid !== undefined && { uid, gid: uid }),
		});
		let stdout = "";
		let stderr = "";
		child.stdout.setEncoding("utf8").on("data", (text: string) => {
			stdout += text;
		});
		child.stderr.setEncoding("utf8").on("data", (text: string) => {
			stderr += text;
			onError?.(text, () => child.kill("SIGINT"));
		});
		child.on("error", reject);
		child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
	});
}
