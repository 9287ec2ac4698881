import { writeSync } from "node:fs";
import { type FileHandle, link, lstat, open, rename, rm, stat, statfs } from "node:fs/promises";
import { AnyvisorError, refused } from "../bytes/errors.js";
import type { ByteSink } from "../bytes/sink.js";
import type { ByteSource } from "../bytes/source.js";
import { cloneBlocks, reserveBlocks } from "./blocks.js";
import { BriefCalls } from "./brief-calls.js";
import { codeOf, guarded } from "./failure.js";
import { openFileOf } from "./file.js";
import { forgetPartial } from "./partial.js";

/** Answers that concern the file at hand, and not what the file system can do. */
const FAILURES: readonly string[] = ["ENOSPC", "EDQUOT", "EFBIG", "EIO"];
/** Larger than the blocks of any file system that shares them: what network file systems call their block. */
const LARGEST_BLOCK = 64 * 1024;
const USUAL_BLOCK = 4096;
/** Bytes that are written before the disk is told to begin with them, so that little is left to wait for in the end. */
const SYNC_EVERY = 64 << 20;
/**
 * Most bytes of one call: ext4 and XFS take memory for all of them in one piece, and large pieces are hard to find. In a
 * virtual machine they are often such as the host has not given yet.
 */
const WRITE = 256 << 10;
/** Writes go to the page cache, which may have to find memory first; what takes longer waits for the disk. */
const WRITING = { call: 2, mebibyte: 4 };

/** Pairs of file systems between which sharing was refused. */
const sharesNothing = new Set<string>();

/**
 * A file that is written under another name than its own. Its commit completes it there; what is complete waits to be
 * published.
 */
export class PartialFile implements ByteSink {
	readonly name: string;
	readonly #path: string;
	readonly #handle: FileHandle;
	readonly #sync: boolean;
	readonly #calls = new BriefCalls(WRITING);
	readonly #underWay = new Set<Promise<unknown>>();
	readonly #notShareable = new WeakSet<ByteSource>();
	#place: Promise<{ readonly device: number; readonly block: number }> | undefined;
	#failure: { readonly error: unknown } | undefined;
	#state: "open" | "complete" | "gone" = "open";
	#unsynced = 0;
	#syncing = false;

	/**
	 * @param partial where it grows; anything there is `refused`
	 * @param name where it belongs in the end
	 * @param sync whether it is complete only when it is on the disk
	 */
	static async create(partial: string, name: string, sync = true): Promise<PartialFile> {
		const handle = await guarded("writing", name, () => open(partial, "wx"));
		return new PartialFile(handle, partial, name, sync);
	}

	private constructor(handle: FileHandle, partial: string, name: string, sync: boolean) {
		this.name = name;
		this.#path = partial;
		this.#handle = handle;
		this.#sync = sync;
	}

