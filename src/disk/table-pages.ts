/**
 * A table of a file under construction. Its entries come in ascending order; one page of it is in memory at a time.
 * What sets an entry waits for nothing but the page before: entries are set by the hundred thousand.
 */
export class TablePages {
	readonly #size: number;
	readonly #empty: number;
	readonly #write: (index: number, page: Uint8Array) => Promise<void>;
	#index = -1;
	#view = new DataView(new ArrayBuffer(0));

	/**
	 * @param size of a page, in bytes
	 * @param empty every byte of a page before anything is set
	 * @param write is called once for each page that has entries, in ascending order, and may keep the bytes
	 */
	constructor(size: number, empty: number, write: (index: number, page: Uint8Array) => Promise<void>) {
		this.#size = size;
		this.#empty = empty;
		this.#write = write;
	}

	/** Turns to a page, and writes the one before; undefined when it is open already. */
	begin(index: number): Promise<void> | undefined {
		return index === this.#index ? undefined : this.#turnTo(index);
	}

	/** The page that is open. */
	get view(): DataView {
		return this.#view;
	}

	/** Writes the page that is open. */
	async finish(): Promise<void> {
		if (this.#index < 0) return;
		const index = this.#index;
		this.#index = -1;
		await this.#write(index, new Uint8Array(this.#view.buffer));
	}

	async #turnTo(index: number): Promise<void> {
		await this.finish();
		const bytes = new Uint8Array(this.#size).fill(this.#empty);
		this.#view = new DataView(bytes.buffer);
		this.#index = index;
	}
}

/** Goes on at once where there is nothing to wait for. */
export function after<T>(ready: Promise<void> | undefined, goOn: () => T): T | Promise<T> {
	return ready === undefined ? goOn() : ready.then(goOn);
}
