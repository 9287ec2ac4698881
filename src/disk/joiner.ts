/** Joins neighbours that are alike, given one after the other. */
export class Joiner<T extends { readonly length: number }> {
	readonly #goesOn: (first: T, length: number, next: T) => boolean;
	#first: T | undefined;
	#length = 0;

	/** @param goesOn whether `next` goes on where the first `length` bytes of what began with `first` end */
	constructor(goesOn: (first: T, length: number, next: T) => boolean) {
		this.#goesOn = goesOn;
	}

	/** @returns what has ended before `next` */
	add(next: T): T | undefined {
		if (next.length === 0) return undefined;
		if (this.#first !== undefined && this.#goesOn(this.#first, this.#length, next)) {
			this.#length += next.length;
			return undefined;
		}
		const ended = this.end();
		this.#first = next;
		this.#length = next.length;
		return ended;
	}

	/** @returns the last one */
	end(): T | undefined {
		const first = this.#first;
		this.#first = undefined;
		return first === undefined || first.length === this.#length ? first : { ...first, length: this.#length };
	}
}

/** All of `items`, with neighbours joined. */
export async function* joinedBy<T extends { readonly length: number }>(
	items: AsyncIterable<T> | Iterable<T>,
	goesOn: (first: T, length: number, next: T) => boolean,
): AsyncGenerator<T, void, undefined> {
	const joiner = new Joiner(goesOn);
	for await (const item of items) {
		const ended = joiner.add(item);
		if (ended !== undefined) yield ended;
	}
	const last = joiner.end();
	if (last !== undefined) yield last;
}
