import type { ExtVolume } from "./blocks.js";
import { type Entry, readDirectory } from "./directory.js";
import type { Inode } from "./inode.js";

/** In bytes as stored; the names of a directory take about three times as much in memory. */
const REMEMBERED = 8 << 20;
/** Larger ones are searched anew for each name. */
const LARGEST_REMEMBERED = REMEMBERED / 2;

interface Remembered {
	readonly entries: Promise<ReadonlyMap<string, Entry>>;
	readonly size: number;
}

/** Finds names; the directories that were looked at last are remembered, as paths go through the same few. */
export class Directories {
	readonly #volume: ExtVolume;
	/** By inode number, the least recently used first. */
	readonly #recent = new Map<number, Remembered>();
	#size = 0;

	constructor(volume: ExtVolume) {
		this.#volume = volume;
	}

	/** The entry `name` of a directory; `path` is for messages. */
	async find(directory: Inode, name: string, path: string): Promise<Entry | undefined> {
		if (directory.size <= LARGEST_REMEMBERED) return (await this.#remember(directory, path)).get(name);
		for await (const entries of readDirectory(this.#volume, directory, path)) {
			const found = entries.find((entry) => entry.name === name);
			if (found !== undefined) return found;
		}
		return undefined;
	}

	/** All entries of a directory; where a name occurs twice, the one that the kernel finds first. */
	async list(directory: Inode, path: string): Promise<Iterable<Entry>> {
		const isLarge = directory.size > LARGEST_REMEMBERED;
		return (await (isLarge ? this.#read(directory, path) : this.#remember(directory, path))).values();
	}

	#remember(directory: Inode, path: string): Promise<ReadonlyMap<string, Entry>> {
		const { number, size } = directory;
		const known = this.#recent.get(number);
		if (known !== undefined) {
			this.#recent.delete(number);
			this.#recent.set(number, known);
			return known.entries;
		}
		const entries = this.#read(directory, path);
		this.#recent.set(number, { entries, size });
		this.#size += size;
		// What could not be read is not remembered; whoever asked gets the error.
		entries.catch(() => this.#forget(number));
		for (const oldest of this.#recent.keys()) {
			if (this.#size <= REMEMBERED) break;
			this.#forget(oldest);
		}
		return entries;
	}

	#forget(number: number) {
		this.#size -= this.#recent.get(number)?.size ?? 0;
		this.#recent.delete(number);
	}

	async #read(directory: Inode, path: string): Promise<ReadonlyMap<string, Entry>> {
		const found = new Map<string, Entry>();
		for await (const entries of readDirectory(this.#volume, directory, path)) {
			for (const entry of entries) if (!found.has(entry.name)) found.set(entry.name, entry);
		}
		return found;
	}
}
