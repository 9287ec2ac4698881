import { AnyvisorError } from "../bytes/errors.js";

/** A failure that may pass. */
export class Passing extends Error {
	/** Milliseconds that the server asked to wait. */
	readonly wish: number;
	constructor(message: string, wish = 0) {
		super(message);
		this.wish = wish;
	}
}

export const interrupted = () => new AnyvisorError("interrupted", "stopped on request");

/** Gives a request up when nothing happens for a while, or when one of the signals says so. */
export class Watch {
	readonly #controller = new AbortController();
	readonly #signals: readonly AbortSignal[];
	readonly #milliseconds: number;
	readonly #givenUp: Promise<never>;
	#timer: NodeJS.Timeout | undefined;

	/** @param milliseconds 0 for no limit */
	constructor(milliseconds: number, signals: readonly (AbortSignal | undefined)[]) {
		this.#milliseconds = milliseconds;
		this.#signals = signals.filter((signal) => signal !== undefined);
		const { signal } = this.#controller;
		this.#givenUp = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
		this.#givenUp.catch(() => undefined);
		for (const signal of this.#signals) {
			signal.addEventListener("abort", this.#abort);
			if (signal.aborted) this.#abort();
		}
		this.touch();
	}

	get signal(): AbortSignal {
		return this.#controller.signal;
	}

	/** The pieces of a response's body. Its stream does not always notice an abort: near its end it may wait for ever. */
	async *body({ body }: Response): AsyncGenerator<Uint8Array, void> {
		if (body === null) return;
		const reader = body.getReader();
		try {
			for (;;) {
				const { done, value } = await Promise.race([reader.read(), this.#givenUp]);
				if (done) return;
				this.touch();
				yield value;
			}
		} finally {
			reader.cancel().catch(() => undefined);
		}
	}

	/** Something has happened. */
	touch(): void {
		clearTimeout(this.#timer);
		if (this.#milliseconds === 0) return;
		this.#timer = setTimeout(() => {
			this.#controller.abort(new Passing(`nothing came for ${this.#milliseconds / 1000} s`));
		}, this.#milliseconds);
	}

	/** Ends the request as well, where it is still under way. */
	end(): void {
		clearTimeout(this.#timer);
		for (const signal of this.#signals) signal.removeEventListener("abort", this.#abort);
		this.#abort();
	}

	readonly #abort = () => this.#controller.abort(interrupted());
}
