import { cached } from "../../bytes/cache.js";
import { notFound } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import type { ExtendedAttributes } from "../extended-attributes.js";
import type { DirectoryEntry, FileStat, Filesystem, FilesystemFormat } from "../filesystem.js";
import { contents, decodeName, linkTarget } from "./contents.js";
import { Directories } from "./directories.js";
import { type Inode, readInode } from "./inode.js";
import { Superblock } from "./layout.js";
import { readLog } from "./log.js";
import { replayed } from "./replay.js";
import { corrupt, readSuperblock } from "./superblock.js";
import type { XfsVolume } from "./volume.js";
import { extendedAttributes } from "./xattr.js";

/**
 * XFS, versions 4 and 5, for reading. A file system that was not unmounted is read as it would be after its log had been
 * replayed; the volume is not touched.
 */
export const xfs: FilesystemFormat = {
	id: "xfs",
	async open(source) {
		const volume = await openXfs(source);
		return volume && new XfsFilesystem(volume);
	},
};

/** The volume behind {@link xfs}; `undefined` where `source` is none. */
async function openXfs(source: ByteSource): Promise<XfsVolume | undefined> {
	const parameters = await readSuperblock(source);
	if (parameters === undefined) return undefined;
	const asStored = { name: source.name, parameters, source, metadata: cached(source), isNewer: () => false };
	const log = await readLog(asStored);
	if (log === undefined) return asStored;
	const current = await replayed(log);
	const { sb_sectsize, sb_blocksize } = parameters.fields;
	const newer = await readSuperblock(current, current.isNewer(0, sb_sectsize));
	if (newer?.blockSize !== sb_blocksize || newer.checksums !== parameters.checksums) {
		throw corrupt(source.name, 0, "the log replaces the superblock by something else");
	}
	return {
		name: source.name,
		parameters: newer,
		source: current,
		metadata: cached(current),
		isNewer: (at, length) => current.isNewer(at, length),
	};
}

const REMEMBERED_INODES = 256;

class XfsFilesystem implements Filesystem {
	readonly kind = "xfs";
	readonly uuid: string;
	readonly label: string;
	readonly #volume: XfsVolume;
	readonly #directories: Directories;
	/** The inodes of directories: every path leads through the same few. */
	readonly #walked = new Map<number, Inode>();

	constructor(volume: XfsVolume) {
		const { sb_uuid, sb_fname } = volume.parameters.fields;
		this.#volume = volume;
		this.#directories = new Directories(volume);
		this.uuid = sb_uuid;
		const end = sb_fname.indexOf(0);
		this.label = decodeName(end < 0 ? sb_fname : sb_fname.subarray(0, end));
	}

	async stat(path: string): Promise<FileStat | undefined> {
		const inode = await this.#find(path);
		if (inode === undefined) return undefined;
		const { fields, type, size, mtime } = inode;
		return {
			type,
			size,
			mode: fields.di_mode & 0o7777,
			uid: fields.di_uid,
			gid: fields.di_gid,
			mtime,
			...(type === "link" && { target: await linkTarget(this.#volume, inode) }),
		};
	}

	async list(path: string): Promise<readonly DirectoryEntry[]> {
		const inode = await this.#find(path);
		if (inode?.type !== "directory") {
			throw notFound(`${this.#named(path)} is not a directory`, { file: this.#named(path) });
		}
		const found: DirectoryEntry[] = [];
		for (const { name, type, inode: number, at } of await this.#directories.list(inode, this.#named(path))) {
			found.push({ name, type: type ?? (await readInode(this.#volume, number, at)).type });
		}
		return found;
	}

	async open(path: string): Promise<ByteSource> {
		const inode = await this.#find(path);
		if (inode?.type !== "file") {
			throw notFound(`${this.#named(path)} is not a regular file`, { file: this.#named(path) });
		}
		return contents(this.#volume, inode, this.#named(path));
	}

	async extendedAttributes(path: string): Promise<ExtendedAttributes> {
		const inode = await this.#find(path);
		if (inode === undefined) throw notFound(`${this.#named(path)} does not exist`, { file: this.#named(path) });
		return extendedAttributes(this.#volume, inode, this.#named(path));
	}

	/** As the superblock counts, which is an estimate where the log had to be replayed; never more than there are. */
	free(): Promise<number> {
		const { sb_fdblocks, sb_dblocks, sb_blocksize } = this.#volume.parameters.fields;
		return Promise.resolve(Math.min(sb_fdblocks, sb_dblocks) * sb_blocksize);
	}

	#named(path: string): string {
		return `${this.#volume.name}:${path}`;
	}

	/** The inode at `path`; links are not followed. */
	async #find(path: string): Promise<Inode | undefined> {
		let inode = await this.#inode(this.#volume.parameters.fields.sb_rootino, Superblock.offsets.sb_rootino);
		for (const name of path.split("/")) {
			if (name === "") continue;
			if (inode.type !== "directory") return undefined;
			const entry = await this.#directories.find(inode, name, this.#named(path));
			if (entry === undefined) return undefined;
			inode = await this.#inode(entry.inode, entry.at);
		}
		return inode;
	}

	async #inode(number: number, referrer: number): Promise<Inode> {
		const known = this.#walked.get(number);
		if (known !== undefined) return known;
		const inode = await readInode(this.#volume, number, referrer);
		if (inode.type === "directory") {
			if (this.#walked.size >= REMEMBERED_INODES) this.#walked.clear();
			this.#walked.set(number, inode);
		}
		return inode;
	}
}
