import { Option } from "commander";
import type { FileStat } from "../../filesystem/filesystem.js";

export const volumeOption = () =>
	new Option("--volume <device>", "the files of this volume alone: /dev/sda1, UUID=…, LABEL=…");

/** What `--json` prints of a file. */
export interface FileDocument {
	readonly path: string;
	readonly type: FileStat["type"];
	readonly size: number;
	/** Four octal digits. */
	readonly mode: string;
	readonly uid: number;
	readonly gid: number;
	/** ISO 8601, in UTC. */
	readonly mtime: string;
	/** Of a symbolic link. */
	readonly target: string | null;
}

export const fileDocument = (path: string, { type, size, mode, uid, gid, mtime, target }: FileStat): FileDocument => ({
	path,
	type,
	size,
	mode: mode.toString(8).padStart(4, "0"),
	uid,
	gid,
	mtime: timeText(mtime),
	target: target ?? null,
});

/** What a date cannot hold is the epoch: file systems hold any number. */
function timeText(seconds: number): string {
	const date = new Date(seconds * 1000);
	return Number.isNaN(date.getTime()) ? new Date(0).toISOString() : date.toISOString();
}

/** `drwxr-xr-x`, as `ls -l` writes it. */
export function modeText({ type, mode }: Pick<FileStat, "type" | "mode">): string {
	const kind = { file: "-", directory: "d", link: "l", other: "?" }[type];
	const rights = [6, 3, 0].map((shift, who) => {
		const bits = (mode >> shift) & 7;
		const special = ((mode >> (11 - who)) & 1) === 1;
		const letters = who === 2 ? "tT" : "sS";
		const execute = special ? letters[bits & 1 ? 0 : 1] : bits & 1 ? "x" : "-";
		return `${bits & 4 ? "r" : "-"}${bits & 2 ? "w" : "-"}${execute}`;
	});
	return kind + rights.join("");
}
