import { AnyvisorError, damaged, unsupported } from "../bytes/errors.js";
import type { Editor, Filesystem } from "../filesystem/filesystem.js";
import type { GuestTree, Resolved } from "../filesystem/tree.js";
import type { Initramfs, LinuxGuest, LinuxKernel } from "../guest/guest.js";
import { readFileContexts } from "../guest/linux/selinux.js";
import { readPe } from "../guest/linux/uki/pe.js";
import { addOn } from "./add-on.js";
import type { AppendModules, Change, ReplaceLines } from "./change.js";
import type { CpioEntry } from "./cpio.js";
import { initramfsOf } from "./initramfs-of.js";
import { joinLines, splitLines } from "./lines.js";
import { overlayArchive } from "./overlay-archive.js";

const textLimit = 16 * 2 ** 20;
const copyLimit = 64 * 2 ** 20;

/** Bytes beside its contents that a new file or folder takes at most: a block or cluster begun, and a folder that grows. */
const overhead = 128 * 1024;

/** Something new: its path inside the file system, and the SELinux label that it is to have. */
interface Place {
	readonly path: string;
	readonly label: Uint8Array | undefined;
}

/** One file operation on one file system: what a change comes down to. */
interface Edit {
	/** Folders that are to be made first. */
	readonly folders: readonly Place[];
	readonly path: string;
	/** Where the file is new, and the guest has SELinux. */
	readonly label?: Uint8Array | undefined;
	readonly append: boolean;
	readonly contents: Uint8Array;
	/** Permission bits of a file that is new. */
	readonly mode: number;
}

/** How a file system is edited; undefined where nothing edits its kind, and an error where this one cannot be. */
export type EditorOf = (filesystem: Filesystem) => (() => Promise<Editor>) | undefined;

/** By what it brings itself. */
export const itsOwn: EditorOf = (filesystem) => {
	if (filesystem.editRefusal) throw filesystem.editRefusal;
	return filesystem.edit?.bind(filesystem);
};

/**
 * Carries out a plan: the one place that edits a guest. All contents are made before the first byte is written, and a
 * file system that cannot be edited, or has no room, is refused before that too. Afterwards the file systems must be
 * opened anew.
 *
 * @param now time stamp of what is written, seconds since 1970
 * @param editorOf by their own editors where left out
 */
export async function apply(
	changes: readonly Change[],
	guest: LinuxGuest,
	tree: GuestTree,
	now: number,
	editorOf: EditorOf = itsOwn,
): Promise<void> {
	const contexts = changes.length > 0 ? await readFileContexts(tree) : undefined;
	const edits = new Map<Filesystem, { readonly open: () => Promise<Editor>; readonly list: Edit[] }>();
	for (const change of changes) {
		const { found, folders, path, guestPath } = await destination(tree, change.path);
		const { filesystem } = found;
		const labelOf = (place: string, type: "file" | "directory") =>
			filesystem.extendedAttributes && labelBytes(contexts?.contextOf(place, type));
		const known = edits.get(filesystem) ?? { open: editorOf(filesystem) ?? notEditable(found, change.path), list: [] };
		edits.set(filesystem, known);
		const isNew = (await filesystem.stat(path)) === undefined;
		known.list.push({
			folders: folders.map((folder) => ({ path: folder.path, label: labelOf(folder.guestPath, "directory") })),
			path,
			...(isNew && { label: labelOf(guestPath, "file") }),
			...(await contentsOf(change, changes, guest, tree)),
		});
	}
	for (const { mount, filesystem } of tree.mounts) {
		if (edits.has(filesystem)) await assertRoom(filesystem, mount, onVolumeOf(filesystem, edits));
	}
	for (const { open, list } of edits.values()) await carryOut(list, await open(), now);
}

/** Throws where a change is on a file system that cannot be edited: to be known before {@link apply}. */
export async function assertEditable(
	changes: readonly Change[],
	tree: GuestTree,
	editorOf: EditorOf = itsOwn,
): Promise<void> {
	for (const { path } of changes) {
		const { found } = await destination(tree, path);
		if (editorOf(found.filesystem) === undefined) notEditable(found, path);
	}
}

function notEditable({ mount, filesystem }: Resolved, path: string): never {
	throw unsupported(`The file system at ${mount} (${filesystem.kind}) can be read but not yet edited`, {
		file: path,
		hint: "Prepare this guest where it runs: add the drivers with its own initramfs generator, then pack it again.",
	});
}

/** Subvolumes of one volume share what is free. */
function onVolumeOf(
	filesystem: Filesystem,
	edits: ReadonlyMap<Filesystem, { readonly list: readonly Edit[] }>,
): readonly Edit[] {
	const shared = (other: Filesystem) =>
		other === filesystem || (filesystem.subvolume !== undefined && other.uuid === filesystem.uuid);
	return [...edits].flatMap(([other, { list }]) => (shared(other) ? list : []));
}

