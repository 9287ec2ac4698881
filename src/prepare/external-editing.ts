import { notFound, refused, unsupported } from "../bytes/errors.js";
import type { ByteStore } from "../bytes/source.js";
import type { Editor, FileStat, Filesystem } from "../filesystem/filesystem.js";
import type { FileOperation, FilesystemJob } from "../source/guestfish.js";

/** Kinds of file systems that have no editor of their own, and that the kernel of an appliance can change. */
const kinds: ReadonlySet<string> = new Set(["xfs", "btrfs"]);

/**
 * Lets another program edit what has no editor here. Its start takes as long as many edits: editors only note what is to
 * be done, and {@link finish} has it done in all file systems at once.
 */
export class ExternalEditing {
	readonly #run: (jobs: readonly FilesystemJob[]) => Promise<void>;
	readonly #jobs: FilesystemJob[] = [];

	constructor(run: (jobs: readonly FilesystemJob[]) => Promise<void>) {
		this.#run = run;
	}

	/**
	 * Undefined for what it cannot edit; `unsupported` where what was read is not what the appliance would find.
	 *
	 * @param store that holds the file system and nothing else
	 */
	editorFor(filesystem: Filesystem, store: ByteStore): (() => Promise<Editor>) | undefined {
		if (!kinds.has(filesystem.kind) || filesystem.devices !== undefined) return undefined;
		return async () => {
			const [note] = filesystem.notes ?? [];
			if (note !== undefined) {
				throw unsupported(`${store.name} cannot be edited as it is: ${note}`, {
					file: store.name,
					hint: "Start the guest where it runs, shut it down cleanly, and try again.",
				});
			}
			const operations: FileOperation[] = [];
			this.#jobs.push({ store, mountOptions: filesystem.mountOptions, operations });
			return noting(filesystem, operations);
		};
	}

	/** Afterwards the file systems must be opened anew. */
	async finish(): Promise<void> {
		const jobs = this.#jobs.splice(0).filter(({ operations }) => operations.length > 0);
		if (jobs.length > 0) await this.#run(jobs);
	}
}

function noting(filesystem: Filesystem, operations: FileOperation[]): Editor {
	/** What will be at `path`; `undefined` where nothing will. */
	async function look(path: string): Promise<Pick<FileStat, "type" | "size"> | undefined> {
		let now = path;
		for (const operation of operations.toReversed()) {
			if (operation.kind === "rename") {
				if (isIn(now, operation.to)) now = operation.path + now.slice(operation.to.length);
				else if (isIn(now, operation.path)) return undefined;
			} else if (operation.path === now) {
				if (operation.kind === "remove") return undefined;
				if (operation.kind === "folder") return { type: "directory", size: 0 };
				if (operation.kind === "link") return { type: "link", size: operation.target.length };
				if (operation.kind === "write") return { type: "file", size: operation.contents.length };
				if (operation.kind === "append") return { type: "file", size: operation.at + operation.contents.length };
			}
		}
		return filesystem.stat(now);
	}
	async function existing(path: string) {
		const found = await look(path);
		if (found === undefined) throw notFound(`There is no ${path} in this file system`, { file: path });
		return found;
	}
	async function checkNew(path: string): Promise<void> {
		if ((await look(path)) !== undefined) throw refused(`${path} exists already`, { file: path });
		const parent = path.slice(0, path.lastIndexOf("/")) || "/";
		if ((await look(parent))?.type !== "directory") throw notFound(`${parent} is not a directory`, { file: path });
	}
	return {
		async writeFile(path, contents, { mode, uid, gid, mtime }) {
			const isNew = (await look(path)) === undefined;
			operations.push({ kind: "write", path, contents, mtime, ...(isNew && { created: { mode, uid, gid } }) });
		},
		async appendFile(path, contents, mtime) {
			operations.push({ kind: "append", path, contents, mtime, at: (await look(path))?.size ?? 0 });
		},
		async makeDirectory(path, attributes) {
			if ((await look(path)) === undefined) operations.push({ kind: "folder", path, ...attributes });
		},
		async makeLink(path, target, attributes) {
			await checkNew(path);
			operations.push({ kind: "link", path, target, ...attributes });
		},
		async rename(path, to) {
			await existing(path);
			await checkNew(to);
			if (isIn(to, path)) throw refused(`${path} cannot be moved into itself`, { file: path });
			operations.push({ kind: "rename", path, to });
		},
		async remove(path) {
			operations.push({ kind: "remove", path, folder: (await existing(path)).type === "directory" });
		},
		async setAttributes(path, attributes) {
			if ((await existing(path)).type === "link" && attributes.mode !== undefined) {
				throw refused(`${path} is a symbolic link, which has no permissions`, { file: path });
			}
			operations.push({ kind: "attributes", path, ...attributes });
		},
		async setExtendedAttribute(path, name, value) {
			await existing(path);
			if (value.subarray(0, -1).includes(0)) {
				throw unsupported(`libguestfs cannot set an attribute with a NUL inside, as ${name} would have`, {
					file: path,
				});
			}
			operations.push({ kind: "extended", path, name, value });
		},
		close: () => Promise.resolve(),
	};
}

/** Whether `path` is `top`, or lies below it. */
const isIn = (path: string, top: string) => path === top || path.startsWith(`${top}/`);
