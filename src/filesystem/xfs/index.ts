import { cached } from "../../bytes/cache.js";
import type { ByteSource } from "../../bytes/source.js";
import { Directories } from "../directories.js";
import type { Filesystem, FilesystemFormat } from "../filesystem.js";
import { byInode, walked } from "../walked.js";
import { contents, decodeName, linkTarget } from "./contents.js";
import { type Entry, readDirectory } from "./directory.js";
import { type Inode, readInode } from "./inode.js";
import { Superblock } from "./layout.js";
import { readLog } from "./log.js";
import { lookUp } from "./lookup.js";
import { replayed } from "./replay.js";
import { corrupt, readSuperblock } from "./superblock.js";
import type { XfsVolume } from "./volume.js";
import { extendedAttributes } from "./xattr.js";

/**
 * XFS, versions 4 and 5, for reading. A file system that was not unmounted is read as it would be after its log had been
 * replayed; the volume is not touched.
 */
export const xfs: FilesystemFormat = {
	id: "xfs",
	async open(source) {
		const volume = await openXfs(source);
		return volume && filesystem(volume);
	},
};

/** The volume behind {@link xfs}; `undefined` where `source` is none. */
async function openXfs(source: ByteSource): Promise<XfsVolume | undefined> {
	const parameters = await readSuperblock(source);
	if (parameters === undefined) return undefined;
	const asStored = { name: source.name, parameters, source, metadata: cached(source), isNewer: () => false };
	const log = await readLog(asStored);
	if (log === undefined) return asStored;
	const current = await replayed(log);
	const { sb_sectsize, sb_blocksize } = parameters.fields;
	const newer = await readSuperblock(current, current.isNewer(0, sb_sectsize));
	if (newer?.blockSize !== sb_blocksize || newer.checksums !== parameters.checksums) {
		throw corrupt(source.name, 0, "the log replaces the superblock by something else");
	}
	return {
		name: source.name,
		parameters: newer,
		source: current,
		metadata: cached(current),
		isNewer: (at, length) => current.isNewer(at, length),
	};
}

function filesystem(volume: XfsVolume): Filesystem {
	const { fields, caseless } = volume.parameters;
	const end = fields.sb_fname.indexOf(0);
	const directories = new Directories<Inode, Entry>({
		read: (inode, path) => readDirectory(volume, inode, path),
		...(caseless
			? { key: (name) => name.replace(/[A-Z]/g, (letter) => letter.toLowerCase()) }
			: { lookUp: (inode, name) => lookUp(volume, inode, name) }),
	});
	const { inodeOf, child, list } = byInode(directories, (number, referrer) => readInode(volume, number, referrer));

	return {
		kind: "xfs",
		uuid: fields.sb_uuid,
		label: decodeName(end < 0 ? fields.sb_fname : fields.sb_fname.subarray(0, end)),

		...walked<Inode>(volume.name, {
			root: () => inodeOf(fields.sb_rootino, Superblock.offsets.sb_rootino),

			child,
			list,

			async stat(inode) {
				const { fields, type, size, mtime } = inode;
				return {
					type,
					size,
					mode: fields.di_mode & 0o7777,
					uid: fields.di_uid,
					gid: fields.di_gid,
					mtime,
					...(type === "link" && { target: await linkTarget(volume, inode) }),
				};
			},

			open: (inode, path) => contents(volume, inode, path),

			extendedAttributes: (inode, path) => extendedAttributes(volume, inode, path),
		}),

		free: () => Promise.resolve(freeBytes(fields)),
	};
}

/**
 * What the kernel lets files have of what the superblock counts as free, which is an estimate where the log had to be
 * replayed: at a mount it keeps a twentieth or 8192 blocks for itself, and some more in each allocation group so that
 * its trees can grow. https://github.com/torvalds/linux/blob/master/fs/xfs/xfs_mount.c, xfs_default_resblks
 */
function freeBytes({ sb_fdblocks, sb_dblocks, sb_agcount, sb_blocksize }: XfsVolume["parameters"]["fields"]): number {
	const reserved = Math.min(Math.floor(sb_dblocks / 20), 8192);
	const forTrees = Math.ceil(sb_dblocks / (sb_blocksize < 4096 ? 32 : 64)) + 16 * sb_agcount;
	return Math.max(0, Math.min(sb_fdblocks, sb_dblocks) - reserved - forTrees) * sb_blocksize;
}
