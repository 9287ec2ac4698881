import { AnyvisorError, type FailureKind } from "../bytes/errors.js";

const kinds: Readonly<Record<string, FailureKind>> = {
	ENOENT: "not-found",
	ENOTDIR: "not-found",
	EACCES: "permission",
	EPERM: "permission",
	EROFS: "permission",
	ENOSPC: "no-space",
	EDQUOT: "no-space",
	EFBIG: "no-space",
	EEXIST: "refused",
	ENOTEMPTY: "refused",
	ELOOP: "refused",
	ENAMETOOLONG: "usage",
};

const hints: Partial<Record<FailureKind, string>> = {
	"not-found": "Check the path for typing errors.",
	permission: "Check who may read and write it: ls -l shows it, chmod and chown change it.",
	"no-space": "Free some space there, or choose an output on another disk.",
	refused: "Remove it or choose another name.",
	io: "Check the disk, the cable or the network share that it is on; the system's log says more (dmesg).",
	usage: "Choose a shorter name.",
};

/** The operating system's answer as one of ours; what is not such an answer passes through. */
function osFailure(error: unknown, doing: string, file: string): unknown {
	const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
	if (error instanceof AnyvisorError || code === undefined || !/^E[A-Z0-9]+$/.test(code)) return error;
	const kind = kinds[code] ?? "io";
	const hint = hints[kind];
	return new AnyvisorError(kind, `${doing} ${file} failed: ${reasonOf(error as Error)}`, {
		file,
		cause: error,
		...(hint === undefined ? {} : { hint }),
	});
}

/** "ENOENT: no such file or directory, open 'x'" without its code and without its call. */
const reasonOf = ({ message }: Error) => message.replace(/^E[A-Z0-9]+: /, "").replace(/, \w+( '.*)?$/s, "");

/** Runs `work`; the operating system's errors come out as ours. */
export async function guarded<T>(doing: string, file: string, work: () => Promise<T>): Promise<T> {
	try {
		return await work();
	} catch (error) {
		throw osFailure(error, doing, file);
	}
}
