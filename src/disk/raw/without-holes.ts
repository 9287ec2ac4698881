import type { ByteSink } from "../../bytes/sink.js";

const ZEROS = new Uint8Array(1 << 20);

/**
 * Lets `write` fill `[from, to)` of a file so that all of it has space of its own, whatever `write` skips: the file
 * system reserves the space, or, where it cannot, zeros are written. Nothing is shared with other files, since shared
 * blocks need space when they are changed.
 *
 * @param write must write in ascending order through the sink it is given, although several writes may be under way
 */
export async function withoutHoles(
	sink: ByteSink,
	from: number,
	to: number,
	write: (sink: ByteSink) => Promise<void>,
): Promise<void> {
	if ((await sink.reserve?.(to)) === true) return write(new OwnSpace(sink));
	const filling = new Filling(sink, from);
	await write(filling);
	await filling.skipTo(to);
}

/** Shares nothing; what it passes on is the caller's to commit. */
class OwnSpace implements ByteSink {
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
