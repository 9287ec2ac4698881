import { rm } from "node:fs/promises";
import path from "node:path";
import { AnyvisorError } from "../bytes/errors.js";
import type { ByteSink } from "../bytes/sink.js";
import type { ByteSource } from "../bytes/source.js";
import { guarded } from "./failure.js";
import { partialPath, removeAbandoned, startPartial } from "./partial.js";
import { checkFree, PartialFile, syncFolder } from "./partial-file.js";

export interface OutputOptions {
	/** Replaces an output of that name, at the moment the new one is complete. Without it, one that exists is `refused`. */
	readonly overwrite?: boolean | undefined;
}

export interface FileOptions extends OutputOptions {
	/** Whether a commit waits until everything is on the disk: true where left out. A power cut may undo what is not. */
	readonly sync?: boolean | undefined;
}

/** A file, and those beside it that it refers to: the extents of a descriptor. */
export interface FileOutput extends ByteSink {
	/**
	 * Starts another file in the same folder. Its own commit completes it; it appears under its name just before this
	 * output does, when that is committed.
	 *
	 * @param name a plain file name
	 * @throws `usage` for a name that is not plain, or is in use; and what {@link fileSink} throws
	 */
	readonly sibling: (name: string) => Promise<ByteSink>;
}

/**
 * Writes a file that appears under its name only when it is complete and on the disk. Until then it is called
 * `.NAME.partial-PID-ORIGIN`, in the same folder. What a killed run left of an output of that name is removed.
 *
 * @throws `refused` where it exists, or is a folder or a device; `permission`, `not-found` (the folder), `no-space`, `io`
 */
export async function fileSink(
	target: string,
	{ overwrite = false, sync = true }: FileOptions = {},
): Promise<FileOutput> {
	await guarded("writing", target, async () => {
		await checkFree(target, overwrite);
		await removeAbandoned(target);
	});
	return new FileSink(await start(partialPath(target), target, sync), { overwrite, sync });
}

/** The last step of an output of one or more files. */
class FileSink implements FileOutput {
	readonly name: string;
	readonly #file: PartialFile;
	readonly #overwrite: boolean;
	readonly #sync: boolean;
	readonly #siblings: PartialFile[] = [];

	constructor(file: PartialFile, { overwrite, sync }: { readonly overwrite: boolean; readonly sync: boolean }) {
		this.name = file.name;
		this.#file = file;
		this.#overwrite = overwrite;
		this.#sync = sync;
	}

	write(at: number, bytes: Uint8Array): Promise<void> {
		return this.#file.write(at, bytes);
	}

	share(at: number, source: ByteSource, from: number, length: number): Promise<boolean> {
		return this.#file.share(at, source, from, length);
	}

	reserve(size: number): Promise<boolean> {
		return this.#file.reserve(size);
	}

	readonly sibling = async (name: string): Promise<ByteSink> => {
		checkPlain(name);
		const target = path.join(path.dirname(this.name), name);
		if ([this.#file, ...this.#siblings].some((file) => path.resolve(file.name) === path.resolve(target))) {
			throw new AnyvisorError("usage", `two files of one output cannot both be ${target}`, { file: target });
		}
		await guarded("writing", target, () => checkFree(target, this.#overwrite));
		const file = await start(partialPath(this.name, this.#siblings.length + 1), target, this.#sync);
		this.#siblings.push(file);
		return file;
	};

	async commit(size: number): Promise<void> {
		await this.#file.commit(size);
		const published: string[] = [];
		try {
			for (const file of this.#siblings) {
				await file.publish(this.#overwrite);
				published.push(file.name);
			}
			// Whoever finds this file finds its siblings, even after a power cut.
			if (published.length > 0) await this.#syncFolder();
			await this.#file.publish(this.#overwrite);
		} catch (error) {
			if (!this.#overwrite) await Promise.allSettled(published.map((name) => rm(name)));
			throw error;
		}
		await this.#syncFolder();
	}

	async #syncFolder(): Promise<void> {
		if (this.#sync) await guarded("writing", this.name, () => syncFolder(path.dirname(this.name)));
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const file of [this.#file, ...this.#siblings]) await file.discard();
	}
}

const start = (partial: string, target: string, sync: boolean) =>
	startPartial(partial, target, () => PartialFile.create(partial, target, sync));

/** @throws `usage` for anything but a plain file name */
export function checkPlain(name: string): void {
	if (name === "" || name === "." || name === ".." || /[/\\\0]/.test(name)) {
		throw new AnyvisorError("usage", `"${name}" is not a plain file name`, { file: name });
	}
}
