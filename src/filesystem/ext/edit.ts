import { AnyvisorError, damaged, notFound, refused, unsupported } from "../../bytes/errors.js";
import type { ByteStore } from "../../bytes/source.js";
import { claim } from "../claim.js";
import type { Attributes, Editor } from "../filesystem.js";
import { FileMode } from "../mode.js";
import { type NewAttributes, setAttributes } from "./attributes.js";
import { type Inode, readInode } from "./inode.js";
import { Extent, Incompat, SUPERBLOCK_AT, Superblock } from "./layout.js";
import { exclusively, LibError, LibExt2fs, LibraryError, OpenFlag } from "./libext2fs.js";
import { type ExtParameters, freeBytes, readSuperblock } from "./superblock.js";
import { WriteCache } from "./write-cache.js";

/**
 * Edits ext2, ext3 and ext4 through libext2fs. Files that it creates are mapped block by block, and a directory that
 * gets new names loses its index: both are as good to the kernel, which searches such a directory from its beginning.
 * The times of directories stay, but for those it creates.
 * `refused` where the file system first has to be mounted or checked, `unsupported` where it has a feature that libext2fs
 * would not keep in order.
 */
export function editExt(volume: ByteStore): Promise<Editor> {
	return exclusively(async () => {
		const parameters = await readSuperblock(volume);
		if (!parameters) throw damaged(`${volume.name} is no ext file system`, { file: volume.name });
		checkState(volume, parameters);
		checkFeatures(volume, parameters);
		const release = claim(volume);
		try {
			const cache = new WriteCache(volume);
			return new ExtEditor(cache, parameters, await LibExt2fs.mount(cache), release);
		} catch (error) {
			release();
			throw error;
		}
	});
}

const State = { CLEAN: 1, ERRORS: 2 };
const recover = "Boot the guest once and shut it down cleanly, or run e2fsck -y on a copy of its disk.";

function checkState({ name }: ByteStore, { fields, features }: ExtParameters): void {
	const details = { file: name, offset: SUPERBLOCK_AT + Superblock.offsets.s_state, hint: recover };
	if (
		features.incompat & Incompat.RECOVER ||
		features.roCompat & RoFeature.ORPHAN_PRESENT ||
		fields.s_last_orphan !== 0
	) {
		throw refused(`${name} was not unmounted: its journal has to be recovered before it can be edited`, details);
	}
	if (!(fields.s_state & State.CLEAN) || fields.s_state & State.ERRORS) {
		throw refused(
			`${name} was not unmounted or has known errors: it has to be checked before it can be edited`,
			details,
		);
	}
}

/** Read-only compatible features as mke2fs and the kernel call them. */
const RoFeature = {
	SPARSE_SUPER: 0x1,
	LARGE_FILE: 0x2,
	BTREE_DIR: 0x4,
	HUGE_FILE: 0x8,
	UNINIT_BG: 0x10,
	DIR_NLINK: 0x20,
	EXTRA_ISIZE: 0x40,
	SNAPSHOT: 0x80,
	QUOTA: 0x100,
	BIGALLOC: 0x200,
	METADATA_CSUM: 0x400,
	REPLICA: 0x800,
	READONLY: 0x1000,
	PROJECT: 0x2000,
	SHARED_BLOCKS: 0x4000,
	VERITY: 0x8000,
	ORPHAN_PRESENT: 0x10000,
};
/** With these, e2fsck finds nothing after edits. Compatible features need no support, by their definition. */
const editableIncompat =
	Incompat.FILETYPE |
	Incompat.META_BG |
	Incompat.EXTENTS |
	Incompat["64BIT"] |
	Incompat.FLEX_BG |
	Incompat.EA_INODE |
	Incompat.CSUM_SEED |
	Incompat.LARGEDIR |
	Incompat.INLINE_DATA;
const editableRoCompat =
	RoFeature.SPARSE_SUPER |
	RoFeature.LARGE_FILE |
	RoFeature.BTREE_DIR |
	RoFeature.HUGE_FILE |
	RoFeature.UNINIT_BG |
	RoFeature.DIR_NLINK |
	RoFeature.EXTRA_ISIZE |
	RoFeature.METADATA_CSUM;
