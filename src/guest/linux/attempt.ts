import { AnyvisorError, type FailureKind } from "../../bytes/errors.js";

const survivable: ReadonlySet<FailureKind> = new Set(["damaged", "unsupported", "refused", "not-found"]);

/** True where the guest's own bytes are to blame; a disk that cannot be read is no such failure. */
export const isGuestsFault = (error: unknown): error is AnyvisorError =>
	error instanceof AnyvisorError && survivable.has(error.kind);

/** Does `read`, and where the guest's bytes make it fail notes that in `problems` and answers `undefined`. */
export async function attempt<T>(problems: string[], read: () => Promise<T>): Promise<T | undefined> {
	try {
		return await read();
	} catch (error) {
		if (!isGuestsFault(error)) throw error;
		problems.push(error.message);
		return undefined;
	}
}
