import { rmSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import path from "node:path";
import { refused } from "../bytes/errors.js";

/** Outputs that are being written: the path of each partial file or folder, and the name it is meant for. */
const partial = new Map<string, string>();

/**
 * Where an output grows until it is complete: beside its target, so that the last step is a rename.
 *
 * @param part of an output of several files: 0 for the one that gives the others their place, then 1, 2, …
 */
export const partialPath = (target: string, part = 0): string =>
	path.join(path.dirname(target), `.${path.basename(target)}.partial-${process.pid}${part === 0 ? "" : `.${part}`}`);

/**
 * Removes what a run that was killed outright (SIGKILL, a power cut) left of an output of this name. A partial output of
 * a process that still lives stays, and so does one of our own; in a container, where every run has the same process id,
 * what this run did not begin is left over.
 */
export async function removeAbandoned(target: string): Promise<void> {
	const folder = path.dirname(target);
	const prefix = `.${path.basename(target)}.partial-`;
	for (const name of await readdir(folder).catch(() => [])) {
		const pid = name.startsWith(prefix) ? /^([1-9]\d{0,9})(\.\d+)?$/.exec(name.slice(prefix.length))?.[1] : undefined;
		const file = path.join(folder, name);
		if (pid !== undefined && !isUnderWay(file, Number(pid))) await rm(file, { recursive: true, force: true });
	}
}

const isUnderWay = (file: string, pid: number) => (pid === process.pid ? partial.has(file) : isAlive(pid));

function isAlive(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return true;
	} catch (error) {
		// EPERM: it is somebody else's.
		return !(error instanceof Error && "code" in error && error.code === "ESRCH");
	}
}

/**
 * Creates a partial file or folder, which {@link removePartialOutputs} knows from the first moment on.
 *
 * @throws `refused` where this process is writing that output already; and what `create` throws
 */
export async function startPartial<T>(file: string, target: string, create: () => Promise<T>): Promise<T> {
	if (partial.has(file)) {
		throw refused(`${target} is being written already`, { file: target, hint: "Choose another name for one of them." });
	}
	partial.set(file, target);
	try {
		return await create();
	} catch (error) {
		partial.delete(file);
		throw error;
	}
}

export function forgetPartial(file: string): void {
	partial.delete(file);
}

/**
 * Removes every output that is not complete, at once and synchronously: for a signal handler that is about to end the
 * process. Returns the names that they were meant for.
 */
export function removePartialOutputs(): string[] {
	const removed: string[] = [];
	for (const [file, target] of partial) {
		try {
			rmSync(file, { recursive: true, force: true });
			removed.push(target);
		} catch {
			// The process ends now; the others still deserve their removal.
		}
	}
	partial.clear();
	return removed;
}
