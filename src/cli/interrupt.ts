import { removePartialOutputs } from "../source/partial.js";
import { exitCodes } from "./exit-codes.js";
import { stderr } from "./standard-streams.js";

/**
 * Ctrl-C, a closed terminal and a polite kill end the command at once and take unfinished outputs with them. Nothing has
 * to be rolled back: outputs get their names only when they are complete.
 */
export function removeOutputsWhenInterrupted(): void {
	for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
		process.once(signal, () => {
			const removed = removePartialOutputs();
			const what = removed.length === 0 ? "nothing was written" : `removed unfinished ${removed.join(", ")}`;
			stderr.write(`\nanyvisor: stopped; ${what}\n`);
			process.exit(exitCodes.interrupted);
		});
	}
}
