import { type Entry, findName } from "./directory.js";
import { KeyType, ObjectId, RootItem, RootRef } from "./layout.js";
import type { NodePointer } from "./node.js";
import { corrupt } from "./superblock.js";
import { find, lastAtMost } from "./tree.js";
import type { BtrfsVolume } from "./volume.js";

/** A tree of files: the top of the file system, a subvolume or a snapshot. */
export interface Subvolume {
	readonly id: number;
	readonly root: NodePointer;
	/** Inode of its root directory. */
	readonly directory: number;
}

/** The tree with this id; `undefined` where there is none, or where it is being deleted. */
export async function readSubvolume(volume: BtrfsVolume, id: number): Promise<Subvolume | undefined> {
	const found = await findRoot(volume, id);
	if (found === undefined || found.refs === 0) return undefined;
	const patch = volume.log?.trees.get(id);
	return { id, root: { ...found.root, ...(patch && { patch }) }, directory: found.directory };
}

/** Where the tree with this id begins. A snapshot's item has its generation as offset, so the last one is taken. */
export async function findRoot(volume: BtrfsVolume, id: number) {
	const item = await lastAtMost(volume, volume.rootTree, { objectid: id, type: KeyType.ROOT_ITEM, offset: -1 });
	if (item?.key.objectid !== id || item.key.type !== KeyType.ROOT_ITEM) return undefined;
	const { bytenr, generation, level, refs, root_dirid } = RootItem.parse(item.bytes, 0, volume.name, item.at);
	return { root: { logical: bytenr, generation, level, at: item.at }, refs, directory: root_dirid };
}

/**
 * The id of the subvolume that is mounted when nothing else is asked for: an entry "default" of a directory that the tree
 * of roots keeps for it.
 */
export async function defaultSubvolume(volume: BtrfsVolume): Promise<number> {
	const directory = volume.parameters.fields.root_dir_objectid;
	const entry = await findName(volume, volume.rootTree, directory, "default");
	return entry?.location.objectid ?? ObjectId.FS_TREE;
}

/**
 * Whether the entry of a directory in `parent` still leads to the subvolume that it names. In a snapshot it does not: what
 * was below the original stays there, and an empty directory is seen in its place.
 */
export async function leadsTo(volume: BtrfsVolume, parent: Subvolume, directory: number, entry: Entry) {
	const key = { objectid: parent.id, type: KeyType.ROOT_REF, offset: entry.location.objectid };
	const item = await find(volume, volume.rootTree, key);
	if (item === undefined) return false;
	const { dirid, name_len } = RootRef.parse(item.bytes, 0, volume.name, item.at);
	if (item.bytes.length < RootRef.size + name_len) {
		throw corrupt(volume.name, item.at, `a Btrfs root reference claims a name of ${name_len} bytes`);
	}
	const name = item.bytes.subarray(RootRef.size, RootRef.size + name_len);
	return dirid === directory && name.length === entry.raw.length && name.every((byte, i) => byte === entry.raw[i]);
}
