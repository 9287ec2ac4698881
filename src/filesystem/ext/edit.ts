import { AnyvisorError, damaged, notFound, refused } from "../../bytes/errors.js";
import type { ByteStore } from "../../bytes/source.js";
import { claim } from "../claim.js";
import { checkPath, checkRegular, checkReplaced, checkTarget, parentOf } from "../edit-path.js";
import type { Attributes, Editor } from "../filesystem.js";
import { FileMode } from "../mode.js";
import { type NewAttributes, setAttributes } from "./attributes.js";
import { refusalOf } from "./editable.js";
import { type Inode, readInode } from "./inode.js";
import { Extent, InodeFlag, SUPERBLOCK_AT } from "./layout.js";
import { exclusively, LibError, LibExt2fs, LibraryError, OpenFlag } from "./libext2fs.js";
import { openExt } from "./open.js";
import { findOrphans, removeOrphans } from "./orphans.js";
import { recover } from "./recover.js";
import { type ExtParameters, freeBytes, readSuperblock } from "./superblock.js";
import { WriteCache } from "./write-cache.js";
import { ACCESS_LIST, extendedAttributes, storedAccessList } from "./xattr.js";
import { checkName, checkRemovable, type NewExtended, needsBlock, setExtended } from "./xattr-edit.js";

/**
 * Edits ext2, ext3 and ext4 through libext2fs. Files that it creates are mapped block by block, and a directory that
 * gets new names loses its index: both are as good to the kernel, which searches such a directory from its beginning.
 * The times of directories stay, but for those it creates. A journal that was left behind is written back first.
 * `refused` where the file system first has to be mounted or checked, `unsupported` where it has a feature that libext2fs
 * would not keep in order.
 */
export function editExt(volume: ByteStore): Promise<Editor> {
	return exclusively(async () => {
		const opened = await openExt(volume);
		if (!opened) throw damaged(`${volume.name} is no ext file system`, { file: volume.name });
		const refusal = await refusalOf(opened);
		if (refusal) throw refusal;
		const release = claim(volume);
		try {
			const cache = new WriteCache(volume);
			const orphans = await findOrphans(opened.volume);
			if (opened.recovery) await recover(cache, opened.volume, opened.recovery);
			await removeOrphans(cache, orphans);
			const parameters = await readSuperblock(cache);
			if (!parameters) throw damaged(`${volume.name} has no superblock any more`, { file: volume.name });
			return new ExtEditor(cache, parameters, await LibExt2fs.mount(cache), release);
		} catch (error) {
			release();
			throw error;
		}
	});
}

/** Blocks that a directory may grow by for one new name. */
const blocksOfName = 2;
/** Blocks above the lowest level of a block map or an extent tree that one write may add. */
const deepestMap = 5;

class ExtEditor implements Editor {
	readonly #cache: WriteCache;
	readonly #parameters: ExtParameters;
	readonly #library: LibExt2fs;
	readonly #release: () => void;
	/** Blocks and inodes; at least as many are free. */
	#freeBlocks: number;
	#freeInodes: number;
	/** By inode number, to be set when the library has let go of the volume. */
	readonly #attributes = new Map<number, NewAttributes>();
	readonly #extended = new Map<number, NewExtended>();
	/** Paths that are known to be directories, with no link on the way. */
	readonly #directories = new Set<string>();

	constructor(cache: WriteCache, parameters: ExtParameters, library: LibExt2fs, release: () => void) {
		this.#cache = cache;
		this.#parameters = parameters;
		this.#library = library;
		this.#release = release;
		this.#freeBlocks = freeBytes(parameters) / parameters.blockSize;
		this.#freeInodes = parameters.fields.s_free_inodes_count;
	}

