import { chmod, mkdir, open, rename, rm, symlink, utimes } from "node:fs/promises";
import path from "node:path";
import { refused } from "../bytes/errors.js";
import type { ByteSource } from "../bytes/source.js";
import { guarded } from "./failure.js";
import { forgetPartial, partialPath, removeAbandoned, startPartial } from "./partial.js";
import { checkFree, syncFolder } from "./partial-file.js";

/** What is read at once, and what has to be zero to become a hole. */
const PIECE = 256 << 10;

/** What a file or folder gets beside its content. */
export interface TreeAttributes {
	/** Permission bits; those that would lend an owner's rights (setuid, setgid) are left out. */
	readonly mode: number;
	/** Seconds since 1970. */
	readonly mtime: number;
}

/**
 * A file, or a folder with all that is in it, which appears under its name when it is complete. Places in it are lists
 * of names below its root, which itself is the empty list; whoever makes a folder has to finish it.
 */
export class OutputTree {
	readonly name: string;
	readonly #root: string;
	readonly #sync: boolean;
	#done = false;

	/** @throws `refused` where something has that name; `permission`, `not-found` (its folder), `no-space`, `io` */
	static async create(target: string, { sync = true }: { readonly sync?: boolean } = {}): Promise<OutputTree> {
		const root = partialPath(target);
		await guarded("writing", target, async () => {
			await checkFree(target, false);
			await removeAbandoned(target);
		});
		return startPartial(root, target, async () => new OutputTree(root, target, sync));
	}

	private constructor(root: string, name: string, sync: boolean) {
		this.#root = root;
		this.name = name;
		this.#sync = sync;
	}

	/** Makes a folder that can be written into. */
	folder(place: readonly string[]): Promise<void> {
		return this.#at(place, (file) => mkdir(file, { mode: 0o700 }));
	}

	/** Gives a folder its attributes when everything in it has been written. */
	finishFolder(place: readonly string[], attributes: TreeAttributes): Promise<void> {
		return this.#at(place, async (file) => {
			await utimes(file, 0, attributes.mtime);
			await chmod(file, attributes.mode & 0o1777);
			if (this.#sync) await syncFolder(file);
		});
	}

	/** Copies `content`; zeros become holes of the file. */
	async file(place: readonly string[], content: ByteSource, attributes: TreeAttributes): Promise<void> {
		const handle = await this.#at(place, (file) => open(file, "wx", 0o600));
		try {
			const piece = new Uint8Array(Math.min(PIECE, content.size));
			for (let at = 0; at < content.size; at += PIECE) {
				const bytes = piece.subarray(0, Math.min(PIECE, content.size - at));
				await content.read(at, bytes);
				if (Buffer.compare(bytes.subarray(1), bytes.subarray(0, -1)) === 0 && bytes[0] === 0) continue;
				await this.#at(place, async () => {
					for (let done = 0; done < bytes.length; ) {
						done += (await handle.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
					}
				});
			}
			await this.#at(place, async () => {
				await handle.truncate(content.size);
				await handle.utimes(0, attributes.mtime);
				await handle.chmod(attributes.mode & 0o1777);
				if (this.#sync) await handle.sync();
			});
		} finally {
			await handle.close();
		}
	}

	link(place: readonly string[], target: string): Promise<void> {
		return this.#at(place, (file) => symlink(target, file));
	}

	/** Puts it under its name. */
	async commit(): Promise<void> {
		await guarded("writing", this.name, async () => {
			await checkFree(this.name, false);
			await rename(this.#root, this.name);
			if (this.#sync) await syncFolder(path.dirname(this.name));
		});
		forgetPartial(this.#root);
		this.#done = true;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		if (this.#done) return;
		this.#done = true;
		await rm(this.#root, { recursive: true, force: true });
		forgetPartial(this.#root);
	}

	#at<T>(place: readonly string[], work: (file: string) => Promise<T>): Promise<T> {
		for (const name of place) checkName(name);
		return guarded("writing", path.join(this.name, ...place), () => work(path.join(this.#root, ...place)));
	}
}

/** Names come from inside an image: none may lead anywhere else. */
function checkName(name: string): void {
	const separators = path.sep === "\\" ? /[/\\:\0]/ : /[/\0]/;
	if (name !== "" && name !== "." && name !== ".." && !separators.test(name)) return;
	throw refused(`a file called ${JSON.stringify(name)} cannot be written here`, { file: name });
}
