/** In bytes as stored; the names of a directory take about three times as much in memory. */
const REMEMBERED = 8 << 20;
/** In larger ones each name is looked up anew. */
const LARGEST_REMEMBERED = REMEMBERED / 2;

interface Directory {
	readonly number: number;
	/** In bytes as stored. */
	readonly size: number;
}

interface Entry {
	readonly name: string;
}

/** How a file system reads its directories; `path` is for messages. */
export interface DirectoryReader<D extends Directory, E extends Entry> {
	/** All entries, some at a time. */
	read(directory: D, path: string): AsyncIterable<readonly E[]>;
	/** What is the same for names that are; the name itself where this is missing. */
	key?(name: string): string;
	/** Finds a name through an index. */
	lookUp?(directory: D, name: string): Promise<E | undefined>;
}

/** By key; the first of each. */
type Names<E> = ReadonlyMap<string, E>;

/** Finds names; the directories that were looked at last are remembered, as paths go through the same few. */
export class Directories<D extends Directory, E extends Entry> {
	readonly #reader: DirectoryReader<D, E>;
	/** By number, the least recently used first. */
	readonly #recent = new Map<number, { readonly names: Promise<Names<E>>; readonly size: number }>();
	#size = 0;

	constructor(reader: DirectoryReader<D, E>) {
		this.#reader = reader;
	}

	/** The entry `name` of a directory; `path` is for messages. */
	async find(directory: D, name: string, path: string): Promise<E | undefined> {
		const key = this.#key(name);
		if (directory.size <= LARGEST_REMEMBERED) return (await this.#remember(directory, path)).get(key);
		// A name that is not UTF-8 cannot be looked up as it is shown.
		if (this.#reader.lookUp !== undefined && !name.includes("\ufffd")) return this.#reader.lookUp(directory, name);
		for await (const entries of this.#reader.read(directory, path)) {
			const found = entries.find((entry) => this.#key(entry.name) === key);
			if (found !== undefined) return found;
		}
		return undefined;
	}

	/** All entries of a directory; where a name occurs twice, the first one. */
	async list(directory: D, path: string): Promise<Iterable<E>> {
		const isLarge = directory.size > LARGEST_REMEMBERED;
		return (await (isLarge ? this.#read(directory, path) : this.#remember(directory, path))).values();
	}

	#key(name: string): string {
		return this.#reader.key?.(name) ?? name;
	}

	#remember(directory: D, path: string): Promise<Names<E>> {
		const { number, size } = directory;
		const known = this.#recent.get(number);
		if (known !== undefined) {
			this.#recent.delete(number);
			this.#recent.set(number, known);
			return known.names;
		}
		const names = this.#read(directory, path);
		this.#recent.set(number, { names, size });
		this.#size += size;
		// What could not be read is not remembered; whoever asked gets the error.
		names.catch(() => this.#forget(number));
		for (const oldest of this.#recent.keys()) {
			if (this.#size <= REMEMBERED) break;
			this.#forget(oldest);
		}
		return names;
	}

	#forget(number: number) {
		this.#size -= this.#recent.get(number)?.size ?? 0;
		this.#recent.delete(number);
	}

	async #read(directory: D, path: string): Promise<Names<E>> {
		const found = new Map<string, E>();
		for await (const entries of this.#reader.read(directory, path)) {
			for (const entry of entries) {
				const key = this.#key(entry.name);
				if (!found.has(key)) found.set(key, entry);
			}
		}
		return found;
	}
}
