import { notFound } from "../bytes/errors.js";
import type { ByteSource } from "../bytes/source.js";
import type { Directories } from "./directories.js";
import type { ExtendedAttributes } from "./extended-attributes.js";
import type { DirectoryEntry, FileStat, Filesystem, FileType } from "./filesystem.js";

/** What a file system knows of its files; `path` begins with the volume's name and is for messages. */
export interface Nodes<N extends { readonly type: FileType }> {
	root(): Promise<N> | N;
	/** `undefined` where the directory has no such name. */
	child(directory: N, name: string, path: string): Promise<N | undefined>;
	stat(node: N, path: string): Promise<FileStat> | FileStat;
	list(directory: N, path: string): Promise<readonly DirectoryEntry[]>;
	open(file: N, path: string): Promise<ByteSource> | ByteSource;
	extendedAttributes?(node: N, path: string): Promise<ExtendedAttributes>;
}

/** What is at `path`, from the root down; links are not followed. */
async function find<N extends { readonly type: FileType }>(
	volume: string,
	nodes: Pick<Nodes<N>, "root" | "child">,
	path: string,
): Promise<N | undefined> {
	let node: N | undefined = await nodes.root();
	for (const name of path.split("/")) {
		if (name === "") continue;
		if (node?.type !== "directory") return undefined;
		node = await nodes.child(node, name, `${volume}:${path}`);
	}
	return node;
}

/** A file system's ways to its files, by their paths; `volume` is its name. */
export function walked<N extends { readonly type: FileType }>(
	volume: string,
	nodes: Nodes<N>,
): Pick<Filesystem, "stat" | "list" | "open" | "extendedAttributes"> {
	const named = (path: string) => `${volume}:${path}`;
	const extendedAttributes = nodes.extendedAttributes?.bind(nodes);
	return {
		async stat(path) {
			const node = await find(volume, nodes, path);
			return node && nodes.stat(node, named(path));
		},
		async list(path) {
			const node = await find(volume, nodes, path);
			if (node?.type !== "directory") throw notFound(`${named(path)} is not a directory`, { file: named(path) });
			return nodes.list(node, named(path));
		},
		async open(path) {
			const node = await find(volume, nodes, path);
			if (node?.type !== "file") throw notFound(`${named(path)} is not a regular file`, { file: named(path) });
			return nodes.open(node, named(path));
		},
		...(extendedAttributes && {
			async extendedAttributes(path: string) {
				const node = await find(volume, nodes, path);
				if (node === undefined) throw notFound(`${named(path)} does not exist`, { file: named(path) });
				return extendedAttributes(node, named(path));
			},
		}),
	};
}

/** An entry that names an inode, at a place of the volume that messages point to. */
interface InodeEntry {
	readonly name: string;
	readonly inode: number;
	readonly at: number;
	/** Undefined where only the inode tells. */
	readonly type?: FileType | undefined;
}

/** How a file system whose directories name inodes finds and lists them. */
export function byInode<N extends { readonly type: FileType; readonly number: number; readonly size: number }>(
	directories: Directories<N, InodeEntry>,
	read: (number: number, referrer: number) => Promise<N>,
): Pick<Nodes<N>, "child" | "list"> & { readonly inodeOf: (number: number, referrer: number) => Promise<N> } {
	const inodeOf = rememberDirectories(read);
	return {
		inodeOf,
		async child(directory, name, path) {
			const entry = await directories.find(directory, name, path);
			return entry && inodeOf(entry.inode, entry.at);
		},
		async list(directory, path) {
			const found: DirectoryEntry[] = [];
			for (const { name, type, inode, at } of await directories.list(directory, path)) {
				found.push({ name, type: type ?? (await read(inode, at)).type });
			}
			return found;
		},
	};
}

const REMEMBERED = 256;

/** Reads what has a number; of directories, which every path leads through, the same few are kept. */
export function rememberDirectories<K, N extends { readonly type: FileType }>(
	read: (number: K, referrer: number) => Promise<N>,
): (number: K, referrer: number) => Promise<N> {
	const kept = new Map<K, N>();
	return async (number, referrer) => {
		const known = kept.get(number);
		if (known !== undefined) return known;
		const node = await read(number, referrer);
		if (node.type === "directory") {
			if (kept.size >= REMEMBERED) kept.clear();
			kept.set(number, node);
		}
		return node;
	};
}
