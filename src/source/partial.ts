import { rmSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import path from "node:path";

/** Outputs that are being written: the path of each partial file or folder, and the name it is meant for. */
const partial = new Map<string, string>();

/** Where an output grows until it is complete: beside its target, so that the last step is a rename. */
export const partialPath = (target: string): string =>
	path.join(path.dirname(target), `.${path.basename(target)}.partial-${process.pid}`);

/**
 * Removes what a run that was killed outright (SIGKILL, a power cut) left of an output of this name. A partial output of
 * a process that still lives stays.
 */
export async function removeAbandoned(target: string): Promise<void> {
	const folder = path.dirname(target);
	const prefix = `.${path.basename(target)}.partial-`;
	for (const name of await readdir(folder).catch(() => [])) {
		const pid = name.startsWith(prefix) ? Number(name.slice(prefix.length)) : 0;
		if (Number.isSafeInteger(pid) && pid > 0 && pid !== process.pid && !isAlive(pid)) {
			await rm(path.join(folder, name), { recursive: true, force: true });
		}
	}
}

function isAlive(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return true;
	} catch (error) {
		// EPERM: it is somebody else's.
		return !(error instanceof Error && "code" in error && error.code === "ESRCH");
	}
}

export function registerPartial(file: string, target: string): void {
	partial.set(file, target);
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
