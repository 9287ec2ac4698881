/**
 * Every failure a user can cause or meet is one of these kinds. "Not mine" is never an error: a format that does not
 * recognise its input answers `false`.
 */
export type FailureKind =
	/** The bytes contradict their own format: bad magic after recognition, checksum, out-of-range pointer, truncation. */
	| "damaged"
	/** Valid, but a feature that Anyvisor cannot read or write (named in the message). */
	| "unsupported"
	/** Possible, but declined for safety: encryption, a path that leaves its folder, a limit exceeded. */
	| "refused"
	/** A file, member, or guest path that should be there is not. */
	| "not-found"
	/** The destination ran out of space. */
	| "no-space"
	/** The operating system denied access. */
	| "permission"
	/** The device or file failed while being read or written. */
	| "io"
	/** The command line or an API argument makes no sense. */
	| "usage"
	/** The caller asked to stop (Ctrl-C, AbortSignal). */
	| "interrupted";

export interface FailureDetails {
	/** The file or nested source the failure is about, as a person would name it. */
	readonly file?: string;
	/** Byte offset within `file`. */
	readonly offset?: number;
	/** What the user can do next, one imperative sentence. */
	readonly hint?: string;
	readonly cause?: unknown;
}

/** The one error type that leaves Anyvisor on purpose; anything else that escapes is a bug. */
export class AnyvisorError extends Error {
	override readonly name = "AnyvisorError";
	readonly kind: FailureKind;
	readonly file: string | undefined;
	readonly offset: number | undefined;
	readonly hint: string | undefined;

	constructor(kind: FailureKind, message: string, details: FailureDetails = {}) {
		super(message, details.cause === undefined ? undefined : { cause: details.cause });
		this.kind = kind;
		this.file = details.file;
		this.offset = details.offset;
		this.hint = details.hint;
	}
}

export const damaged = (message: string, details?: FailureDetails) => new AnyvisorError("damaged", message, details);
export const unsupported = (message: string, details?: FailureDetails) =>
	new AnyvisorError("unsupported", message, details);
export const refused = (message: string, details?: FailureDetails) => new AnyvisorError("refused", message, details);
export const notFound = (message: string, details?: FailureDetails) => new AnyvisorError("not-found", message, details);
