import type { ExtVolume } from "./blocks.js";
import { type Entry, readDirectory } from "./directory.js";
import type { Inode } from "./inode.js";

/** How many directories are remembered, and up to which size: all of them are a few megabytes. */
const REMEMBERED = 32;
const SMALL = 128 << 10;

/** Finds names; the directories that were looked at last are remembered, as paths go through the same few. */
export class Directories {
	readonly #volume: ExtVolume;
	/** By inode number, the least recently used first. */
	readonly #recent = new Map<number, Promise<ReadonlyMap<string, Entry>>>();

	constructor(volume: ExtVolume) {
		this.#volume = volume;
	}

	/** The entry `name` of a directory; `path` is for messages. */
	async find(directory: Inode, name: string, path: string): Promise<Entry | undefined> {
		if (directory.size <= SMALL) return (await this.#remember(directory, path)).get(name);
		for await (const entries of readDirectory(this.#volume, directory, path)) {
			const found = entries.find((entry) => entry.name === name);
			if (found !== undefined) return found;
		}
		return undefined;
	}

	/** All entries of a directory; where a name occurs twice, the one that the kernel finds first. */
	async list(directory: Inode, path: string): Promise<Iterable<Entry>> {
		const entries = directory.size <= SMALL ? this.#remember(directory, path) : this.#read(directory, path);
		return (await entries).values();
	}

	#remember(directory: Inode, path: string): Promise<ReadonlyMap<string, Entry>> {
		const { number } = directory;
		const known = this.#recent.get(number);
		const entries = known ?? this.#read(directory, path);
		this.#recent.delete(number);
		this.#recent.set(number, entries);
		if (known === undefined) {
			// What could not be read is not remembered; whoever asked gets the error.
			entries.catch(() => this.#recent.delete(number));
			const [oldest] = this.#recent.keys();
			if (this.#recent.size > REMEMBERED && oldest !== undefined) this.#recent.delete(oldest);
		}
		return entries;
	}

	async #read(directory: Inode, path: string): Promise<ReadonlyMap<string, Entry>> {
		const found = new Map<string, Entry>();
		for await (const entries of readDirectory(this.#volume, directory, path)) {
			for (const entry of entries) if (!found.has(entry.name)) found.set(entry.name, entry);
		}
		return found;
	}
}
