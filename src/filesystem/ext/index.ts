import { cached } from "../../bytes/cache.js";
import { type ByteSource, isStore } from "../../bytes/source.js";
import { Directories } from "../directories.js";
import type { Editor, Filesystem, FilesystemFormat } from "../filesystem.js";
import { byInode, walked } from "../walked.js";
import type { ExtVolume } from "./blocks.js";
import { contents, decodeName, linkTarget } from "./contents.js";
import { type Entry, readDirectory } from "./directory.js";
import { type Inode, readInode } from "./inode.js";
import { readJournal } from "./journal.js";
import { Incompat, ROOT_INODE, SUPERBLOCK_AT } from "./layout.js";
import { replayed } from "./replayed.js";
import { corrupt, freeBytes, kindOf, readSuperblock } from "./superblock.js";
import { extendedAttributes } from "./xattr.js";

/**
 * ext2, ext3 and ext4, for reading: https://docs.kernel.org/filesystems/ext4/. A file system that was not unmounted is
 * read as it would be after its journal had been written back; the volume is not touched.
 */
export const ext: FilesystemFormat = {
	id: "ext",
	async open(source) {
		const volume = await openExt(source);
		return (
			volume &&
			filesystem(volume, isStore(source) ? async () => (await import("./edit.js")).editExt(source) : undefined)
		);
	},
};

/** The volume behind {@link ext}; `undefined` where `source` is none. */
async function openExt(source: ByteSource): Promise<ExtVolume | undefined> {
	const parameters = await readSuperblock(source);
	if (parameters === undefined) return undefined;
	const asStored = { name: source.name, parameters, source, metadata: cached(source) };
	if (!(parameters.features.incompat & Incompat.RECOVER)) return asStored;
	const current = replayed(source, parameters.blockSize, await readJournal(asStored));
	const replayedParameters = await readSuperblock(current);
	if (replayedParameters?.blockSize !== parameters.blockSize) {
		throw corrupt(source.name, SUPERBLOCK_AT, "the journal replaces the superblock by something else");
	}
	return { name: source.name, parameters: replayedParameters, source: current, metadata: cached(current) };
}

function filesystem(volume: ExtVolume, edit: (() => Promise<Editor>) | undefined): Filesystem {
	const { s_uuid, s_volume_name } = volume.parameters.fields;
	const end = s_volume_name.indexOf(0);
	const directories = new Directories<Inode, Entry>({
		read: (inode, path) => readDirectory(volume, inode, path),
	});
	const { inodeOf, child, list } = byInode(directories, (number, referrer) => readInode(volume, number, referrer));

	return {
		kind: kindOf(volume.parameters),
		uuid: /^[0-]*$/.test(s_uuid) ? "" : s_uuid,
		label: decodeName(end < 0 ? s_volume_name : s_volume_name.subarray(0, end)),

		...walked<Inode>(volume.name, {
			root: () => inodeOf(ROOT_INODE, SUPERBLOCK_AT),

			child,
			list,

			async stat(inode, path) {
				const { fields, type, size, mtime } = inode;
				return {
					type,
					size,
					mode: fields.i_mode & 0o7777,
					uid: fields.i_uid + fields.l_i_uid_high * 2 ** 16,
					gid: fields.i_gid + fields.l_i_gid_high * 2 ** 16,
					mtime,
					...(type === "link" && { target: await linkTarget(volume, inode, path) }),
				};
			},

			open: (inode, path) => contents(volume, inode, path),

			extendedAttributes: (inode, path) => extendedAttributes(volume, inode, path),
		}),

		free: () => Promise.resolve(freeBytes(volume.parameters)),

		...(edit ? { edit } : {}),
	};
}
