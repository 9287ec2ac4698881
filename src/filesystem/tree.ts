import { AnyvisorError, damaged, notFound, refused } from "../bytes/errors.js";
import { type ByteSource, readBytes } from "../bytes/source.js";
import type { ExtendedAttributes } from "./extended-attributes.js";
import type { DirectoryEntry, FileStat, Filesystem } from "./filesystem.js";

export interface Mount {
	/** Where in the guest it is mounted, absolute: `/`, `/boot`, `/boot/efi`. */
	readonly mount: string;
	readonly filesystem: Filesystem;
}

/** A place in a guest, all links followed. */
export interface Resolved extends Mount {
	/** Path inside {@link filesystem}; `/` is its root. */
	readonly path: string;
	/** Path in the guest, free of links. */
	readonly guestPath: string;
}

/** As the kernel counts: https://man7.org/linux/man-pages/man7/path_resolution.7.html */
const maximumLinks = 40;
const rememberedPlaces = 4096;
const rememberedTexts = 1000;
/** In characters. */
const longestRemembered = 16 << 10;
const mebibyte = 2 ** 20;

/**
 * A guest's files as its own programs see them: several file systems mounted on one tree, symbolic links followed across
 * them. Absolute links start at the guest's root, and `..` never leads above it. Paths are absolute; a path that is not
 * is a `usage` error. The tree reads only, and remembers what it walked through: after an edit, open a new one.
 */
export class GuestTree {
	/** The topmost file system mounted at each path; later mounts hide earlier ones. */
	readonly mounts: readonly Mount[];
	readonly #mountAt: ReadonlyMap<string, Mount>;
	/** What is at a guest path: every walk passes through the same few, and each hypervisor's plan asks for the same. */
	readonly #known = new Map<string, FileStat | undefined>();

	/** Of configuration files, which are looked into for each hypervisor. */
	readonly #texts = new Map<string, string>();

