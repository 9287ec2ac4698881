import { constants } from "node:os";
import { AnyvisorError, type FailureKind } from "../bytes/errors.js";

const LOOK_AT_RIGHTS = "Check who may read and write it: ls -l shows it, chmod and chown change it.";
const ANOTHER_NAME = "Remove it or choose another name.";
const CHECK_PATH = "Check the path for typing errors.";

/** What the operating system's answers mean, and what can be done about them. */
const answers: Readonly<Record<string, readonly [FailureKind, hint: string]>> = {
	ENOENT: ["not-found", CHECK_PATH],
	ENOTDIR: ["not-found", CHECK_PATH],
	EACCES: ["permission", LOOK_AT_RIGHTS],
	EPERM: ["permission", LOOK_AT_RIGHTS],
	EROFS: ["permission", "Nothing can be written to that file system: choose an output elsewhere."],
	ENOSPC: ["no-space", "Free some space there, or choose an output on another disk."],
	EDQUOT: ["no-space", "Your quota there is used up: free some space, or choose an output on another disk."],
	EFBIG: [
		"no-space",
		"No file may be that large there, for the file system (FAT32) or for a limit (ulimit -f): choose another one.",
	],
	EEXIST: ["refused", ANOTHER_NAME],
	ENOTEMPTY: ["refused", ANOTHER_NAME],
	EISDIR: ["refused", ANOTHER_NAME],
	ELOOP: ["refused", ANOTHER_NAME],
	ENAMETOOLONG: ["usage", "Choose a shorter name."],
	EMFILE: ["io", "Too many files are open: raise the limit (ulimit -n)."],
	EPIPE: ["io", "Whoever was to read it has ended: see what it says."],
};

const SEE_THE_LOG = "Check the disk, the cable or the network share that it is on; the system's log says more (dmesg).";

/** The operating system's answer as one of ours; what is not such an answer passes through. */
export function osFailure(error: unknown, doing: string, file: string): unknown {
	const code = codeOf(error);
	if (error instanceof AnyvisorError || code === undefined || !/^E[A-Z0-9]+$/.test(code)) return error;
	const [kind, hint] = answers[code] ?? ["io", SEE_THE_LOG];
	return new AnyvisorError(kind, `${doing} ${file} failed: ${reasonOf(error as Error, code)}`, {
		file,
		cause: error,
		hint,
	});
}

/** `ENOENT` and the like; undefined for errors of another kind. */
export function codeOf(error: unknown): string | undefined {
	if (!(error instanceof Error && "code" in error && typeof error.code === "string")) return undefined;
	const unnamed = isUnnamed(error.code) && "errno" in error && typeof error.errno === "number";
	return unnamed ? errnoName(-Number(error.errno)) : error.code;
}

/** The name of an errno, `ENOSPC` for 28: of all that this system has, where Node's own list lacks some (EDQUOT, ESTALE). */
export function errnoName(errno: number): string {
	return Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? `E${errno}`;
}

/** What Node calls an errno that is not in its list, in asynchronous calls and in synchronous ones. */
const isUnnamed = (text: string) => /^(Unknown system error|UNKNOWN\b)/.test(text);

/** In words, what is not in Node's list. */
const unnamed: Readonly<Record<string, string>> = {
	EDQUOT: "disk quota exceeded",
	ESTALE: "the server does not know this file any more",
};

/** "ENOENT: no such file or directory, open 'x'" without its code and without its call. */
function reasonOf({ message }: Error, code: string): string {
	if (isUnnamed(message)) return unnamed[code] ?? code;
	return message.replace(/^E[A-Z0-9]+: /, "").replace(/, \w+( '.*)?$/s, "");
}

/** Runs `work`; the operating system's errors come out as ours. */
export async function guarded<T>(doing: string, file: string, work: () => Promise<T>): Promise<T> {
	try {
		return await work();
	} catch (error) {
		throw osFailure(error, doing, file);
	}
}
