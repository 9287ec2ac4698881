import { isStore } from "../../bytes/source.js";
import { Directories } from "../directories.js";
import type { Filesystem, FilesystemFormat } from "../filesystem.js";
import { byInode, walked } from "../walked.js";
import type { ExtVolume } from "./blocks.js";
import { contents, decodeName, linkTarget } from "./contents.js";
import { type Entry, readDirectory } from "./directory.js";
import { refusalOf } from "./editable.js";
import { type Inode, readInode } from "./inode.js";
import { ROOT_INODE, SUPERBLOCK_AT } from "./layout.js";
import { openExt } from "./open.js";
import { freeBytes, kindOf } from "./superblock.js";
import { extendedAttributes } from "./xattr.js";

/**
 * ext2, ext3 and ext4, for reading: https://docs.kernel.org/filesystems/ext4/. A file system that was not unmounted is
 * read as it would be after its journal had been written back; the volume is not touched.
 */
export const ext: FilesystemFormat = {
	id: "ext",
	async open(source) {
		const opened = await openExt(source);
		if (opened === undefined) return undefined;
		const { volume } = opened;
		if (!isStore(source)) return filesystem(volume);
		const editRefusal = await refusalOf(opened);
		return {
			...filesystem(volume),
			edit: async () => (await import("./edit.js")).editExt(source),
			...(editRefusal && { editRefusal }),
		};
	},
};

function filesystem(volume: ExtVolume): Filesystem {
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
	};
}
