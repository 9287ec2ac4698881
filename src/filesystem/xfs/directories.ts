import { type Entry, readDirectory } from "./directory.js";
import type { Inode } from "./inode.js";
import { lookUp } from "./lookup.js";
import type { XfsVolume } from "./volume.js";

/** In bytes as stored; the names of a directory take about three times as much in memory. */
const REMEMBERED = 8 << 20;
/** In larger ones each name is looked up in their index. */
const LARGEST_REMEMBERED = REMEMBERED / 2;

/** By name, or in lower case where names match whatever their case. */
type Names = ReadonlyMap<string, Entry>;

/** Finds names; the directories that were looked at last are remembered, as paths go through the same few. */
export class Directories {
	readonly #volume: XfsVolume;
	/** By inode number, the least recently used first. */
	readonly #recent = new Map<number, { readonly names: Promise<Names>; readonly size: number }>();
	#size = 0;

	constructor(volume: XfsVolume) {
		this.#volume = volume;
	}

	/** The entry `name` of a directory; `path` is for messages. */
	async find(directory: Inode, name: string, path: string): Promise<Entry | undefined> {
		const key = this.#key(name);
		if (directory.size <= LARGEST_REMEMBERED) return (await this.#remember(directory, path)).get(key);
		if (!this.#volume.parameters.caseless && !name.includes("\ufffd")) return lookUp(this.#volume, directory, name);
		for await (const entries of readDirectory(this.#volume, directory, path)) {
			const found = entries.find((entry) => this.#key(entry.name) === key);
			if (found !== undefined) return found;
		}
		return undefined;
	}

	/** All entries of a directory; where a name occurs twice, the first one. */
	async list(directory: Inode, path: string): Promise<Iterable<Entry>> {
		const isLarge = directory.size > LARGEST_REMEMBERED;
		return (await (isLarge ? this.#read(directory, path) : this.#remember(directory, path))).values();
	}

	#key(name: string): string {
		if (!this.#volume.parameters.caseless) return name;
		return name.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
	}

	#remember(directory: Inode, path: string): Promise<Names> {
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

	async #read(directory: Inode, path: string): Promise<Names> {
		const found = new Map<string, Entry>();
		for await (const entries of readDirectory(this.#volume, directory, path)) {
			for (const entry of entries) {
				const key = this.#key(entry.name);
				if (!found.has(key)) found.set(key, entry);
			}
		}
		return found;
	}
}
