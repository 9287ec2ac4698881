import { type CpioEntry, cpioTrailer, directory, fileTypeMask, regularFile, symbolicLink } from "./cpio.js";

export interface FileNode {
	readonly type: "file";
	/** Only of files that were wanted when their archive was read. */
	contents: Uint8Array | undefined;
}
interface DirectoryNode {
	readonly type: "directory";
	readonly children: Map<string, Node>;
}
interface LinkNode {
	readonly type: "link";
	readonly target: string;
}
export type Node = FileNode | DirectoryNode | LinkNode | { readonly type: "other" };

const maximumLinks = 40;

/** The kernel's PATH_MAX: what lies deeper, behind links, nothing opens. */
const longestPath = 4096;

/**
 * The file system that the kernel's unpacker fills: later archives overwrite earlier ones, an entry of another type
 * replaces what has its name (a directory only while empty), names lead through links, and an entry whose directory
 * does not exist is lost. https://www.kernel.org/doc/html/latest/filesystems/ramfs-rootfs-initramfs.html
 */
export class Rootfs {
	readonly #root: DirectoryNode = { type: "directory", children: new Map() };
	/** Files with several names, within one archive. */
	readonly #hardLinks = new Map<string, FileNode>();

	constructor() {
		// What every kernel has built in: usr/default_cpio_list.
		this.#root.children.set("dev", emptyDirectory());
		this.#root.children.set("root", emptyDirectory());
	}

	insert(entry: CpioEntry): void {
		if (entry.name === cpioTrailer) {
			this.#hardLinks.clear();
			return;
		}
		const path = splitPath(entry.name);
		const name = path.pop();
		const parent = this.#walk(path);
		if (name === undefined || name === "." || name === ".." || parent?.type !== "directory") return;
		const { children } = parent;

		const type = entry.mode & fileTypeMask;
		const shared = type === regularFile && entry.nlink > 1 ? this.#hardLinks.get(entry.inode) : undefined;
		const old = children.get(name);
		const keeps =
			!shared && ((type === regularFile && old?.type === "file") || (type === directory && old?.type === "directory"));
		if (old?.type === "directory" && old.children.size > 0 && !keeps) return;

		if (type === regularFile) {
			const file = shared ?? (old?.type === "file" ? old : { type: "file", contents: undefined });
			// The names of a file carry its contents once, most often with the last name.
			if (!shared || entry.size > 0) file.contents = entry.contents;
			if (entry.nlink > 1) this.#hardLinks.set(entry.inode, file);
			children.set(name, file);
		} else if (type === directory) {
			if (!keeps) children.set(name, emptyDirectory());
		} else if (type === symbolicLink) {
			children.set(name, { type: "link", target: new TextDecoder().decode(entry.contents) });
		} else children.set(name, { type: "other" });
	}

	/** What is at `path`, links followed. */
	find(path: string): Node | undefined {
		return this.#walk(splitPath(path));
	}

	/** What is at `path`, where the last name may be a link. */
	findLink(path: string): Node | undefined {
		const names = splitPath(path);
		const name = names.pop();
		const parent = this.#walk(names);
		return parent?.type === "directory" && name !== undefined ? parent.children.get(name) : undefined;
	}

	/** Names of a directory; none where it is not one. */
	list(path: string): readonly string[] {
		const found = this.find(path);
		return found?.type === "directory" ? [...found.children.keys()] : [];
	}

	/** Text of a file that was wanted; `undefined` where there is none. */
	text(path: string): string | undefined {
		const found = this.find(path);
		return found?.type === "file" ? new TextDecoder().decode(found.contents) : undefined;
	}

	/** Paths of all files below `path`, relative to it; links count as the files that they lead to. */
	*filesBelow(path: string): Generator<string> {
		const pending = [{ node: this.find(path), at: "" }];
		for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
			const { node, at } = next;
			if (node?.type !== "directory" || at.length > longestPath) continue;
			for (const [name, child] of node.children) {
				if (child.type === "directory") pending.push({ node: child, at: `${at}${name}/` });
				else if (child.type === "file") yield at + name;
				else if (child.type === "link" && this.find(`${path}/${at}${name}`)?.type === "file") yield at + name;
			}
		}
	}

	#walk(path: readonly string[]): Node | undefined {
		const pending = path.toReversed();
		const walked: DirectoryNode[] = [];
		let node: Node = this.#root;
		let links = 0;
		for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
			if (node.type !== "directory") return undefined;
			if (name === ".") continue;
			if (name === "..") {
				node = walked.pop() ?? this.#root;
				continue;
			}
			const next: Node | undefined = node.children.get(name);
			if (next === undefined) return undefined;
			if (next.type === "link") {
				if (++links > maximumLinks) return undefined;
				if (next.target.startsWith("/")) {
					node = this.#root;
					walked.length = 0;
				}
				pending.push(...splitPath(next.target).reverse());
			} else {
				walked.push(node);
				node = next;
			}
		}
		return node;
	}
}

const emptyDirectory = (): DirectoryNode => ({ type: "directory", children: new Map() });

const splitPath = (path: string) => path.split("/").filter((name) => name !== "");
