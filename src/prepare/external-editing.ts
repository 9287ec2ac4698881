import { unsupported } from "../bytes/errors.js";
import type { ByteStore } from "../bytes/source.js";
import type { Editor, Filesystem } from "../filesystem/filesystem.js";
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
		if (!kinds.has(filesystem.kind)) return undefined;
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
	/** Sizes of files as they will be, and 0 for folders that will be there. */
	const sizes = new Map<string, number>();
	const sizeOf = async (path: string) => sizes.get(path) ?? (await filesystem.stat(path))?.size;
	return {
		async writeFile(path, contents, { mode, uid, gid, mtime }) {
			const isNew = (await sizeOf(path)) === undefined;
			operations.push({ kind: "write", path, contents, mtime, ...(isNew && { created: { mode, uid, gid } }) });
			sizes.set(path, contents.length);
		},
		async appendFile(path, contents, mtime) {
			const at = (await sizeOf(path)) ?? 0;
			operations.push({ kind: "append", path, contents, mtime, at });
			sizes.set(path, at + contents.length);
		},
		async makeDirectory(path, { mode }) {
			if ((await sizeOf(path)) !== undefined) return;
			operations.push({ kind: "folder", path, mode });
			sizes.set(path, 0);
		},
		close: () => Promise.resolve(),
	};
}