	constructor(mounts: readonly Mount[]) {
		this.#mountAt = new Map(
			mounts.map(({ mount, filesystem }) => {
				const normal = `/${splitPath(mount).join("/")}`;
				return [normal, { mount: normal, filesystem }];
			}),
		);
		if (!this.#mountAt.has("/")) throw new AnyvisorError("usage", "a guest tree needs a file system mounted at /");
		this.mounts = [...this.#mountAt.values()];
	}

	/** What is at `path`, links followed; `undefined` where nothing is, a dangling link included. */
	async stat(path: string): Promise<FileStat | undefined> {
		return (await this.#walk(path, true))?.stat;
	}

	/** What is at `path`, the last link not followed. */
	async lstat(path: string): Promise<FileStat | undefined> {
		return (await this.#walk(path, false))?.stat;
	}

	/** The extended attributes of what is at `path`, the last link not followed; none where its file system has none. */
	async extendedAttributes(path: string): Promise<ExtendedAttributes> {
		const found = await this.#walk(path, false);
		if (!found?.stat) throw notFound(`There is no ${path} in this guest`, { file: path });
		const { filesystem, path: inside } = found.place;
		return (await filesystem.extendedAttributes?.(inside)) ?? new Map<string, Uint8Array>();
	}

	/** Where `path` is, links followed; `undefined` where nothing is. */
	async resolve(path: string): Promise<Resolved | undefined> {
		const found = await this.#walk(path, true);
		return found?.stat && found.place;
	}

	/**
	 * Where `path` is or would be created: like {@link resolve}, but the last name need not exist. `undefined` when its
	 * parent directory does not. A dangling link leads to where its target would be.
	 */
	async resolveParent(path: string): Promise<Resolved | undefined> {
		return (await this.#walk(path, true))?.place;
	}

	/** Entries of a directory; `not-found` when it is not one. */
	async list(path: string): Promise<readonly DirectoryEntry[]> {
		const found = await this.#walk(path, true);
		if (found?.stat?.type !== "directory") throw notFound(`${path} is not a directory in this guest`, { file: path });
		return found.place.filesystem.list(found.place.path);
	}

	/** Entries of a directory; none when it is not one. */
	async listIfExists(path: string): Promise<readonly DirectoryEntry[]> {
		const found = await this.#walk(path, true);
		return found?.stat?.type === "directory" ? found.place.filesystem.list(found.place.path) : [];
	}

	/** The contents of a regular file, read as they are asked for; `not-found` when it is not one. */
	async open(path: string): Promise<ByteSource> {
		const found = await this.#walk(path, true);
		if (found?.stat?.type !== "file") throw notFound(`${path} is not a regular file in this guest`, { file: path });
		return found.place.filesystem.open(found.place.path);
	}

	/** The whole contents of a regular file; `refused` when there are more than `limit` bytes. */
	async readFile(path: string, limit: number): Promise<Uint8Array> {
		const source = await this.open(path);
		if (source.size > limit) {
			throw refused(`${path} has ${source.size} bytes, more than the ${limit} that are read of such a file`, {
				file: path,
			});
		}
		return readBytes(source, 0, source.size);
	}

	/**
	 * The contents of a regular file as UTF-8, broken sequences replaced by U+FFFD; `undefined` when there is no such
	 * file. To write a file back with a change, start from {@link readFile}.
	 */
	async readText(path: string, limit = mebibyte): Promise<string | undefined> {
		const found = await this.#walk(path, true);
		if (found?.stat?.type !== "file") return undefined;
		const { guestPath } = found.place;
		const known = this.#texts.get(guestPath);
		if (known !== undefined && known.length <= limit) return known;
		const text = new TextDecoder().decode(await this.readFile(guestPath, limit));
		if (text.length <= longestRemembered && this.#texts.size < rememberedTexts) this.#texts.set(guestPath, text);
		return text;
	}

	/** `undefined` when a directory on the way is missing; without `stat` when only the last name is. */
	async #walk(path: string, followLast: boolean): Promise<{ place: Resolved; stat?: FileStat } | undefined> {
		/** Names still to be walked, the next one last. */
		const pending = splitPath(path).reverse();
		const walked: string[] = [];
		let links = 0;
		let stat = await this.#statAt("/");
		for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
			if (stat?.type !== "directory") return undefined;
			if (name === ".") continue;
			if (name === "..") {
				walked.pop();
				stat = await this.#statAt(`/${walked.join("/")}`);
				continue;
			}
			walked.push(name);
			stat = await this.#statAt(`/${walked.join("/")}`);
			if (stat?.type !== "link" || (pending.length === 0 && !followLast)) continue;
			if (++links > maximumLinks) {
				throw damaged(`${path} leads through more than ${maximumLinks} symbolic links in this guest`, { file: path });
			}
			if (!stat.target) return undefined;
			if (stat.target.startsWith("/")) walked.length = 0;
			else walked.pop();
			pending.push(...names(stat.target).reverse());
			stat = await this.#statAt(`/${walked.join("/")}`);
		}
		const place = this.#place(`/${walked.join("/")}`);
		return stat ? { place, stat } : { place };
	}

	/** Which file system has `guestPath`: the one mounted nearest above it. */
	#place(guestPath: string): Resolved {
		let end = guestPath.length;
		for (;;) {
			const prefix = end > 0 ? guestPath.slice(0, end) : "/";
			const mounted = this.#mountAt.get(prefix);
			if (mounted) return { ...mounted, guestPath, path: guestPath.slice(end) || "/" };
			end = guestPath.lastIndexOf("/", end - 1);
		}
	}

	async #statAt(guestPath: string): Promise<FileStat | undefined> {
		const known = this.#known.get(guestPath);
		if (known || this.#known.has(guestPath)) return known;
		const { filesystem, path } = this.#place(guestPath);
		const stat = await filesystem.stat(path);
		if (this.#known.size >= rememberedPlaces) this.#known.clear();
		this.#known.set(guestPath, stat);
		return stat;
	}
}

function splitPath(path: string): string[] {
	if (!path.startsWith("/")) throw new AnyvisorError("usage", `"${path}" is not an absolute path in a guest`);
	return names(path);
}

const names = (path: string) => path.split("/").filter((name) => name !== "");
