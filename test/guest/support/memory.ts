import { notFound } from "../../../src/bytes/errors.js";
import { type ByteSource, bytesSource } from "../../../src/bytes/source.js";
import type { DirectoryEntry, FileStat, Filesystem, FileType } from "../../../src/filesystem/filesystem.js";
import { GuestTree } from "../../../src/filesystem/tree.js";

/** A file's contents, or where a link leads. */
export type Contents = string | Uint8Array | ByteSource | { readonly link: string };

export interface MemoryOptions {
	readonly kind?: string;
	readonly uuid?: string;
	readonly label?: string;
}

interface Found {
	readonly type: FileType;
	readonly contents?: Contents;
}

/** A file system of the files named by absolute path; a path that ends in `/` is an empty directory. */
export function memoryFilesystem(files: Readonly<Record<string, Contents>>, options: MemoryOptions = {}): Filesystem {
	const nodes = new Map<string, Found>([["/", { type: "directory" }]]);
	for (const [path, contents] of Object.entries(files)) {
		const names = path.split("/").filter((name) => name !== "");
		for (let depth = 1; depth < names.length + (path.endsWith("/") ? 1 : 0); depth++) {
			nodes.set(`/${names.slice(0, depth).join("/")}`, { type: "directory" });
		}
		if (path.endsWith("/")) continue;
		const link = typeof contents === "object" && "link" in contents;
		nodes.set(`/${names.join("/")}`, { type: link ? "link" : "file", contents });
	}
	const source = (path: string): ByteSource => {
		const node = nodes.get(path);
		if (node?.type !== "file" || node.contents === undefined) throw notFound(`${path} is no file`, { file: path });
		if (typeof node.contents === "string") return bytesSource(new TextEncoder().encode(node.contents), path);
		if (node.contents instanceof Uint8Array) return bytesSource(node.contents, path);
		return node.contents as ByteSource;
	};
	return {
		kind: options.kind ?? "ext4",
		uuid: options.uuid ?? "",
		label: options.label ?? "",
		stat(path) {
			const node = nodes.get(path);
			if (node === undefined) return Promise.resolve(undefined);
			const target = typeof node.contents === "object" && "link" in node.contents ? node.contents.link : undefined;
			const stat: FileStat = {
				type: node.type,
				size: node.type === "file" ? source(path).size : 0,
				mode: 0o644,
				uid: 0,
				gid: 0,
				mtime: 0,
				...(target !== undefined && { target }),
			};
			return Promise.resolve(stat);
		},
		list(path) {
			if (nodes.get(path)?.type !== "directory") return Promise.reject(notFound(`${path} is no directory`));
			const prefix = path === "/" ? "/" : `${path}/`;
			const entries: DirectoryEntry[] = [];
			for (const [name, { type }] of nodes) {
				const rest = name.slice(prefix.length);
				if (name.startsWith(prefix) && rest !== "" && !rest.includes("/")) entries.push({ name: rest, type });
			}
			return Promise.resolve(entries);
		},
		open: (path) => Promise.resolve(source(path)),
	};
}

/** A guest tree with these files on its root. */
export const memoryTree = (files: Readonly<Record<string, Contents>>) =>
	new GuestTree([{ mount: "/", filesystem: memoryFilesystem(files) }]);
