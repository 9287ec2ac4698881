import { type FileHandle, lstat, open, rename, rm } from "node:fs/promises";
import path from "node:path";
import { refused } from "../bytes/errors.js";
import type { ByteSink } from "../bytes/sink.js";
import { guarded } from "./failure.js";
import { forgetPartial, partialPath, registerPartial, removeAbandoned } from "./partial.js";

export interface OutputOptions {
	/** Replaces an output of that name, at the moment the new one is complete. Without it, one that exists is `refused`. */
	readonly overwrite?: boolean | undefined;
}

/**
 * Writes a file that appears under its name only when it is complete and on the disk. Until then it is called
 * `.NAME.partial-PID`, in the same folder.
 *
 * @throws `refused` where it exists, `permission`, `not-found` (the folder), `no-space`, `io`
 */
export async function fileSink(target: string, options: OutputOptions = {}): Promise<ByteSink> {
	const file = partialPath(target);
	const checkFree = () => (options.overwrite === true ? Promise.resolve() : refuseExisting(target));
	await checkFree();
	await removeAbandoned(target);
	return sinkInto(file, target, async () => {
		await checkFree();
		await rename(file, target);
		await syncFolder(path.dirname(target));
	});
}

/** @throws `refused` where there is anything under that name, a dangling link included */
async function refuseExisting(target: string): Promise<void> {
	if (await exists(target)) {
		throw refused(`${target} exists already`, {
			file: target,
			hint: "Choose another name, or allow it to be replaced.",
		});
	}
}

export async function exists(target: string): Promise<boolean> {
	try {
		await lstat(target);
		return true;
	} catch (error) {
		if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
		throw error;
	}
}

/**
 * Creates `file` and writes into it.
 *
 * @param publish called once its bytes are on the disk and it is closed, to put it under its name
 */
export async function sinkInto(file: string, name: string, publish: () => Promise<void>): Promise<ByteSink> {
	const handle = await guarded("writing", name, () => open(file, "wx"));
	registerPartial(file, name);
	return new FileSink(handle, file, name, publish);
}

class FileSink implements ByteSink {
	readonly name: string;
	readonly #handle: FileHandle;
	readonly #file: string;
	readonly #publish: () => Promise<void>;
	#state: "open" | "closed" | "done" = "open";

	constructor(handle: FileHandle, file: string, name: string, publish: () => Promise<void>) {
		this.name = name;
		this.#handle = handle;
		this.#file = file;
		this.#publish = publish;
	}

	async write(at: number, bytes: Uint8Array): Promise<void> {
		await guarded("writing", this.name, async () => {
			for (let done = 0; done < bytes.length; ) {
				const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, at + done);
				done += bytesWritten;
			}
		});
	}

	async commit(size: number): Promise<void> {
		await guarded("writing", this.name, async () => {
			await this.#handle.truncate(size);
			await this.#handle.sync();
			await this.#close();
			await this.#publish();
		});
		forgetPartial(this.#file);
		this.#state = "done";
	}

	async [Symbol.asyncDispose](): Promise<void> {
		if (this.#state === "done") return;
		await this.#close();
		this.#state = "done";
		await rm(this.#file, { force: true });
		forgetPartial(this.#file);
	}

	async #close(): Promise<void> {
		if (this.#state !== "open") return;
		this.#state = "closed";
		await this.#handle.close();
	}
}

/** A rename is on the disk when its folder is; not every system lets a folder be synced. */
export async function syncFolder(folder: string): Promise<void> {
	let handle: FileHandle;
	try {
		handle = await open(folder, "r");
	} catch {
		return;
	}
	try {
		await handle.sync();
	} catch {
		// The file system has no such thing; the rename itself succeeded.
	} finally {
		await handle.close();
	}
}
