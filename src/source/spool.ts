import { type FileHandle, open, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { AnyvisorError, refused } from "../bytes/errors.js";
import type { HoleAware } from "../bytes/holes.js";
import { checkRange } from "../bytes/source.js";
import { dataExtents } from "./extents.js";
import { guarded } from "./failure.js";

export interface SpoolOptions {
	/** Folder of the temporary files; the system's own (`TMPDIR`) where left out. */
	readonly folder?: string | undefined;
	/**
	 * Most bytes that may be spooled at a time, zeros included; 64 GiB where left out. Whatever it says, a gibibyte of the
	 * folder's file system stays free, or a tenth of a small one.
	 */
	readonly limit?: number | undefined;
	/** Called with the number of bytes spooled since the last call. */
	readonly onProgress?: ((bytes: number) => void) | undefined;
	readonly signal?: AbortSignal | undefined;
}

/** A temporary file, which disappears with its closing or with the process, however that ends. */
export interface SpooledFile extends HoleAware {
	[Symbol.asyncDispose](): Promise<void>;
}

const USUAL_LIMIT = 64 * 2 ** 30;
const LARGEST_RESERVE = 2 ** 30;
const RESERVED_PART = 1 / 10;
/** The free space is looked at whenever that much has been written. */
const BETWEEN_LOOKS = 64 << 20;
/** What is all zeros between two multiples of this becomes a hole: the usual block of file systems. */
const HOLE = 4096;
const zeros = Buffer.alloc(HOLE);

/**
 * Copies a stream into a sparse temporary file, so that it can be read at any place.
 *
 * @throws `refused` beyond the limit, `no-space`, `interrupted`, `io`
 */
export const spool = (
	chunks: AsyncIterable<Uint8Array>,
	name: string,
	options: SpoolOptions = {},
): Promise<SpooledFile> => new Spooler(options).spool(chunks, name);

/** Makes temporary files that keep to one limit together. */
export class Spooler {
	readonly #options: SpoolOptions;
	readonly #folder: string;
	#left: number;

	constructor(options: SpoolOptions = {}) {
		this.#options = options;
		this.#folder = options.folder ?? tmpdir();
		this.#left = options.limit ?? USUAL_LIMIT;
	}

	/** As {@link spool}. With the length of the content, what is too long is refused before anything is written. */
	async spool(chunks: AsyncIterable<Uint8Array>, name: string, length = 0): Promise<SpooledFile> {
		if (length > this.#left) throw this.#beyondLimit(name);
		const handle = await this.#create();
		let size = 0;
		const giveBack = async () => {
			this.#left += size;
			size = 0;
			await handle.close();
		};
		try {
			const writer = new SparseWriter(handle, this.#folder);
			await writer.checkSpace();
			for await (const chunk of chunks) {
				this.#checkSignal();
				if (chunk.length > this.#left) throw this.#beyondLimit(name);
				await writer.write(chunk);
				size += chunk.length;
				this.#left -= chunk.length;
				this.#options.onProgress?.(chunk.length);
			}
			await guarded("spooling to", this.#folder, () => handle.truncate(size));
			return spooledFile(handle, name, size, giveBack);
		} catch (error) {
			await giveBack();
			this.#checkSignal();
			throw error;
		}
	}

	/** A file that has no name any more, so that nothing is left of it whatever happens to this process. */
	async #create(): Promise<FileHandle> {
		const file = path.join(this.#folder, `.anyvisor-spool-${crypto.randomUUID()}`);
		return guarded("spooling to", this.#folder, async () => {
			const handle = await open(file, "wx+", 0o600);
			try {
				await rm(file);
				return handle;
			} catch (error) {
				await handle.close();
				throw error;
			}
		});
	}

	#checkSignal(): void {
		if (this.#options.signal?.aborted === true) throw new AnyvisorError("interrupted", "stopped on request");
	}

	#beyondLimit(name: string): AnyvisorError {
		const limit = this.#options.limit ?? USUAL_LIMIT;
		return refused(`${name} is larger than the ${limit} bytes that may be kept in temporary files`, {
			file: name,
			hint: "Allow more with --spool-limit, or unpack it yourself and name the disk image.",
		});
	}
}

/** Writes one chunk after the other; zeros become holes. */
class SparseWriter {
	readonly #handle: FileHandle;
	readonly #folder: string;
	#at = 0;
	#sinceLook = 0;

	constructor(handle: FileHandle, folder: string) {
		this.#handle = handle;
		this.#folder = folder;
	}

	async write(chunk: Uint8Array): Promise<void> {
		const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
		let dataFrom: number | undefined;
		for (let from = 0; from < bytes.length; ) {
			const to = Math.min(bytes.length, from + HOLE - ((this.#at + from) % HOLE));
			const isHole = zeros.compare(bytes, from, to, 0, to - from) === 0;
			if (!isHole) dataFrom ??= from;
			else if (dataFrom !== undefined) {
				await this.#put(bytes.subarray(dataFrom, from), this.#at + dataFrom);
				dataFrom = undefined;
			}
			from = to;
		}
		if (dataFrom !== undefined) await this.#put(bytes.subarray(dataFrom), this.#at + dataFrom);
		this.#at += bytes.length;
	}

	async #put(bytes: Uint8Array, at: number): Promise<void> {
		this.#sinceLook += bytes.length;
		if (this.#sinceLook >= BETWEEN_LOOKS) await this.checkSpace();
		await guarded("spooling to", this.#folder, async () => {
			for (let done = 0; done < bytes.length; ) {
				done += (await this.#handle.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
			}
		});
	}

	async checkSpace(): Promise<void> {
		this.#sinceLook = 0;
		const { bavail, blocks, bsize } = await guarded("spooling to", this.#folder, () => statfs(this.#folder));
		const reserve = Math.min(LARGEST_RESERVE, blocks * bsize * RESERVED_PART);
		if (bavail * bsize < reserve + BETWEEN_LOOKS) {
			throw new AnyvisorError("no-space", `${this.#folder} has too little free space for temporary files`, {
				file: this.#folder,
				hint: "Name a folder on a larger disk by TMPDIR, or unpack the file yourself.",
			});
		}
	}
}

function spooledFile(handle: FileHandle, name: string, size: number, close: () => Promise<void>): SpooledFile {
	const file: SpooledFile = {
		name,
		size,
		async read(at, into) {
			checkRange(file, at, into.length);
			await guarded("reading", name, async () => {
				for (let done = 0; done < into.length; ) {
					const { bytesRead } = await handle.read(into, done, into.length - done, at + done);
					if (bytesRead === 0)
						throw new AnyvisorError("io", `the temporary file of ${name} lost its end`, { file: name });
					done += bytesRead;
				}
			});
		},
		extents: () => dataExtents(handle.fd, size),
		[Symbol.asyncDispose]: close,
	};
	return file;
}
