import { cached } from "../../bytes/cache.js";
import { notFound } from "../../bytes/errors.js";
import { type ByteSource, isStore } from "../../bytes/source.js";
import type { ExtendedAttributes } from "../extended-attributes.js";
import type { DirectoryEntry, Editor, FileStat, Filesystem, FilesystemFormat } from "../filesystem.js";
import type { ExtVolume } from "./blocks.js";
import { contents, decodeName, linkTarget } from "./contents.js";
import { Directories } from "./directories.js";
import { editExt } from "./edit.js";
import { type Inode, readInode } from "./inode.js";
import { readJournal } from "./journal.js";
import { Incompat, ROOT_INODE, SUPERBLOCK_AT } from "./layout.js";
import { replayed } from "./replayed.js";
import { corrupt, freeBytes, kindOf, readSuperblock } from "./superblock.js";
import { extendedAttributes } from "./xattr.js";

/**
 * ext2, ext3 and ext4, for reading: https://docs.kernel.org/filesystems/ext4/. A file system that was not unmounted is
 * read as it would be after its journal had been written back; the volume is not touched.
 */
export const ext: FilesystemFormat = {
	id: "ext",
	async open(source) {
		const volume = await openExt(source);
		return volume && new ExtFilesystem(volume, isStore(source) ? () => editExt(source) : undefined);
	},
};

/** The volume behind {@link ext}; `undefined` where `source` is none. */
async function openExt(source: ByteSource): Promise<ExtVolume | undefined> {
	const parameters = await readSuperblock(source);
	if (parameters === undefined) return undefined;
	const asStored = { name: source.name, parameters, source, metadata: cached(source) };
	if (!(parameters.features.incompat & Incompat.RECOVER)) return asStored;
	const current = replayed(source, parameters.blockSize, await readJournal(asStored));
	const replayedParameters = await readSuperblock(current);
	if (replayedParameters?.blockSize !== parameters.blockSize) {
		throw corrupt(source.name, SUPERBLOCK_AT, "the journal replaces the superblock by something else");
	}
	return { name: source.name, parameters: replayedParameters, source: current, metadata: cached(current) };
}

const REMEMBERED_INODES = 256;

class ExtFilesystem implements Filesystem {
	readonly kind: string;
	readonly uuid: string;
	readonly label: string;
	readonly edit?: () => Promise<Editor>;
	readonly #volume: ExtVolume;
	readonly #directories: Directories;
	/** The inodes of directories: every path leads through the same few. */
	readonly #walked = new Map<number, Inode>();

	constructor(volume: ExtVolume, edit: (() => Promise<Editor>) | undefined) {
		if (edit) this.edit = edit;
		const { s_uuid, s_volume_name } = volume.parameters.fields;
		this.#volume = volume;
		this.#directories = new Directories(volume);
		this.kind = kindOf(volume.parameters);
		this.uuid = /^[0-]*$/.test(s_uuid) ? "" : s_uuid;
		const end = s_volume_name.indexOf(0);
		this.label = decodeName(end < 0 ? s_volume_name : s_volume_name.subarray(0, end));
	}

	async stat(path: string): Promise<FileStat | undefined> {
		const inode = await this.#find(path);
		if (inode === undefined) return undefined;
		const { fields, type, size, mtime } = inode;
		return {
			type,
			size,
			mode: fields.i_mode & 0o7777,
			uid: fields.i_uid + fields.l_i_uid_high * 2 ** 16,
			gid: fields.i_gid + fields.l_i_gid_high * 2 ** 16,
			mtime,
			...(type === "link" && { target: await linkTarget(this.#volume, inode, this.#named(path)) }),
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

	free(): Promise<number> {
		return Promise.resolve(freeBytes(this.#volume.parameters));
	}

	#named(path: string): string {
		return `${this.#volume.name}:${path}`;
	}

	/** The inode at `path`; links are not followed. */
	async #find(path: string): Promise<Inode | undefined> {
		let inode = await this.#inode(ROOT_INODE, SUPERBLOCK_AT);
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
