import type ext2fs from "ext2fs/lib/libext2fs.js";
import { AnyvisorError } from "../../bytes/errors.js";
import { inTurn } from "../../bytes/in-turn.js";
import type { ByteStore } from "../../bytes/source.js";
import { withLargeHeap } from "./heap.js";

/** Flags of {@link LibExt2fs.open}, as musl has them. */
export const OpenFlag = {
	WRITE: 0o1,
	CREATE: 0o100,
	EXCLUSIVE: 0o200,
	TRUNCATE: 0o1000,
	APPEND: 0o2000,
	/** Opens a symbolic link itself. */
	NO_FOLLOW: 0o400000,
} as const;

/** Errors that mean something here: Emscripten's, and libext2fs' own for a directory without room for a name. */
export const LibError = { NOT_FOUND: 44, NOT_EMPTY: 55, DIRECTORY_FULL: 2133571366 } as const;

/** Bytes written by one call; the library needs memory of its own for each block. */
const chunkSize = 256 * 1024;
/** A path of the longest length that Linux knows, its NUL included. */
const pathSize = 4096;

/** What the C side calls for its input and output. */
type Disk = ReturnType<typeof diskOf>;

/**
 * libext2fs with a volume open, through the functions that npm `ext2fs` exports. Its own JavaScript layer is passed by:
 * that one wants Node's Buffer and cuts owners to 16 bits. All volumes share one WebAssembly instance, which can do one
 * thing at a time: calls belong inside {@link exclusively}.
 */
export class LibExt2fs {
	readonly #volume: ByteStore;
	readonly #disk: Disk;
	readonly #diskId: number;
	readonly #module: Module;
	/** Holds a chunk of a file, and two paths behind it. */
	readonly #buffer: number;
	#filesystem = 0;

	private constructor(module: Module, volume: ByteStore) {
		this.#module = module;
		this.#volume = volume;
		this.#disk = diskOf(volume);
		this.#diskId = module.setObject(this.#disk);
		this.#buffer = module._malloc(chunkSize + 2 * pathSize);
	}

	static async mount(volume: ByteStore): Promise<LibExt2fs> {
		const library = new LibExt2fs(await load(), volume);
		try {
			library.#filesystem = await library.#call("node_ext2fs_mount", library.#diskId);
		} catch (error) {
			library.#release();
			throw error;
		}
		return library;
	}

	/** Writes everything that is still in memory and frees it. */
	async unmount(): Promise<void> {
		try {
			await this.#call("node_ext2fs_umount", this.#filesystem);
		} finally {
			this.#release();
		}
	}

	/** Opens a file or directory for the calls below. `mode` is that of a file that is created, its type included. */
	open(path: string, flags: number, mode = 0): Promise<number> {
		return this.#call("node_ext2fs_open", this.#filesystem, this.#path(path), flags, mode);
	}

	close(file: number): Promise<number> {
		return this.#call("node_ext2fs_close", file);
	}

	/** Writes at the end of a file that was opened with {@link OpenFlag.APPEND}, at its beginning otherwise. */
	async write(file: number, flags: number, contents: Uint8Array): Promise<void> {
		for (let at = 0; at < contents.length; at += chunkSize) {
			const chunk = contents.subarray(at, at + chunkSize);
			this.#module.HEAPU8.set(chunk, this.#buffer);
			const written = await this.#call("node_ext2fs_write", file, flags, this.#buffer, chunk.length, -1);
			if (written !== chunk.length) throw this.#failure("node_ext2fs_write", 0);
		}
	}

	makeDirectory(path: string, mode: number): Promise<number> {
		return this.#call("node_ext2fs_mkdir", this.#filesystem, this.#path(path), mode);
	}

	symbolicLink(path: string, target: string): Promise<number> {
		return this.#call("node_ext2fs_symlink", this.#filesystem, this.#path(target, 1), this.#path(path));
	}

	rename(from: string, to: string): Promise<number> {
		return this.#call("node_ext2fs_rename", this.#filesystem, this.#path(from), this.#path(to, 1));
	}

	removeDirectory(path: string): Promise<number> {
		return this.#call("node_ext2fs_rmdir", this.#filesystem, this.#path(path));
	}

	unlink(path: string): Promise<number> {
		return this.#call("node_ext2fs_unlink", this.#filesystem, this.#path(path));
	}

	inode(file: number): Promise<number> {
		return this.#call("node_ext2fs_stat_ino", file);
	}

	/** `i_mode`, the file type included. */
	mode(file: number): Promise<number> {
		return this.#call("node_ext2fs_stat_i_mode", file);
	}

