import type { ByteSink } from "../bytes/sink.js";
import { Buffers } from "./buffers.js";

/**
 * Writes that go on, one after the other, while the next ones are made ready: a file system lets only one into a file at
 * a time, and those that wait for it burn processor time. The first failure is thrown by whatever is called next.
 */
export class WriteQueue {
	#last: Promise<void> = Promise.resolve();
	#failure: { readonly error: unknown } | undefined;

	/** @param write is not called any more once another one has failed */
	add(write: () => Promise<void>, done: () => void): void {
		this.#last = this.#after(this.#last, write, done);
	}

	async #after(last: Promise<void>, write: () => Promise<void>, done: () => void): Promise<void> {
		await last;
		try {
			if (this.#failure === undefined) await write();
		} catch (error) {
			this.#failure = { error };
		} finally {
			done();
		}
	}

	check(): void {
		if (this.#failure !== undefined) throw this.#failure.error;
	}

	/** Resolves when all are done. */
	async finish(): Promise<void> {
		await this.#last;
		this.check();
	}

	/** As {@link finish}, whether they failed or not: for when something else has failed already. */
	settle(): Promise<void> {
		return this.#last;
	}
}

const BUFFER = 1 << 20;
const BUFFERS = 3;

/** Appends small records to a sink in large writes, a few of them under way. */
export class Appender {
	/** Where the next record goes, in bytes. */
	position: number;
	readonly #sink: ByteSink;
	readonly #buffers = new Buffers(BUFFERS, BUFFER);
	readonly #writes = new WriteQueue();
	#buffer: Uint8Array | undefined;
	#filled = 0;

	constructor(sink: ByteSink, position = 0) {
		this.#sink = sink;
		this.position = position;
	}

	/** The bytes are copied. */
	async append(bytes: Uint8Array): Promise<void> {
		for (let done = 0; done < bytes.length; ) {
			if (this.#buffer === undefined) {
				this.#writes.check();
				this.#buffer = await this.#buffers.take();
			}
			const part = bytes.subarray(done, done + BUFFER - this.#filled);
			this.#buffer.set(part, this.#filled);
			this.#filled += part.length;
			this.position += part.length;
			done += part.length;
			if (this.#filled === BUFFER) this.#write();
		}
	}

	/** Leaves a hole, which reads as zero, up to `position`. */
	skipTo(position: number): void {
		this.#write();
		this.position = position;
	}

	/** Resolves when everything has been written. */
	async finish(): Promise<void> {
		this.#write();
		await this.#writes.finish();
	}

	/** For when something else has failed: resolves when nothing is under way any more. */
	settle(): Promise<void> {
		return this.#writes.settle();
	}

	#write(): void {
		const buffer = this.#buffer;
		if (buffer === undefined) return;
		const filled = this.#filled;
		this.#buffer = undefined;
		this.#filled = 0;
		const at = this.position - filled;
		this.#writes.add(
			() => this.#sink.write(at, buffer.subarray(0, filled)),
			() => this.#buffers.give(buffer),
		);
	}
}
