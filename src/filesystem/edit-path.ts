import { refused } from "../bytes/errors.js";

const longestName = 255;
/** PATH_MAX, the NUL included. */
const longestTarget = 4096;

const lengthOf = (text: string) => new TextEncoder().encode(text).length;

/** `refused` where no file of a Unix file system can have that path. */
export function checkPath(volume: string, path: string): void {
	for (const name of path.split("/").slice(1)) {
		const length = lengthOf(name);
		if (length === 0 || length > longestName || name === "." || name === ".." || name.includes("\0")) {
			throw refused(`${volume}: "${path}" cannot be the path of a file`, { file: path });
		}
	}
}

/** `refused` where no link can have that target; returns how many bytes it is long, less than `limit`. */
export function checkTarget(volume: string, path: string, target: string, limit = longestTarget): number {
	const length = lengthOf(target);
	if (length === 0 || length >= Math.min(longestTarget, limit) || target.includes("\0")) {
		throw refused(`${volume}:${path} cannot be a link to a name of ${length} bytes`, { file: path });
	}
	return length;
}

export function parentOf(path: string): string {
	return path.slice(0, path.lastIndexOf("/")) || "/";
}

/** `refused` for what is no regular file. */
export function checkRegular(volume: string, path: string, type: "file" | "directory" | "link" | "other"): void {
	if (type === "file") return;
	const is = { directory: "a directory", link: "a symbolic link", other: "a device or a pipe" }[type];
	throw refused(`${volume}:${path} is ${is} and cannot be written`, { file: path });
}

/** `refused` where only one of the two is a directory. */
export function checkReplaced(volume: string, path: string, old: string, by: string): void {
	if ((old === "directory") === (by === "directory")) return;
	const [is, other] = old === "directory" ? ["a directory", "what is none"] : ["no directory", "one"];
	throw refused(`${volume}:${path} is ${is} and cannot be replaced by ${other}`, { file: path });
}
