import { realpath } from "node:fs/promises";
import path from "node:path";
import { refused } from "../bytes/errors.js";
import type { ByteSource } from "../bytes/source.js";
import { guarded } from "./failure.js";
import { openFile } from "./file.js";

/**
 * Opens files of a folder and of those inside it by the names that a descriptor or a disk image mentions. Those names
 * come from the file, not from the user: one that leaves the folder, also through a symbolic link, is `refused`.
 */
export function folderNeighbours(folder: string): (name: string) => Promise<ByteSource> {
	return async (name) => {
		if (name === "" || path.isAbsolute(name) || /^[A-Za-z]:|^\\|\0/.test(name) || name.split("/").includes("..")) {
			throw leaves(name, folder);
		}
		const file = path.join(folder, name);
		const [home, real] = await guarded("opening", file, () => Promise.all([realpath(folder), realpath(file)]));
		if (!real.startsWith(home.endsWith(path.sep) ? home : home + path.sep)) throw leaves(name, folder);
		return openFile(file);
	};
}

const leaves = (name: string, folder: string) =>
	refused(`a file in ${folder} refers to "${name}", which is not inside that folder`, {
		file: name,
		hint: "Put the file beside the one that refers to it, and name it there without a folder.",
	});
