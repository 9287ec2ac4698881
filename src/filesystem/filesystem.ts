import type { AnyvisorError } from "../bytes/errors.js";
import type { ByteSource } from "../bytes/source.js";
import type { ExtendedAttributes } from "./extended-attributes.js";

export type FileType = "file" | "directory" | "link" | "other";

export interface FileStat {
	readonly type: FileType;
	/** Bytes; the target's length for a link. */
	readonly size: number;
	/** Permission bits, 0 to 0o7777. */
	readonly mode: number;
	readonly uid: number;
	readonly gid: number;
	/** Seconds since 1970, may have a fraction. */
	readonly mtime: number;
	/** Target of a symbolic link, exactly as stored. */
	readonly target?: string;
}

export interface DirectoryEntry {
	readonly name: string;
	readonly type: FileType;
}

/**
 * One file system. Paths are absolute with `/`, without `.` and `..`; symbolic links are **not** followed, neither in
 * the middle nor at the end: `GuestTree` does that, because links cross mounts.
 */
export interface Filesystem {
	/** `ext2`, `ext3`, `ext4`, `xfs`, `btrfs`, `fat12`, `fat16`, `fat32`, … */
	readonly kind: string;
	/** As in `/dev/disk/by-uuid` (FAT: `ABCD-1234`); empty where there is none. */
	readonly uuid: string;
	readonly label: string;
	/** `undefined` where nothing has that name. */
	stat(path: string): Promise<FileStat | undefined>;
	/** Entries of a directory, without `.` and `..`; `not-found` when it is not one. */
	list(path: string): Promise<readonly DirectoryEntry[]>;
	/** The contents of a regular file. Nothing is read before it is asked for. */
	open(path: string): Promise<ByteSource>;
	/** The extended attributes of a file, a directory or a link itself; `not-found` where nothing has that name. */
	extendedAttributes?(path: string): Promise<ExtendedAttributes>;
	/** Free bytes, for refusing an edit that cannot fit before anything is written. */
	free?(): Promise<number>;
	/**
	 * Another tree of files that the same volume holds, always the same one for the same: by its path from the top, as in
	 * the mount option `subvol=`, or by its id, as in `subvolid=`. `undefined` where there is none.
	 */
	subvolume?(which: string | number): Promise<Filesystem | undefined>;
	/** What mounts just this tree of the volume, and not another: `subvolid=256`. */
	readonly mountOptions?: string;
	/** All volumes that it lies on, where these are several: what is found on each of them is this one. */
	readonly devices?: readonly ByteSource[];
	/** What of it is not read although it is sound, one sentence or two each; for whoever relies on it. */
	readonly notes?: readonly string[];
	/** Present when the file system can be edited and its source is a store. After {@link Editor.close}, open it anew. */
	edit?(): Promise<Editor>;
	/** What {@link edit} would fail with, where that is known without trying. */
	readonly editRefusal?: AnyvisorError;
}

/** Owner, permissions and time of what an edit creates. */
export interface Attributes {
	readonly mode: number;
	readonly uid: number;
	readonly gid: number;
	/** Seconds since 1970. */
	readonly mtime: number;
}

/**
 * Changes files of one file system. Paths as in {@link Filesystem}, links not followed; parents must exist. What is no
 * regular file cannot be written: `refused`.
 */
export interface Editor {
	/**
	 * Creates a regular file, or replaces the contents of an existing one: mode, owner and extended attributes of an
	 * existing one stay, its mtime becomes `attributes.mtime`.
	 */
	writeFile(path: string, contents: Uint8Array, attributes: Attributes): Promise<void>;
	/** Appends to an existing regular file; everything but size and mtime stays. */
	appendFile(path: string, contents: Uint8Array, mtime: number): Promise<void>;
	/** Creates one directory; an existing one is left as it is. */
	makeDirectory(path: string, attributes: Attributes): Promise<void>;
	/** Makes a symbolic link; `refused` where something has that name. Links have no permissions of their own. */
	makeLink(path: string, target: string, attributes: Omit<Attributes, "mode">): Promise<void>;
	/**
	 * Moves a file, a link, or a directory with all that is in it. What has that name is replaced: by what is no directory,
	 * what is none; by a directory, an empty one; `refused` otherwise. A path renamed to itself stays.
	 * https://pubs.opengroup.org/onlinepubs/9799919799/functions/rename.html
	 */
	rename(from: string, to: string): Promise<void>;
	/** Removes a file, a link or an empty directory. */
	remove(path: string): Promise<void>;
	/**
	 * Changes what is given of a file, a directory or a link itself; what is left out stays, and so do the setuid bits and
	 * capabilities that a change of owner would cost a file in a running system.
	 */
	setAttributes(path: string, attributes: Partial<Attributes>): Promise<void>;
	/**
	 * Sets an extended attribute of a file, a directory or a link itself, whether or not there was one. `unsupported`
	 * where the file system has none, or none of that namespace.
	 */
	setExtendedAttribute(path: string, name: string, value: Uint8Array): Promise<void>;
	/** Removes an extended attribute; `not-found` where there is none of that name. */
	removeExtendedAttribute(path: string, name: string): Promise<void>;
	/** Writes everything back. An editor that is not closed leaves the file system in an undefined state. */
	close(): Promise<void>;
}

export interface FilesystemFormat {
	readonly id: string;
	/**
	 * `undefined` means "not mine"; recognised but damaged or unsupported throws.
	 *
	 * @param beside other volumes of the machine: what lies on several looks for the rest of itself there
	 */
	open(volume: ByteSource, beside?: readonly ByteSource[]): Promise<Filesystem | undefined>;
}