async function assertRoom(filesystem: Filesystem, mount: string, edits: readonly Edit[]): Promise<void> {
	const needed = edits.reduce((sum, { contents, folders }) => {
		return sum + contents.length + (1 + folders.length) * overhead;
	}, 0);
	const free = await filesystem.free?.();
	if (free !== undefined && needed > free) {
		throw new AnyvisorError(
			"no-space",
			`${mount} in the guest (${filesystem.kind}) has ${free} bytes free, but up to ${needed} are needed; nothing was written`,
			{
				file: mount,
				hint: `Remove old ${filesystem.kind.startsWith("fat") ? "kernels or loaders from the ESP" : "kernels in the guest"}, or enlarge what is mounted at ${mount}, then try again.`,
			},
		);
	}
}

/** Where `path` is or will be: its last existing ancestor decides the file system, links followed. */
async function destination(tree: GuestTree, path: string) {
	const missing: string[] = [];
	let known = path;
	let found = await tree.resolveParent(known);
	while (!found) {
		const slash = known.lastIndexOf("/");
		missing.unshift(known.slice(slash + 1));
		known = known.slice(0, slash);
		found = await tree.resolveParent(known);
	}
	const folders: { readonly path: string; readonly guestPath: string }[] = [];
	let { path: inside, guestPath } = found;
	for (const name of missing) {
		folders.push({ path: inside, guestPath });
		inside = `${inside}/${name}`;
		guestPath = `${guestPath}/${name}`;
	}
	return { found, folders, path: inside, guestPath };
}

/** As the kernel keeps it, with a NUL at the end. */
const labelBytes = (context: string | undefined) =>
	context === undefined ? undefined : new TextEncoder().encode(`${context}\0`);

async function contentsOf(
	change: Change,
	all: readonly Change[],
	guest: LinuxGuest,
	tree: GuestTree,
): Promise<Pick<Edit, "append" | "contents" | "mode">> {
	const { path } = change;
	switch (change.action) {
		case "append-modules": {
			const kernel = guest.kernels.find(({ version }) => version === change.kernel);
			const files = filesFor(change, all);
			if (kernel?.initramfs && change.addOnTo === kernel.image) {
				const contents = await addOnContents(tree, kernel, kernel.initramfs, change, files);
				return { append: false, contents, mode: 0o644 };
			}
			for await (const initramfs of kernel ? initramfsOf(tree, kernel) : []) {
				if (kernel === undefined || initramfs.path !== path) continue;
				const modules = change.modules.map(({ name }) => name);
				return { append: true, contents: await overlayArchive(tree, kernel, initramfs, modules, files), mode: 0o600 };
			}
			throw damaged(`The guest has no initramfs for kernel ${change.kernel}`, { file: path });
		}
		case "write-file":
			return { append: false, contents: new TextEncoder().encode(change.contents), mode: change.mode };
		case "replace-lines":
			return { append: false, contents: replaceLines(await tree.readFile(path, textLimit), change), mode: 0o644 };
		case "copy-file":
			return { append: false, contents: await tree.readFile(change.from, copyLimit), mode: 0o755 };
	}
}

/** What other changes write, for the archive. */
const filesFor = ({ files = [] }: AppendModules, all: readonly Change[]): CpioEntry[] =>
	all.flatMap((change) =>
		change.action === "write-file" && files.includes(change.path)
			? [{ name: change.path.slice(1), contents: new TextEncoder().encode(change.contents) }]
			: [],
	);

/** The stub pads what comes before to a multiple of 4. */
async function addOnContents(
	tree: GuestTree,
	kernel: LinuxKernel,
	initramfs: Initramfs,
	{ modules }: AppendModules,
	files: readonly CpioEntry[],
) {
	const image = await readPe(await tree.open(kernel.image));
	const padded = { ...initramfs, size: initramfs.size + (-initramfs.size & 3) };
	const names = modules.map(({ name }) => name);
	return addOn(image?.machine ?? 0, kernel.version, await overlayArchive(tree, kernel, padded, names, files));
}

function replaceLines(contents: Uint8Array, { path, lines }: ReplaceLines): Uint8Array {
	const all = splitLines(contents);
	for (const { line, from, to } of lines) {
		const now = all[line - 1];
		const end = now?.endsWith("\r") ? "\r" : "";
		if (now !== from + end) {
			throw damaged(`${path} line ${line} is no longer "${from}"`, {
				file: path,
				hint: "Plan again: the guest has changed since.",
			});
		}
		all[line - 1] = to + end;
	}
	return joinLines(all);
}

async function carryOut(edits: readonly Edit[], editor: Editor, now: number): Promise<void> {
	const owner = { uid: 0, gid: 0, mtime: now };
	try {
		for (const { folders, path, label, append, contents, mode } of edits) {
			for (const folder of folders) {
				await editor.makeDirectory(folder.path, { ...owner, mode: 0o755 });
				await setLabel(editor, folder);
			}
			if (append) await editor.appendFile(path, contents, now);
			else await editor.writeFile(path, contents, { ...owner, mode });
			await setLabel(editor, { path, label });
		}
	} catch (error) {
		// The first failure is the cause, whatever closing says.
		await editor.close().catch(() => undefined);
		throw error;
	}
	await editor.close();
}

async function setLabel(editor: Editor, { path, label }: Place): Promise<void> {
	if (label) await editor.setExtendedAttribute(path, "security.selinux", label);
}
