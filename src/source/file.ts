import { closeSync, constants, fstatSync, openSync, read, readSync, statSync } from "node:fs";
import { promisify } from "node:util";
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
	// On this thread: the first call on another one takes milliseconds to start it.
	return guarded("opening", path, async () => {
		// Asked before it is opened: opening a pipe would wait for somebody to write into it.
		checkKind(statSync(path), path);
		const fd = openSync(path, constants.O_RDONLY);
		try {
			const stats = fstatSync(fd);
			checkKind(stats, path);
			const file = localFile(
				path,
				fd,
				stats.isFile() ? stats.size : lengthByReading((into, at) => readSync(fd, into, 0, into.length, at)),
			);
			openFiles.set(file, { fd, device: stats.dev });
			return file;
		} catch (error) {
			closeSync(fd);
			throw error;
		}
	});
}

const readElsewhere = promisify(read);

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

function localFile(path: string, fd: number, size: number): LocalFile {
	const calls = new BriefCalls(READING);
	const readSome = (into: Uint8Array, done: number, at: number) =>
		calls.make(
			into.length - done,
			() => readSync(fd, into, done, into.length - done, at + done),
			async () => (await readElsewhere(fd, into, done, into.length - done, at + done)).bytesRead,
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
		extents: () => dataExtents(fd, size),
		async [Symbol.asyncDispose]() {
			if (openFiles.delete(file)) closeSync(fd);
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
export function lengthByReading(read: (into: Uint8Array, at: number) => number): number {
	const page = new Uint8Array(PAGE);
	const readable = (index: number) => read(page, index * PAGE);
	let beyond = 1;
	while (readable(beyond - 1) > 0 && beyond < Number.MAX_SAFE_INTEGER / PAGE / 2) beyond *= 2;
	// The page `first - 1` can be read, `beyond - 1` cannot.
	let first = Math.floor(beyond / 2);
	while (beyond - first > 1) {
		const middle = Math.floor((first + beyond) / 2);
		if (readable(middle - 1) > 0) first = middle;
		else beyond = middle;
	}
	return first === 0 ? 0 : (first - 1) * PAGE + readable(first - 1);
}
