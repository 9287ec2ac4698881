import { now } from "./now.js";

/** Whoever else waits for this thread (a signal, a progress bar, a worker's answer) is let in this often, in ms. */
const TURN_EVERY = 10;
/** Bytes that go to other threads before this one tries again; twice as many each time that it had to wait. */
const FIRST_DETOUR = 16 << 20;
const LONGEST_DETOUR = 1 << 30;
const MIB = 1 << 20;
/** They are slow because nothing has been compiled yet, and short commands make no others. */
const FIRST_CALLS = 8;

let turned = 0;

/** Node's own promise of it brings along what cancels it. */
const turn = () => new Promise((resolve) => void setImmediate(resolve));

/**
 * Calls of the operating system on one file, made on this thread as long as they are brief. Between the page cache and
 * us a MiB takes 0.1 ms, and so does the way to another thread and back. A call that had to wait for a disk sends those
 * after it to other threads, where several wait at once.
 */
export class BriefCalls {
	/** Milliseconds: of a call, and what each MiB adds. */
	readonly #patience: { readonly call: number; readonly mebibyte: number };
	/** Bytes that still go elsewhere. */
	#detour = 0;
	#next = FIRST_DETOUR;
	/** Calls that may still be slow without consequence. */
	#excused = FIRST_CALLS;

	constructor(patience: { readonly call: number; readonly mebibyte: number }) {
		this.#patience = patience;
	}

	/**
	 * @param bytes that the call moves
	 * @param here makes it on this thread
	 * @param elsewhere makes it on another one
	 */
	async make<T>(bytes: number, here: () => T, elsewhere: () => Promise<T>): Promise<T> {
		if (this.#detour > 0) {
			// Small ones are made one after the other: the way there and back would cost more than any wait.
			this.#detour -= Math.max(bytes, MIB);
			return elsewhere();
		}
		if (now() - turned > TURN_EVERY) {
			await turn();
			turned = now();
		}
		const began = now();
		const result = here();
		const { call, mebibyte } = this.#patience;
		if (now() - began <= call + (mebibyte * bytes) / MIB) this.#next = FIRST_DETOUR;
		else if (this.#excused > 0) this.#excused--;
		else {
			this.#detour = this.#next;
			this.#next = Math.min(LONGEST_DETOUR, this.#next * 2);
		}
		return result;
	}
}
