import { AnyvisorError, type FailureKind } from "../../bytes/errors.js";

const survivable: ReadonlySet<FailureKind> = new Set(["damaged", "unsupported", "refused", "not-found"]);

/**
 * Does `read`, and where the guest's own bytes are to blame for a failure notes that in `problems` and answers
 * `undefined`. A disk that cannot be read is no such failure.
 */
export async function attempt<T>(problems: string[], read: () => Promise<T>): Promise<T | undefined> {
	try {
		return await read();
	} catch (error) {
		if (!(error instanceof AnyvisorError && survivable.has(error.kind))) throw error;
		problems.push(error.message);
		return undefined;
	}
}
