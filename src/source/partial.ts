import { rmSync } from "node:fs";
import path from "node:path";

/** Outputs that are being written: the path of each partial file or folder, and the name it is meant for. */
const partial = new Map<string, string>();

/** Where an output grows until it is complete: beside its target, so that the last step is a rename. */
export const partialPath = (target: string): string =>
	path.join(path.dirname(target), `.${path.basename(target)}.partial-${process.pid}`);

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
