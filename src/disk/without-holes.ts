import type { ByteSink } from "../bytes/sink.js";

const ZEROS = new Uint8Array(1 << 20);

/** A file whose space is its own, whatever is skipped in it. */
export interface OwnedFile {
	/** To be written through in ascending order, although several writes may be under way. */
	readonly sink: ByteSink;
	/** To be called when all has been written. */
	finish(): Promise<void>;
}

/**
 * Gives `[from, to)` of a file space of its own: the file system reserves it, or, where it cannot, zeros are written to
 * what is skipped. Nothing is shared with other files, since shared blocks need space when they are changed.
 */
export async function withoutHoles(sink: ByteSink, from: number, to: number): Promise<OwnedFile> {
	if ((await sink.reserve?.(to)) === true) return { sink: new OwnSpace(sink), finish: () => Promise.resolve() };
	const filling = new Filling(sink, from);
	return { sink: filling, finish: () => filling.skipTo(to) };
}

/** Shares no blocks with other files; what it passes on is the caller's to commit. */
export class OwnSpace implements ByteSink {
	readonly name: string;
	protected readonly sink: ByteSink;

	constructor(sink: ByteSink) {
		this.name = sink.name;
		this.sink = sink;
	}

	write(at: number, bytes: Uint8Array): Promise<void> {
		return this.sink.write(at, bytes);
	}

	commit(size: number): Promise<void> {
		return this.sink.commit(size);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.sink[Symbol.asyncDispose]();
	}
}

/** Writes zeros to what is skipped. */
class Filling extends OwnSpace {
	/** Everything before is written, or about to be. */
	#end: number;

	constructor(sink: ByteSink, from: number) {
		super(sink);
		this.#end = from;
	}

	override async write(at: number, bytes: Uint8Array): Promise<void> {
		const skipped = this.skipTo(at);
		this.#end = at + bytes.length;
		await skipped;
		await super.write(at, bytes);
	}

	async skipTo(at: number): Promise<void> {
		const from = this.#end;
		this.#end = at;
		for (let next = from; next < at; next += ZEROS.length) {
			await this.sink.write(next, ZEROS.subarray(0, at - next));
		}
	}
}
