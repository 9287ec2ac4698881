import { sharedBytes } from "../bytes/shared.js";

/** `count` arrays of `size` bytes that workers can see, used again and again: fresh memory costs more than filling it. */
export class Buffers {
	readonly size: number;
	readonly #idle: Uint8Array[] = [];
	readonly #waiting: ((buffer: Uint8Array) => void)[] = [];
	#unmade: number;

	constructor(count: number, size: number) {
		this.#unmade = count;
		this.size = size;
	}

	/** Waits until there is one. What it holds is left over from its last use. */
	take(): Uint8Array | Promise<Uint8Array> {
		const idle = this.#idle.pop();
		if (idle !== undefined) return idle;
		if (this.#unmade === 0) return new Promise((resolve) => this.#waiting.push(resolve));
		this.#unmade--;
		return sharedBytes(this.size);
	}

	give(buffer: Uint8Array): void {
		const next = this.#waiting.shift();
		if (next === undefined) this.#idle.push(buffer);
		else next(buffer);
	}
}
