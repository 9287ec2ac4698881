import { mkdir, readdir, rename, rm, rmdir } from "node:fs/promises";
import path from "node:path";
import { refused } from "../bytes/errors.js";
import type { ByteSink, OutputFolder } from "../bytes/sink.js";
import { guarded } from "./failure.js";
import { forgetPartial, partialPath, removeAbandoned, startPartial } from "./partial.js";
import { exists, PartialFile, syncFolder } from "./partial-file.js";
import { checkPlain, type OutputOptions } from "./sink.js";

/**
 * Writes a folder that appears under its name only when all of its files are complete. An empty folder of that name is
 * taken over. With `overwrite`, the new files replace those of the same name in an existing folder one by one; what else
 * is in there stays.
 *
 * @throws `refused` where the folder holds anything, `permission`, `not-found` (its parent), `no-space`, `io`
 */
export async function outputFolder(target: string, { overwrite = false }: OutputOptions = {}): Promise<OutputFolder> {
	const folder = partialPath(target);
	await guarded("writing", target, async () => {
		if (!overwrite) await refuseFilled(target);
		await removeAbandoned(target);
		await startPartial(folder, target, () => mkdir(folder));
	});
	return new PartialFolder(folder, target, overwrite);
}

async function refuseFilled(target: string): Promise<void> {
	if (!(await exists(target))) return;
	if ((await readdir(target)).length > 0) {
		throw refused(`${target} exists already and is not empty`, {
			file: target,
			hint: "Choose another folder, or allow its files to be replaced.",
		});
	}
}

class PartialFolder implements OutputFolder {
	readonly name: string;
	readonly #folder: string;
	readonly #overwrite: boolean;
	#done = false;

	constructor(folder: string, name: string, overwrite: boolean) {
		this.name = name;
		this.#folder = folder;
		this.#overwrite = overwrite;
	}

	async file(name: string): Promise<ByteSink> {
		checkPlain(name);
		return PartialFile.create(path.join(this.#folder, name), path.join(this.name, name));
	}

	async commit(): Promise<void> {
		await guarded("writing", this.name, async () => {
			await syncFolder(this.#folder);
			if (this.#overwrite && (await exists(this.name))) await this.#moveFiles();
			else await this.#moveFolder();
			await syncFolder(path.dirname(this.name));
		});
		forgetPartial(this.#folder);
		this.#done = true;
	}

	async #moveFolder(): Promise<void> {
		if (await exists(this.name)) {
			await refuseFilled(this.name);
			await rmdir(this.name);
		}
		await rename(this.#folder, this.name);
	}

	async #moveFiles(): Promise<void> {
		for (const file of await readdir(this.#folder)) {
			await rename(path.join(this.#folder, file), path.join(this.name, file));
		}
		await rmdir(this.#folder);
		await syncFolder(this.name);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		if (this.#done) return;
		this.#done = true;
		await rm(this.#folder, { recursive: true, force: true });
		forgetPartial(this.#folder);
	}
}
