import { unsupported } from "../bytes/errors.js";
import type { ByteStore } from "../bytes/source.js";
import type { Editor, Filesystem } from "../filesystem/filesystem.js";
import type { FileOperation, FilesystemJob } from "../source/guestfish.js";
import { NotingEditor } from "./noting-editor.js";

/** Kinds of file systems that the kernel of an appliance can change, or for NTFS a driver that it starts. */
const kinds: ReadonlySet<string> = new Set(["xfs", "btrfs", "ntfs", "ext2", "ext3", "ext4"]);

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
	 * Undefined for what it cannot edit.
	 *
	 * @param store that holds the file system and nothing else
	 * @throws `unsupported` where what was read is not what the appliance would find
	 */
	editorFor(filesystem: Filesystem, store: ByteStore): (() => Promise<Editor>) | undefined {
		if (!kinds.has(filesystem.kind) || filesystem.devices !== undefined) return undefined;
		const [note] = filesystem.notes ?? [];
		if (note !== undefined) {
			throw unsupported(`${store.name} cannot be edited as it is: ${note}`, {
				file: store.name,
				hint: "Start the guest where it runs, shut it down cleanly, and try again.",
			});
		}
		return async () => {
			const operations: FileOperation[] = [];
			const scratch = await unusedName(filesystem);
			this.#jobs.push({ store, mountOptions: filesystem.mountOptions, scratch, operations });
			return new NotingEditor(filesystem, store.name, operations);
		};
	}

	/** Afterwards the file systems must be opened anew. */
	async finish(): Promise<void> {
		const jobs = this.#jobs.splice(0).filter(({ operations }) => operations.length > 0);
		if (jobs.length > 0) await this.#run(jobs);
	}
}

async function unusedName(filesystem: Filesystem): Promise<string> {
	for (let i = 0; ; i++) {
		const name = `/.anyvisor-${i}`;
		if ((await filesystem.stat(name)) === undefined) return name;
	}
}
