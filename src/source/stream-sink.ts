import type { Writable } from "node:stream";
import { AnyvisorError, unsupported } from "../bytes/errors.js";
import type { ByteSink } from "../bytes/sink.js";
import { codeOf, osFailure } from "./failure.js";

const ZEROS = new Uint8Array(256 * 1024);

/**
 * Writes to a stream, such as standard output: bytes go out in ascending order, gaps as zeros, as fast as the reader takes
 * them. What has gone out cannot be taken back, so whoever reads must heed the exit code. The stream stays open: it is
 * its owner's.
 *
 * @param name for messages
 * @throws from `write`, `unsupported` for bytes before those already written; `io` where the reader has gone away
 */
export function streamSink(stream: Writable, name: string): ByteSink {
	return new StreamSink(stream, name);
}

class StreamSink implements ByteSink {
	readonly name: string;
	readonly #stream: Writable;
	/** Where the next byte goes, whatever has to go out before. */
	#position = 0;
	#queue = Promise.resolve();
	#failure: { readonly error: unknown } | undefined;

	constructor(stream: Writable, name: string) {
		this.name = name;
		this.#stream = stream;
		stream.on("error", this.#fail);
	}

	/** Listens for good: a reader may go away between two writes, or after the last one. */
	readonly #fail = (error: unknown): void => {
		this.#failure ??= { error: this.#explained(error) };
	};

	/** Once its reader has gone, a stream says in words of its own that nothing can be written any more. */
	#explained(error: unknown): unknown {
		const code = codeOf(error);
		if (code === undefined || !code.startsWith("ERR_STREAM_")) return osFailure(error, "writing", this.name);
		const hint = "Whoever was to read it has ended: see what it says.";
		return new AnyvisorError("io", `writing ${this.name} failed: it is closed`, {
			file: this.name,
			cause: error,
			hint,
		});
	}

	write(at: number, bytes: Uint8Array): Promise<void> {
		const gap = at - this.#position;
		if (gap < 0) return Promise.reject(this.#goesBack(at));
		this.#position = at + bytes.length;
		return this.#enqueue(gap, bytes);
	}

	async commit(size: number): Promise<void> {
		const gap = size - this.#position;
		if (gap < 0) throw this.#goesBack(size);
		this.#position = size;
		await this.#enqueue(gap);
	}

	#enqueue(gap: number, bytes?: Uint8Array): Promise<void> {
		const done = this.#sendAfter(this.#queue, gap, bytes);
		this.#queue = done.catch(this.#fail);
		return done;
	}

	/** Zeros, then bytes, once everything before them has gone out; nothing any more after a failure. */
	async #sendAfter(before: Promise<void>, gap: number, bytes?: Uint8Array): Promise<void> {
		await before;
		for (let left = gap; left > 0; left -= ZEROS.length) await this.#send(ZEROS.subarray(0, left));
		if (bytes !== undefined) await this.#send(bytes);
		this.#check();
	}

	async #send(bytes: Uint8Array): Promise<void> {
		this.#check();
		await new Promise<void>((resolve) => {
			this.#stream.write(bytes, (error) => {
				if (error) this.#fail(error);
				resolve();
			});
		});
		this.#check();
	}

	#check(): void {
		if (this.#failure !== undefined) throw this.#failure.error;
	}

	#goesBack(at: number): AnyvisorError {
		const error = unsupported(
			`${this.name} cannot go back to byte ${at}: ${this.#position} bytes are written already`,
			{
				file: this.name,
				offset: at,
				hint: "Choose a format that can be written in one go (raw, vmdk streamOptimized, vhd fixed), or write to a file.",
			},
		);
		this.#failure ??= { error };
		return error;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#queue;
	}
}
