import type { FileStat } from "../../../filesystem/filesystem.js";
import type { GuestTree } from "../../../filesystem/tree.js";
import { attempt } from "../attempt.js";
import { locateFile } from "../loader-path.js";

/** What a configuration looks at beside itself, by the paths that GRUB has. */
export interface GrubFiles {
	/** `undefined` where there is no such file. */
	read(path: string): string | undefined;
	stat(path: string): FileStat | undefined;
}

/** Far more than a configuration looks at. */
const mostFiles = 100;
/** Bytes; of a configuration, the largest kind of file that is read. */
export const largestConfig = 4 * 2 ** 20;

/**
 * The files that a configuration was seen to ask for. A script runs at once, and files are read bit by bit: what it asks
 * for is there when it runs anew.
 */
export class AskedFiles implements GrubFiles {
	readonly #tree: GuestTree;
	readonly #texts = new Map<string, string | undefined>();
	readonly #stats = new Map<string, FileStat | undefined>();
	readonly #asked: (() => Promise<void>)[] = [];

	constructor(tree: GuestTree) {
		this.#tree = tree;
	}

	read(path: string): string | undefined {
		return this.#ask(this.#texts, path, (found) => this.#tree.readText(found, largestConfig));
	}

	stat(path: string): FileStat | undefined {
		return this.#ask(this.#stats, path, (found) => this.#tree.stat(found));
	}

	/** Fetches what was asked for since; false where there is nothing more to fetch. */
	async fetch(): Promise<boolean> {
		const asked = this.#asked.splice(0);
		for (const fetchOne of asked) await fetchOne();
		return asked.length > 0;
	}

	#ask<T>(known: Map<string, T | undefined>, path: string, get: (path: string) => Promise<T | undefined>) {
		const fetched = known.get(path);
		if (fetched === undefined && !known.has(path) && known.size < mostFiles) {
			known.set(path, undefined);
			this.#asked.push(async () => {
				// A file that cannot be read is none: GRUB says so and goes on.
				known.set(path, await attempt([], async () => get(await this.#find(path))));
			});
		}
		return fetched;
	}

	async #find(path: string): Promise<string> {
		const found = await locateFile(this.#tree, path);
		if (!path.endsWith("/grubenv") || (await this.#tree.stat(found)) !== undefined) return found;
		// The firmware's configuration may be a file of its own where the environment is one.
		const others = ["/boot/grub2/grubenv", "/boot/grub/grubenv"];
		for (const other of others) if ((await this.#tree.stat(other))?.type === "file") return other;
		return found;
	}
}
