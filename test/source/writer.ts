import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** What the child process in `writer.mjs` is to write, in pieces of 64 KiB that hold their number. */
export interface Writing {
	readonly target: string;
	/** Bytes of the file and of each of its siblings, `extent-1` and so on; whole pieces. */
	readonly size: number;
	readonly siblings?: number;
	readonly overwrite?: boolean;
}

const PIECE = 64 * 1024;
const script = fileURLToPath(new URL("writer.mjs", import.meta.url));

export const startWriter = (writing: Writing): ChildProcess =>
	spawn(process.execPath, [script, JSON.stringify(writing)], { stdio: ["ignore", "pipe", "pipe"] });

/** Runs the writer to its end, in a shell that has run `limits` before; the last line it printed. */
export function runWriter(writing: Writing, limits = "", user: { uid?: number } = {}): string {
	const output = execFileSync(
		"sh",
		["-c", `${limits} exec "$@"`, "sh", process.execPath, script, JSON.stringify(writing)],
		{
			encoding: "utf8",
			...user,
		},
	);
	return output.trim().split("\n").at(-1) ?? "";
}

/** Whether a file holds all that the writer puts into it. */
export async function isWhole(file: string, size: number): Promise<boolean> {
	const pieces = Array.from({ length: size / PIECE }, (_, i) => Buffer.alloc(PIECE, i + 1));
	return (await readFile(file)).equals(Buffer.concat(pieces));
}

export const extentsBeside = (target: string, siblings: number): string[] =>
	Array.from({ length: siblings }, (_, i) => path.join(path.dirname(target), `extent-${i + 1}`));
