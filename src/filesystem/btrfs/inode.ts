import type { FileType } from "../filesystem.js";
import { typeOfMode } from "../mode.js";
import { type InodeFields, InodeItem, KeyType } from "./layout.js";
import type { Subvolume } from "./subvolume.js";
import { corrupt } from "./superblock.js";
import { find } from "./tree.js";
import type { BtrfsVolume } from "./volume.js";

export interface Inode {
	readonly subvolume: Subvolume;
	readonly number: number;
	/** Byte offset on the device, for messages. */
	readonly at: number;
	readonly fields: InodeFields;
	readonly type: FileType;
}

/** Reads an inode; `referrer` is the byte that names it, for messages. */
export async function readInode(
	volume: BtrfsVolume,
	subvolume: Subvolume,
	number: number,
	referrer: number,
): Promise<Inode> {
	const item = await find(volume, subvolume.root, { objectid: number, type: KeyType.INODE_ITEM, offset: 0 });
	if (item === undefined) throw corrupt(volume.name, referrer, `inode ${number} is used, but is not in its tree`);
	const fields = InodeItem.parse(item.bytes, 0, volume.name, item.at);
	return { subvolume, number, at: item.at, fields, type: typeOfMode(fields.mode) };
}
