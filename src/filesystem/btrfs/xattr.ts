import { AttributeList, type ExtendedAttributes } from "../extended-attributes.js";
import type { Inode } from "./inode.js";
import { DirItem, KeyType } from "./layout.js";
import { corrupt } from "./superblock.js";
import { items } from "./tree.js";
import type { BtrfsVolume } from "./volume.js";

/**
 * The attributes of `inode`, kept as directory entries are, with their whole names; `path` is for messages.
 * https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#xattr-item-18
 */
export async function extendedAttributes(volume: BtrfsVolume, inode: Inode, path: string): Promise<ExtendedAttributes> {
	const list = new AttributeList(path);
	const key = { objectid: inode.number, type: KeyType.XATTR_ITEM };
	const { root } = inode.subvolume;
	for await (const { bytes, at } of items(volume, root, { ...key, offset: 0 }, { ...key, offset: -1 })) {
		// Names whose hashes are the same share an item.
		for (let offset = 0; offset < bytes.length; ) {
			const { name_len, data_len } = DirItem.parse(bytes, offset, volume.name, at);
			const nameAt = offset + DirItem.size;
			const valueAt = nameAt + name_len;
			const end = valueAt + data_len;
			if (end > bytes.length) throw corrupt(volume.name, at + offset, "an attribute is longer than its item");
			list.makeRoom(data_len);
			list.add("", bytes.subarray(nameAt, valueAt), bytes.subarray(valueAt, end));
			offset = end;
		}
	}
	return list.found;
}
