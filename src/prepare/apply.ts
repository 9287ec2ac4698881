import { AnyvisorError, damaged, unsupported } from "../bytes/errors.js";
import type { Editor, Filesystem } from "../filesystem/filesystem.js";
import type { GuestTree } from "../filesystem/tree.js";
import type { LinuxGuest } from "../guest/guest.js";
import type { Change, ReplaceLines } from "./change.js";
import { overlayArchive } from "./overlay-archive.js";

const textLimit = 16 * 2 ** 20;
const copyLimit = 64 * 2 ** 20;

/** One file operation on one file system: what a change comes down to. */
interface Edit {
	readonly mount: string;
	/** Folders that are to be made first, and the file's path, inside the file system. */
	readonly folders: readonly string[];
	readonly path: string;
	readonly append: boolean;
	readonly contents: Uint8Array;
	/** Permission bits of a file that is new. */
	readonly mode: number;
}

/**
 * Carries out a plan: the one place that edits a guest. All contents are made before the first byte is written, and a
 * file system that cannot be edited, or has no room, is refused before that too. Afterwards the file systems must be
 * opened anew.
 *
 * @param now time stamp of what is written, seconds since 1970
 */
export async function apply(
	changes: readonly Change[],
	guest: LinuxGuest,
	tree: GuestTree,
	now: number,
): Promise<void> {
	const byMount = new Map<string, Edit[]>();
	for (const change of changes) {
		const edit = { ...(await destination(tree, change.path)), ...(await contentsOf(change, guest, tree)) };
		byMount.set(edit.mount, [...(byMount.get(edit.mount) ?? []), edit]);
	}
	for (const [mount, edits] of byMount) await assertRoom(filesystemAt(tree, mount), mount, edits);
	for (const [mount, edits] of byMount) {
		const editor = await filesystemAt(tree, mount).edit();
		try {
			for (const edit of edits) await carryOut(edit, editor, now);
		} finally {
			await editor.close();
		}
	}
}

type Editable = Filesystem & { edit(): Promise<Editor> };

function filesystemAt(tree: GuestTree, mount: string): Editable {
	const filesystem = tree.mounts.find((candidate) => candidate.mount === mount)?.filesystem;
	if (!filesystem?.edit) {
		throw unsupported(`The file system at ${mount} (${filesystem?.kind ?? "unknown"}) can be read but not yet edited`, {
			file: mount,
			hint: "Prepare this guest where it runs: add the drivers with its own initramfs generator, then pack it again.",
		});
	}
	return filesystem as Editable;
}

async function assertRoom(filesystem: Filesystem, mount: string, edits: readonly Edit[]): Promise<void> {
	const needed = edits.reduce((sum, { contents }) => sum + contents.length, 0);
	const free = await filesystem.free?.();
	if (free !== undefined && needed > free) {
		throw new AnyvisorError("no-space", `${mount} in the guest has ${free} bytes free, but ${needed} are needed`, {
			file: mount,
			hint: `Free space on ${mount} in the guest (old kernels are the usual cause), then try again.`,
		});
	}
}

/** Where `path` is or will be: its last existing ancestor decides the file system, links followed. */
async function destination(tree: GuestTree, path: string): Promise<Pick<Edit, "mount" | "folders" | "path">> {
	const missing: string[] = [];
	let known = path;
	let found = await tree.resolveParent(known);
	while (!found) {
		const slash = known.lastIndexOf("/");
		missing.unshift(known.slice(slash + 1));
		known = known.slice(0, slash);
		found = await tree.resolveParent(known);
	}
	const folders: string[] = [];
	let inside = found.path;
	for (const name of missing) {
		folders.push(inside);
		inside = `${inside}/${name}`;
	}
	return { mount: found.mount, folders, path: inside };
}

async function contentsOf(
	change: Change,
	guest: LinuxGuest,
	tree: GuestTree,
): Promise<Pick<Edit, "append" | "contents" | "mode">> {
	const { path } = change;
	switch (change.action) {
		case "append-modules": {
			const kernel = guest.kernels.find(({ version }) => version === change.kernel);
			if (!kernel?.initramfs) throw damaged(`The guest has no initramfs for kernel ${change.kernel}`, { file: path });
			const contents = await overlayArchive(tree, kernel, kernel.initramfs, change.modules);
			return { append: true, contents, mode: 0o600 };
		}
		case "write-file":
			return { append: false, contents: new TextEncoder().encode(change.contents), mode: change.mode };
		case "replace-lines":
			return { append: false, contents: replaceLines(await tree.readFile(path, textLimit), change), mode: 0o644 };
		case "copy-file":
			return { append: false, contents: await tree.readFile(change.from, copyLimit), mode: 0o755 };
	}
}

/** Works on bytes: text in an unknown encoding comes out as it went in. */
function replaceLines(contents: Uint8Array, { path, lines }: ReplaceLines): Uint8Array {
	const latin1 = Array.from(contents, (byte) => String.fromCharCode(byte)).join("");
	const all = latin1.split("\n");
	const raw = (text: string) =>
		Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
	for (const { line, from, to } of lines) {
		if (all[line - 1] !== raw(from)) throw damaged(`${path} line ${line} is no longer "${from}"`, { file: path });
		all[line - 1] = raw(to);
	}
	return Uint8Array.from(all.join("\n"), (char) => char.charCodeAt(0));
}

async function carryOut(edit: Edit, editor: Editor, now: number): Promise<void> {
	const owner = { uid: 0, gid: 0, mtime: now };
	for (const folder of edit.folders) await editor.makeDirectory(folder, { ...owner, mode: 0o755 });
	if (edit.append) await editor.appendFile(edit.path, edit.contents, now);
	else await editor.writeFile(edit.path, edit.contents, { ...owner, mode: edit.mode });
}
