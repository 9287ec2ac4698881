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
	if (!overwrite) await guarded("writing", target, () => refuseFilled(target));
	return new PartialFolder(await partialFolder(target), target, overwrite);
}

/** An empty folder beside `target`, which {@link removePartialOutputs} knows; what killed runs left there is removed. */
export async function partialFolder(target: string): Promise<string> {
	const folder = partialPath(target);
	await guarded("writing", target, async () => {
		await removeAbandoned(target);
		await startPartial(folder, target, () => mkdir(folder));
	});
	return folder;
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

/** Grows beside its target under another name. */
export class PartialFolder implements OutputFolder {
	readonly name: string;
	/** Where the files are until the commit. */
	protected readonly folder: string;
	protected readonly overwrite: boolean;
	#done = false;

	constructor(folder: string, name: string, overwrite: boolean) {
		this.name = name;
		this.folder = folder;
		this.overwrite = overwrite;
	}

	async file(name: string): Promise<ByteSink> {
		const parts = name.split("/");
		for (const part of parts) checkPlain(part);
		const [inside, target] = [path.join(this.folder, ...parts), path.join(this.name, ...parts)];
		if (parts.length > 1) await guarded("writing", target, () => mkdir(path.dirname(inside), { recursive: true }));
		return PartialFile.create(inside, target);
	}

	async commit(): Promise<void> {
		await this.place();
		forgetPartial(this.folder);
		this.#done = true;
	}

	/** Puts what was written where it is wanted, so that nothing is left of the folder. */
	protected place(): Promise<void> {
		return guarded("writing", this.name, async () => {
			await this.#syncFolders();
			if (this.overwrite && (await exists(this.name))) await this.#moveFiles();
			else await this.#moveFolder();
			await syncFolder(path.dirname(this.name));
		});
	}

	async #moveFolder(): Promise<void> {
		if (await exists(this.name)) {
			await refuseFilled(this.name);
			await rmdir(this.name);
		}
		await rename(this.folder, this.name);
	}

	async #syncFolders(below = ""): Promise<void> {
		for (const entry of await readdir(path.join(this.folder, below), { withFileTypes: true })) {
			if (entry.isDirectory()) await this.#syncFolders(path.join(below, entry.name));
		}
		await syncFolder(path.join(this.folder, below));
	}

	async #moveFiles(below = ""): Promise<void> {
		for (const entry of await readdir(path.join(this.folder, below), { withFileTypes: true })) {
			const inside = path.join(below, entry.name);
			if (entry.isDirectory()) {
				await mkdir(path.join(this.name, inside), { recursive: true });
				await this.#moveFiles(inside);
			} else await rename(path.join(this.folder, inside), path.join(this.name, inside));
		}
		await rmdir(path.join(this.folder, below));
		await syncFolder(path.join(this.name, below));
	}

	async [Symbol.asyncDispose](): Promise<void> {
		if (this.#done) return;
		this.#done = true;
		await rm(this.folder, { recursive: true, force: true });
		forgetPartial(this.folder);
	}
}
