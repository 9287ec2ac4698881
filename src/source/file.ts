import { constants, readSync } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { AnyvisorError, unsupported } from "../bytes/errors.js";
import type { HoleAware } from "../bytes/holes.js";
import { type ByteSource, checkRange } from "../bytes/source.js";
import { BriefCalls } from "./brief-calls.js";
import { dataExtents } from "./extents.js";
import { guarded } from "./failure.js";

/** A file or block device of this computer, opened for reading only. */
export interface LocalFile extends HoleAware {
	[Symbol.asyncDispose](): Promise<void>;
}

/**
 * Opens a file or a block device for reading.
 *
 * @throws `not-found`, `permission`, `io`; `unsupported` for what has no fixed length, such as a folder or a pipe
 */
export async function openFile(path: string): Promise<LocalFile> {
	return guarded("opening", path, async () => {
		// Asked before it is opened: opening a pipe would wait for somebody to write into it.
		checkKind(await stat(path), path);
		const handle = await open(path, constants.O_RDONLY);
		try {
			const stats = await handle.stat();
			checkKind(stats, path);
			const file = localFile(path, handle, stats.isFile() ? stats.size : await lengthByReading(handle));
			openFiles.set(file, { fd: handle.fd, device: stats.dev });
			return file;
		} catch (error) {
			await handle.close();
			throw error;
		}
	});
}

function checkKind(stats: { isFile(): boolean; isBlockDevice(): boolean; isDirectory(): boolean }, path: string): void {
	if (stats.isFile() || stats.isBlockDevice()) return;
	const folder = stats.isDirectory();
	throw unsupported(`${path} is ${folder ? "a folder" : "a pipe, socket or terminal"}, not a file`, {
		file: path,
		hint: folder ? "Name a file inside it." : "Save its content to a file first, and name that.",
	});
}

/** A disk that is read for the first time needs longer, whichever it is. */
const READING = { call: 0.2, mebibyte: 0.4 };

function localFile(path: string, handle: FileHandle, size: number): LocalFile {
	const calls = new BriefCalls(READING);
	const readSome = (into: Uint8Array, done: number, at: number) =>
		calls.make(
			into.length - done,
			() => readSync(handle.fd, into, done, into.length - done, at + done),
			async () => (await handle.read(into, done, into.length - done, at + done)).bytesRead,
		);
	const file: LocalFile = {
		name: path,
		size,
		async read(at, into) {
			checkRange(file, at, into.length);
			await guarded("reading", path, async () => {
				for (let done = 0; done < into.length; ) {
					const bytesRead = await readSome(into, done, at);
					if (bytesRead === 0) throw shrunk(path, at + done);
					done += bytesRead;
				}
			});
		},
		extents: () => dataExtents(handle.fd, size),
		[Symbol.asyncDispose]() {
			openFiles.delete(file);
			return handle.close();
		},
	};
	return file;
}

/** What the kernel knows of a file that is open. */
interface OpenFile {
	readonly fd: number;
	/** Of the file system that it lies on. */
	readonly device: number;
}

const openFiles = new WeakMap<ByteSource, OpenFile>();

/** Undefined for a source that {@link openFile} did not open, or that is closed. */
export const openFileOf = (source: ByteSource): OpenFile | undefined => openFiles.get(source);

const shrunk = (path: string, offset: number) =>
	new AnyvisorError("io", `${path} became shorter while it was being read`, {
		file: path,
		offset,
		hint: "Stop the program that writes to it (the VM must be shut down), and try again.",
	});

/** Reads of whole pages work on every device. */
const PAGE = 4096;

/**
 * The length of a block device, in bytes: `stat` calls it 0, and asking the kernel needs a call that Node does not have.
 * So the end is searched for by reading, in about 60 reads; a partial last page counts.
 */
export async function lengthByReading(handle: Pick<FileHandle, "read">): Promise<number> {
	const page = new Uint8Array(PAGE);
	const readable = async (index: number) => (await handle.read(page, 0, PAGE, index * PAGE)).bytesRead;
	let beyond = 1;
	while ((await readable(beyond - 1)) > 0 && beyond < Number.MAX_SAFE_INTEGER / PAGE / 2) beyond *= 2;
	// The page `first - 1` can be read, `beyond - 1` cannot.
	let first = Math.floor(beyond / 2);
	while (beyond - first > 1) {
		const middle = Math.floor((first + beyond) / 2);
		if ((await readable(middle - 1)) > 0) first = middle;
		else beyond = middle;
	}
	return first === 0 ? 0 : (first - 1) * PAGE + (await readable(first - 1));
}