/** `i_flags`: `i_blocks` counts blocks, not units of 512 bytes. */
const hugeFile = 0x40000;
/** Blocks that a directory may grow by for one new name. */
const blocksOfName = 2;
/** Blocks above the lowest level of a block map or an extent tree that one write may add. */
const deepestMap = 5;

/** 2 TiB with usual blocks: the library keeps a bit in memory for each of them, and one for each inode. */
const mostBlocks = 2 ** 29;

function checkFeatures({ name, size }: ByteStore, { features, blocks, blockSize }: ExtParameters): void {
	const missing =
		nameOf(Incompat, features.incompat & ~editableIncompat) ?? nameOf(RoFeature, features.roCompat & ~editableRoCompat);
	if (missing !== undefined) {
		throw unsupported(`${name}: ext file systems with the feature ${missing} cannot be edited`, { file: name });
	}
	if (blocks > mostBlocks) {
		throw unsupported(`${name} has ${blocks} blocks; ext file systems with more than ${mostBlocks} cannot be edited`, {
			file: name,
		});
	}
	if (blocks * blockSize > size) {
		throw damaged(`${name}: the file system has ${blocks * blockSize} bytes, but its volume only ${size}`, {
			file: name,
			hint: "Check that the disk image is complete.",
		});
	}
}

function nameOf(known: Readonly<Record<string, number>>, bits: number): string | undefined {
	if (bits === 0) return undefined;
	const [feature] = Object.entries(known).find(([, bit]) => bits & bit) ?? [];
	return feature?.toLowerCase() ?? `0x${(bits >>> 0).toString(16)}`;
}

const longestName = 255;

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
				this.#checkRegular(path, old);
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
			const old = await this.#find(path);
			if (!old) throw notFound(`${this.#cache.name}:${path} does not exist`, { file: path });
			this.#checkRegular(path, old);
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
			const make = () => this.#library.makeDirectory(path, FileMode.DIRECTORY | attributes.mode);
			try {
				await make();
			} catch (error) {
				if (!(error instanceof LibraryError && error.code === LibError.DIRECTORY_FULL)) throw error;
				// The library enlarges a directory for a new file, but not for a new directory.
				const flags = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.EXCLUSIVE;
				await this.#library.close(await this.#library.open(path, flags, FileMode.REGULAR));
				await this.#library.unlink(path);
				await make();
			}
			await this.#created(path, attributes);
		});
	}

	close(): Promise<void> {
		return exclusively(async () => {
			try {
				await this.#library.unmount();
				for (const [inode, attributes] of this.#attributes) {
					await setAttributes(this.#cache, this.#parameters, inode, attributes);
				}
				await this.#cache.flush();
			} finally {
				this.#release();
			}
		});
	}

	async #find(path: string): Promise<Inode | undefined> {
		for (const name of path.split("/").slice(1)) {
			const length = new TextEncoder().encode(name).length;
			if (length === 0 || length > longestName || name === "." || name === ".." || name.includes("\0")) {
				throw refused(`${this.#cache.name}: "${path}" cannot be the path of a file`, { file: path });
			}
		}
		return this.#lookUp(path);
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
		const { name } = this.#cache;
		const volume = { name, parameters: this.#parameters, source: this.#cache, metadata: this.#cache };
		return readInode(volume, number, SUPERBLOCK_AT);
	}

	#checkRegular(path: string, { type }: Inode): void {
		if (type === "file") return;
		const is = { directory: "a directory", link: "a symbolic link", other: "a device or a pipe" }[type];
		throw refused(`${this.#cache.name}:${path} is ${is} and cannot be written`, { file: path });
	}

	async #checkParent(path: string): Promise<void> {
		const parent = path.slice(0, path.lastIndexOf("/")) || "/";
		if ((await this.#lookUp(parent))?.type === "directory") return;
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
		if (fields.i_flags & hugeFile) return 0;
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
	async #created(path: string, { mode, uid, gid, mtime }: Attributes): Promise<void> {
		const made = await this.#lookUp(path);
		if (!made) throw damaged(`${this.#cache.name}:${path} cannot be found after it was created`, { file: path });
		this.#freeBlocks -= this.#blocksOf(made) + blocksOfName;
		this.#freeInodes--;
		this.#attributes.set(made.number, { mode, uid, gid, atime: mtime, crtime: mtime, mtime });
	}

	#setTime(inode: number, mtime: number): void {
		this.#attributes.set(inode, { ...this.#attributes.get(inode), mtime });
	}
}
