import { realpath, stat } from "node:fs/promises";
import path from "node:path";
import { unsupported } from "../bytes/errors.js";
import type { ByteSource } from "../bytes/source.js";
import { leadOf, type OpenNeighbour, outside, withoutCredentials } from "./confine.js";
import { guarded } from "./failure.js";
import { openFile } from "./file.js";
import type { HttpOptions } from "./http.js";

export interface NeighbourOptions {
	/**
	 * What the user lets images refer to though it lies elsewhere: names exactly as an image mentions them, paths that they
	 * lead to, absolute or relative to the folder, and http(s) URLs. No other protocol is ever followed.
	 */
	readonly allow?: readonly string[] | undefined;
	/** For allowed URLs. */
	readonly http?: Omit<HttpOptions, "headers"> | undefined;
}

/**
 * Opens files of a folder and of those inside it by the names that a descriptor or a disk image mentions. Those names
 * come from the file, not from the user: one that leaves the folder, also through a symbolic link, is `refused`, and so
 * is what is not a regular file, unless the user allows it.
 */
export function folderNeighbours(folder: string, { allow = [], http }: NeighbourOptions = {}): OpenNeighbour {
	const allowed = (mention: string, ...paths: string[]) =>
		allow.includes(mention) || allow.some((each) => !isUrl(each) && paths.includes(path.resolve(folder, each)));

	const open = async (name: string, mention: string): Promise<ByteSource> => {
		if (isUrl(name)) {
			const url = withoutCredentials(name);
			if (!allow.some((each) => each === mention || withoutCredentials(each) === url))
				throw outside(mention, folder, name);
			return (await import("./http.js")).openUrl(name, { ...http, headers: undefined });
		}
		const file = path.resolve(folder, name);
		if (allowed(mention, file)) return openFile(file);
		const home = await guarded("opening", folder, () => realpath(folder));
		const drive = process.platform !== "win32" && /^[A-Za-z]:/.test(name);
		if (drive || !(isWithin(path.resolve(folder), file) || isWithin(home, file))) throw outside(mention, folder, file);
		const real = await guarded("opening", file, () => realpath(file));
		if (allowed(mention, real)) return openFile(file);
		if (!isWithin(home, real)) throw outside(mention, folder, mention);
		if (!(await guarded("opening", file, () => stat(real))).isFile()) throw noFile(file, mention);
		// As the user wrote the folder, for messages.
		return openFile(path.isAbsolute(name) ? name : path.join(folder, name));
	};
	return Object.assign(async (name: string) => open(leadOf("", name).path, name), { elsewhere: open });
}

const isUrl = (name: string) => /^https?:\/\//i.test(name);

const isWithin = (folder: string, file: string) =>
	file.startsWith(folder.endsWith(path.sep) ? folder : folder + path.sep);

const noFile = (file: string, mention: string) =>
	unsupported(`${file}, to which an image refers, is not a regular file`, {
		file,
		hint: `Allow it to be read if you trust the image: --allow-external ${mention}`,
	});
