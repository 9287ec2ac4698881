import { fstatSync, writeSync } from "node:fs";
import { exitCodes } from "./exit-codes.js";
import { report } from "./failure.js";
import type { TextStream } from "./terminal.js";

/**
 * Standard output or standard error. Node needs milliseconds to load the streams that `process.stdout` is made of: files,
 * pipes and sockets are written to without them, on this thread, as Node does it too.
 */
class StandardStream implements TextStream {
	readonly #fd: number;
	readonly #node: () => NodeJS.WriteStream;
	readonly #failed: (error: NodeJS.ErrnoException) => void;
	/** From then on all goes that way, because what waits there comes first. */
	#streamed = false;

	constructor(fd: number, node: () => NodeJS.WriteStream, failed: (error: NodeJS.ErrnoException) => void) {
		this.#fd = fd;
		this.#node = node;
		this.#failed = failed;
	}

	get isTTY(): boolean {
		return this.#mayBeTerminal() && this.stream.isTTY;
	}

	get columns(): number | undefined {
		// Some terminals say 0.
		return (this.#mayBeTerminal() && this.stream.columns) || undefined;
	}

	write(text: string): void {
		const rest = this.#streamed || this.#mayBeTerminal() ? text : this.#unwritten(Buffer.from(text));
		if (rest.length > 0) this.stream.write(rest);
	}

	/** Node's own. */
	get stream(): NodeJS.WriteStream {
		const stream = this.#node();
		if (!this.#streamed) stream.on("error", this.#failed);
		this.#streamed = true;
		return stream;
	}

	#mayBeTerminal(): boolean {
		try {
			return fstatSync(this.#fd).isCharacterDevice();
		} catch {
			// Node says what is the matter.
			return true;
		}
	}

	/** Writes, and returns what is left for Node's stream: it waits for a pipe's reader, and tells what goes wrong. */
	#unwritten(bytes: Buffer): Buffer {
		let done = 0;
		try {
			while (done < bytes.length) done += writeSync(this.#fd, bytes, done);
		} catch {
			// The stream meets the same.
		}
		return bytes.subarray(done);
	}
}

async function outputFailed(error: NodeJS.ErrnoException): Promise<never> {
	// The reader of a pipe has gone away: nobody is left to tell.
	if (error.code === "EPIPE") process.exit(exitCodes.ok);
	const { osFailure } = await import("../source/failure.js");
	process.exit(report(osFailure(error, "writing to", "standard output"), stderr));
}

export const stdout = new StandardStream(
	1,
	() => process.stdout,
	(error) => void outputFailed(error),
);

/** What cannot be told is no reason to stop. */
export const stderr = new StandardStream(
	2,
	() => process.stderr,
	() => {},
);