	write(at: number, bytes: Uint8Array): Promise<void> {
		return this.#watched(async () => {
			for (let done = 0; done < bytes.length; ) {
				const written = await this.#writeSome(bytes, done, at);
				if (written === 0) throw new AnyvisorError("io", `${this.name} takes no more bytes`, { file: this.name });
				done += written;
			}
			this.#unsynced += bytes.length;
			if (this.#sync && this.#unsynced >= SYNC_EVERY && !this.#syncing) void this.#syncAhead();
		});
	}

	#writeSome(bytes: Uint8Array, done: number, at: number): Promise<number> {
		const length = Math.min(bytes.length - done, WRITE);
		return this.#calls.make(
			length,
			() => writeSync(this.#handle.fd, bytes, done, length, at + done),
			async () => (await this.#handle.write(bytes, done, length, at + done)).bytesWritten,
		);
	}

	/** Failures are found by {@link commit}. */
	async #syncAhead(): Promise<void> {
		this.#unsynced = 0;
		this.#syncing = true;
		await this.#watched(() => this.#handle.datasync()).catch(() => {});
		this.#syncing = false;
	}

	async share(at: number, source: ByteSource, from: number, length: number): Promise<boolean> {
		const file = openFileOf(source);
		if (file === undefined || this.#notShareable.has(source)) return false;
		if (length === 0) return true;
		this.#place ??= this.#findPlace();
		const { device, block } = await this.#place;
		const pair = `${file.device} ${device}`;
		// Only the end of a file may be a part of a block.
		const part = length % block !== 0;
		if (sharesNothing.has(pair) || at % block !== 0 || from % block !== 0) return false;
		if (part && from + length !== source.size) return false;

		return this.#watched(async () => {
			const target = { fd: this.#handle.fd, at };
			const answer = await cloneBlocks({ fd: file.fd, at: from }, target, length);
			if (answer === undefined) return true;
			if (answer !== "unavailable" && FAILURES.includes(answer.code)) throw answer;
			if (answer === "unavailable" || answer.code !== "EINVAL") sharesNothing.add(pair);
			// A swap file, a file without copy-on-write, …
			else if (!part) this.#notShareable.add(source);
			return false;
		});
	}

	async #findPlace() {
		const [{ dev }, { bsize }] = await Promise.all([this.#handle.stat(), statfs(this.#path)]);
		return { device: dev, block: bsize > 0 && bsize <= LARGEST_BLOCK ? bsize : USUAL_BLOCK };
	}

	async reserve(size: number): Promise<boolean> {
		if (size === 0) return true;
		return this.#watched(async () => {
			const answer = await reserveBlocks(this.#handle.fd, size);
			if (answer === undefined) return true;
			if (answer !== "unavailable" && FAILURES.includes(answer.code)) throw answer;
			return false;
		});
	}

	/** Runs work on the open file. What fails here fails {@link commit} as well, whether its caller noticed or not. */
	async #watched<T>(work: () => Promise<T>): Promise<T> {
		const running = guarded("writing", this.name, work);
		this.#underWay.add(running);
		try {
			return await running;
		} catch (error) {
			this.#failure ??= { error };
			throw error;
		} finally {
			this.#underWay.delete(running);
		}
	}

	async commit(size: number): Promise<void> {
		await Promise.allSettled(this.#underWay);
		if (this.#failure !== undefined) throw this.#failure.error;
		await guarded("writing", this.name, async () => {
			await this.#handle.truncate(size);
			if (this.#sync) await this.#handle.sync();
			await this.#handle.close();
		});
		this.#state = "complete";
	}

	/**
	 * Puts it under its name.
	 *
	 * @throws `refused` where something has that name meanwhile, and may not be replaced
	 */
	async publish(overwrite: boolean): Promise<void> {
		if (this.#state !== "complete") throw new Error(`${this.name} was never completed`);
		await guarded("writing", this.name, async () => {
			if (overwrite) await rename(this.#path, this.name);
			else await renameToFree(this.#path, this.name);
		});
		this.#state = "gone";
		forgetPartial(this.#path);
	}

	/** Removes it, unless it was published. */
	async discard(): Promise<void> {
		if (this.#state === "gone") return;
		if (this.#state === "open") await this.#handle.close().catch(() => {});
		this.#state = "gone";
		await rm(this.#path, { force: true });
		forgetPartial(this.#path);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		if (this.#state === "open") await this.discard();
	}
}

/** Renames a file; what has got that name at the same moment is not lost. */
async function renameToFree(from: string, to: string): Promise<void> {
	try {
		await link(from, to);
	} catch (error) {
		if (codeOf(error) === "EEXIST") throw existsAlready(to);
		// A file system without links: then there is a moment between looking and renaming.
		if (await exists(to)) throw existsAlready(to);
		return rename(from, to);
	}
	await rm(from);
}

/** @throws `refused` where there is anything under that name (a dangling link included) that may not be replaced */
export async function checkFree(target: string, overwrite: boolean): Promise<void> {
	if (!(await exists(target))) return;
	if (!overwrite) throw existsAlready(target);
	const file = await stat(target).catch(() => undefined);
	if (file === undefined || file.isFile()) return;
	throw refused(`${target} is a ${file.isDirectory() ? "folder" : "device or pipe"}, which a file cannot replace`, {
		file: target,
		hint: "Choose another name.",
	});
}

const existsAlready = (target: string) =>
	refused(`${target} exists already`, { file: target, hint: "Choose another name, or allow it to be replaced." });

export async function exists(target: string): Promise<boolean> {
	try {
		await lstat(target);
		return true;
	} catch (error) {
		if (codeOf(error) === "ENOENT") return false;
		throw error;
	}
}

/** What a system says that cannot open or sync a folder; a rename is safe there without. */
const NO_FOLDER_SYNC: readonly string[] = [
	"EINVAL",
	"ENOTSUP",
	"EOPNOTSUPP",
	"ENOSYS",
	"EISDIR",
	"EPERM",
	"EACCES",
	"EBADF",
];

/** A rename is on the disk when its folder is. */
export async function syncFolder(folder: string): Promise<void> {
	try {
		await using handle = await open(folder, "r");
		await handle.sync();
	} catch (error) {
		if (!NO_FOLDER_SYNC.includes(codeOf(error) ?? "")) throw error;
	}
}