	/** @param slot 0 or 1, for calls that take two. */
	#path(path: string, slot = 0): number {
		const bytes = new TextEncoder().encode(`${path}\0`);
		if (bytes.length > pathSize) throw this.#failure(`a path of ${bytes.length} bytes`, 0);
		const at = this.#buffer + chunkSize + slot * pathSize;
		this.#module.HEAPU8.set(bytes, at);
		return at;
	}

	async #call(name: string, ...values: readonly number[]): Promise<number> {
		if (broken) throw this.#failure("libext2fs gave up before", 0);
		let given: number;
		try {
			given = await Promise.race([
				this.#module.ccall(
					name,
					"number",
					values.map(() => "number"),
					values,
					{ async: true },
				),
				aborted,
			]);
		} catch (cause) {
			broken = true;
			throw this.#failure(name, 0, cause);
		}
		// What the volume itself said is closer to the cause than the library's error number.
		if (this.#disk.failure) throw this.#disk.failure;
		if (given < 0) throw this.#failure(name, -given);
		return given;
	}

	#failure(name: string, code: number, cause?: unknown): LibraryError {
		return new LibraryError(this.#volume.name, name, code, cause);
	}

	#release(): void {
		this.#module._free(this.#buffer);
		this.#module.deleteObject(this.#diskId);
	}
}

/** Opens a volume for `work` only. */
export async function inLibrary(volume: ByteStore, work: (library: LibExt2fs) => Promise<void>): Promise<void> {
	const library = await LibExt2fs.mount(volume);
	try {
		await work(library);
	} finally {
		await library.unmount();
	}
}

/** libext2fs found something that it did not expect; mostly a damaged file system. */
export class LibraryError extends AnyvisorError {
	/** Positive; see {@link LibError}. 0 where the library itself failed. */
	readonly code: number;

	constructor(volume: string, call: string, code: number, cause?: unknown) {
		super("damaged", `${volume}: libext2fs cannot edit this file system (${call}: ${code})`, {
			file: volume,
			hint: 'Run "e2fsck -f" on a copy of this file system, and try again with the repaired copy.',
			cause,
		});
		this.code = code;
	}
}

/** libext2fs knows only that something went wrong; the first error of the volume is kept for the caller. */
function diskOf(volume: ByteStore) {
	const disk = {
		failure: undefined as Error | undefined,
		read: (into: Uint8Array, _: number, __: number, at: number) => kept(volume.read(at, into)),
		write: (bytes: Uint8Array, _: number, __: number, at: number) => kept(volume.write(at, bytes)),
		discard: () => Promise.resolve(),
		flush: () => Promise.resolve(),
	};
	async function kept(work: Promise<void>): Promise<void> {
		try {
			await work;
		} catch (error) {
			disk.failure ??= error instanceof Error ? error : new Error(String(error));
			throw error;
		}
	}
	return disk;
}

type Module = typeof ext2fs;

/** After a trap inside WebAssembly, its memory cannot be trusted any more. */
let broken = false;
let abort: (reason: unknown) => void = () => {};
const aborted = new Promise<never>((_, reject) => {
	abort = reject;
});
// Heard by the calls that race with it.
aborted.catch(() => {});

let loading: Promise<Module> | undefined;

/** Loads the library on first use; most runs edit nothing. */
function load(): Promise<Module> {
	loading ??= withoutNewListeners(() =>
		withLargeHeap(async () => {
			const { default: module } = await import("ext2fs/lib/libext2fs.js");
			if (!module.calledRun) {
				await new Promise<void>((resolve) => {
					module.onRuntimeInitialized = resolve;
				});
			}
			module.onAbort = abort;
			return module;
		}),
	);
	return loading;
}

/**
 * Emscripten's start-up code makes every uncaught exception and unhandled rejection of the whole process its own, by
 * throwing it once more. Whoever runs the process decides about these, so that its listeners are taken off again.
 */
async function withoutNewListeners<T>(start: () => Promise<T>): Promise<T> {
	const process: NodeJS.EventEmitter | undefined = globalThis.process;
	const events = ["uncaughtException", "unhandledRejection"];
	const before = events.map((event) => process?.rawListeners(event));
	const result = await start();
	for (const [i, event] of events.entries()) {
		const added = process?.rawListeners(event).filter((listener) => !before[i]?.includes(listener));
		for (const listener of added ?? []) process?.off(event, listener as () => void);
	}
	return result;
}

/** Runs `work` when all that was given before it is done. */
export const exclusively = inTurn();
