import { realpath, stat } from "node:fs/promises";
import path from "node:path";
import { refused } from "../bytes/errors.js";

/** @throws `refused` where the output would replace what it is made from, under whatever name */
export async function refuseInput(output: string, inputs: readonly string[]): Promise<void> {
	const target = await fileId(output);
	if (target === undefined) return;
	for (const input of inputs) {
		if ((await fileId(input)) !== target) continue;
		const same = path.resolve(input) === path.resolve(output) ? "" : `: it is the same file as ${input}`;
		throw refused(`${output} is one of the files that are read for it${same}`, {
			file: output,
			hint: "Choose another name.",
		});
	}
}

/** The same for all names of one file; undefined for what is no file of this computer. */
const fileId = (name: string) =>
	stat(name).then(
		({ dev, ino }) => `${dev} ${ino}`,
		() => undefined,
	);

/** @throws `refused` where a folder that would be replaced has something in it that is read meanwhile */
export async function refuseFolderOfInput(folder: string, inputs: readonly string[]): Promise<void> {
	const place = await realpath(folder).catch(() => undefined);
	if (place === undefined) return;
	for (const input of inputs) {
		const file = await realpath(input).catch(() => undefined);
		if (file === undefined || !file.startsWith(place + path.sep)) continue;
		throw refused(`${folder} has ${input} in it, which is read for what would be written there`, {
			file: folder,
			hint: "Choose another folder.",
		});
	}
}