	writeFile(path: string, contents: Uint8Array, attributes: Attributes): Promise<void> {
		return exclusively(async () => {
			const old = await this.#find(path);
			if (old) {
				checkRegular(this.#cache.name, path, old.type);
				this.#checkRoom(path, this.#blocksFor(contents.length) - this.#blocksOf(old), 0);
				await this.#write(path, OpenFlag.WRITE | OpenFlag.TRUNCATE, contents, old);
				this.#setTime(old.number, attributes.mtime);
				return;
			}
			await this.#checkParent(path);
			this.#checkRoom(path, this.#blocksFor(contents.length) + blocksOfName, 1);
			const flags = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.EXCLUSIVE;
			const file = await this.#library.open(path, flags, FileMode.REGULAR | attributes.mode);
			await this.#library.write(file, flags, contents);
			await this.#library.close(file);
			await this.#created(path, attributes);
		});
	}

	appendFile(path: string, contents: Uint8Array, mtime: number): Promise<void> {
		return exclusively(async () => {
			const old = await this.#existing(path);
			checkRegular(this.#cache.name, path, old.type);
			this.#checkRoom(path, this.#blocksFor(contents.length), 0);
			await this.#write(path, OpenFlag.WRITE | OpenFlag.APPEND, contents, old);
			this.#setTime(old.number, mtime);
		});
	}

	makeDirectory(path: string, attributes: Attributes): Promise<void> {
		return exclusively(async () => {
			const old = await this.#find(path);
			if (old?.type === "directory") return;
			if (old) throw refused(`${this.#cache.name}:${path} exists and is not a directory`, { file: path });
			await this.#checkParent(path);
			this.#checkRoom(path, this.#blocksFor(1) + blocksOfName, 1);
			await this.#withRoom(path, () => this.#library.makeDirectory(path, FileMode.DIRECTORY | attributes.mode));
			await this.#created(path, attributes);
		});
	}

	makeLink(path: string, target: string, { uid, gid, mtime }: Omit<Attributes, "mode">): Promise<void> {
		return exclusively(async () => {
			await this.#checkNew(path);
			const length = checkTarget(this.#cache.name, path, target, this.#parameters.blockSize);
			this.#checkRoom(path, this.#blocksFor(length) + blocksOfName, 1);
			await this.#withRoom(path, () => this.#library.symbolicLink(path, target));
			await this.#created(path, { uid, gid, mtime });
		});
	}

	rename(from: string, to: string): Promise<void> {
		return exclusively(async () => {
			const moved = await this.#existing(from);
			const old = await this.#find(to);
			// Two names of one file both stay.
			if (old?.number === moved.number) return;
			if (old) checkReplaced(this.#cache.name, to, old.type, moved.type);
			else await this.#checkParent(to);
			if (to.startsWith(`${from}/`)) throw refused(`${from} cannot be moved into itself`, { file: from });
			this.#checkRoom(to, blocksOfName, 0);
			if (old) await this.#remove(to, old);
			this.#directories.clear();
			await this.#withRoom(to, () => this.#library.rename(from, to));
			this.#freeBlocks -= blocksOfName;
		});
	}

	remove(path: string): Promise<void> {
		return exclusively(async () => {
			checkPath(this.#cache.name, path);
			await this.#remove(path, await this.#existing(path));
		});
	}

	async #remove(path: string, old: Inode): Promise<void> {
		await checkRemovable(this.#volume, old);
		this.#directories.clear();
		if (old.type === "directory") {
			try {
				await this.#library.removeDirectory(path);
			} catch (error) {
				if (!(error instanceof LibraryError && error.code === LibError.NOT_EMPTY)) throw error;
				throw refused(`${this.#cache.name}:${path} is not empty`, { file: path });
			}
		} else await this.#library.unlink(path);
		if (old.type !== "directory" && old.fields.i_links_count > 1) return;
		this.#attributes.delete(old.number);
		this.#extended.delete(old.number);
	}

	setAttributes(path: string, attributes: Partial<Attributes>): Promise<void> {
		return exclusively(async () => {
			const inode = await this.#existing(path);
			const { number, type } = inode;
			const { mode } = attributes;
			if (type === "link" && mode !== undefined) {
				throw refused(`${this.#cache.name}:${path} is a symbolic link, which has no permissions`, { file: path });
			}
			if (mode !== undefined) {
				const list = (await extendedAttributes(this.#volume, inode, path)).get(ACCESS_LIST);
				const stored = list && storedAccessList(this.#cache.name, list, mode);
				if (stored) await this.#setExtended(path, inode, ACCESS_LIST, stored);
			}
			this.#attributes.set(number, { ...this.#attributes.get(number), ...attributes });
		});
	}

	setExtendedAttribute(path: string, name: string, value: Uint8Array): Promise<void> {
		return exclusively(async () => {
			checkName(this.#cache.name, name);
			await this.#setExtended(path, await this.#existing(path), name, value.slice());
		});
	}

	removeExtendedAttribute(path: string, name: string): Promise<void> {
		return exclusively(async () => {
			checkName(this.#cache.name, name);
			const inode = await this.#existing(path);
			const set = this.#extended.get(inode.number);
			const there = set?.has(name)
				? set.get(name) !== undefined
				: (await extendedAttributes(this.#volume, inode, path)).has(name);
			if (!there) throw notFound(`${this.#cache.name}:${path} has no attribute ${name}`, { file: path });
			await this.#setExtended(path, inode, name, undefined);
		});
	}

	async #setExtended(path: string, inode: Inode, name: string, value: Uint8Array | undefined): Promise<void> {
		const all = new Map([...(this.#extended.get(inode.number) ?? []), [name, value]]);
		if (await needsBlock(this.#volume, inode, all)) {
			this.#checkRoom(path, 1 + blocksOfName, 1);
			this.#freeBlocks -= 1 + blocksOfName;
		}
		this.#extended.set(inode.number, all);
	}

	close(): Promise<void> {
		return exclusively(async () => {
			try {
				await this.#library.unmount();
				for (const [inode, attributes] of this.#attributes) {
					await setAttributes(this.#cache, this.#parameters, inode, attributes);
				}
				await setExtended(this.#cache, this.#parameters, this.#extended);
				await this.#cache.flush();
			} finally {
				this.#release();
			}
		});
	}

	async #find(path: string): Promise<Inode | undefined> {
		checkPath(this.#cache.name, path);
		return (await this.#isDirectory(parentOf(path))) ? this.#lookUp(path) : undefined;
	}

	/** The library would follow links on the way. */
	async #isDirectory(path: string): Promise<boolean> {
		if (path === "/" || this.#directories.has(path)) return true;
		if (!(await this.#isDirectory(parentOf(path))) || (await this.#lookUp(path))?.type !== "directory") return false;
		this.#directories.add(path);
		return true;
	}

	async #lookUp(path: string): Promise<Inode | undefined> {
		try {
			const file = await this.#library.open(path, OpenFlag.NO_FOLLOW);
			const number = await this.#library.inode(file);
			await this.#library.close(file);
			return await this.#inode(number);
		} catch (error) {
			if (error instanceof LibraryError && error.code === LibError.NOT_FOUND) return undefined;
			throw error;
		}
	}

	/** The library writes inodes at once, so that what lies on the volume counts. */
	#inode(number: number): Promise<Inode> {
		return readInode(this.#volume, number, SUPERBLOCK_AT);
	}

	get #volume() {
		return { name: this.#cache.name, parameters: this.#parameters, source: this.#cache, metadata: this.#cache };
	}

	/** Repeats what failed because a directory is full: the library enlarges one for a new file only. */
	async #withRoom(path: string, make: () => Promise<unknown>): Promise<void> {
		try {
			await make();
		} catch (error) {
			if (!(error instanceof LibraryError && error.code === LibError.DIRECTORY_FULL)) throw error;
			const flags = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.EXCLUSIVE;
			await this.#library.close(await this.#library.open(path, flags, FileMode.REGULAR));
			await this.#library.unlink(path);
			await make();
		}
	}

	async #existing(path: string): Promise<Inode> {
		const found = path === "/" ? await this.#lookUp(path) : await this.#find(path);
		if (!found) throw notFound(`${this.#cache.name}:${path} does not exist`, { file: path });
		return found;
	}

	/** `refused` where `path` is taken. */
	async #checkNew(path: string): Promise<void> {
		if (await this.#find(path)) throw refused(`${this.#cache.name}:${path} exists already`, { file: path });
		await this.#checkParent(path);
	}

	async #checkParent(path: string): Promise<void> {
		const parent = parentOf(path);
		if (await this.#isDirectory(parent)) return;
		throw notFound(`${this.#cache.name}:${parent} is not a directory`, { file: path });
	}

	/** Blocks that `length` bytes take at most, those that say where they are included. */
	#blocksFor(length: number): number {
		const { blockSize } = this.#parameters;
		const data = Math.ceil(length / blockSize) + 1;
		const extentsPerBlock = Math.floor(blockSize / Extent.size) - 1;
		return data + Math.ceil(data / extentsPerBlock) + deepestMap;
	}

	#blocksOf({ fields }: Inode): number {
		// A file counted in whole blocks is larger than any that is edited.
		if (fields.i_flags & InodeFlag.HUGE_FILE) return 0;
		return Math.floor((fields.i_blocks_lo + fields.l_i_blocks_high * 2 ** 32) / (this.#parameters.blockSize / 512));
	}

	/** Refuses what may not fit, before anything is written. */
	#checkRoom(path: string, blocks: number, inodes: number): void {
		const { blockSize } = this.#parameters;
		if (blocks <= this.#freeBlocks && inodes <= this.#freeInodes) return;
		const what =
			inodes > this.#freeInodes
				? "needs an inode, but none is free"
				: `needs up to ${blocks * blockSize} more bytes, but only ${this.#freeBlocks * blockSize} are free`;
		throw new AnyvisorError("no-space", `${this.#cache.name}: ${path} ${what}`, {
			file: path,
			hint: "Free space in the guest or enlarge this volume.",
		});
	}

	async #write(path: string, flags: number, contents: Uint8Array, old: Inode): Promise<void> {
		const file = await this.#library.open(path, flags | OpenFlag.NO_FOLLOW);
		await this.#library.write(file, flags, contents);
		await this.#library.close(file);
		this.#freeBlocks -= this.#blocksOf(await this.#inode(old.number)) - this.#blocksOf(old);
	}

	/** Counts what a new file or directory took, and remembers what it is to look like. */
	async #created(path: string, attributes: Omit<Attributes, "mode"> & { readonly mode?: number }): Promise<void> {
		const { mtime } = attributes;
		const made = await this.#lookUp(path);
		if (!made) throw damaged(`${this.#cache.name}:${path} cannot be found after it was created`, { file: path });
		this.#freeBlocks -= this.#blocksOf(made) + blocksOfName;
		this.#freeInodes--;
		this.#attributes.set(made.number, { ...attributes, atime: mtime, crtime: mtime });
	}

	#setTime(inode: number, mtime: number): void {
		this.#attributes.set(inode, { ...this.#attributes.get(inode), mtime });
	}
}
