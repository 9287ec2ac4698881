import { crc32cRaw } from "../../bytes/checksum/index.js";
import { refused } from "../../bytes/errors.js";
import type { FileType } from "../filesystem.js";
import { DirItem, type Key, KeyType } from "./layout.js";
import type { NodePointer } from "./node.js";
import { corrupt } from "./superblock.js";
import { find, items, type TreeItem } from "./tree.js";
import type { BtrfsVolume } from "./volume.js";

/** A name in a directory. */
export interface Entry {
	readonly name: string;
	/** The name as stored. */
	readonly raw: Uint8Array;
	/** The inode, or the subvolume, that has this name. */
	readonly location: Key;
	readonly type: FileType;
	/** Byte offset on the device, for messages. */
	readonly at: number;
}

/** A directory that claims more names is refused before it takes all memory. */
const MOST_NAMES = 1 << 20;
const REPLACEMENT = "\ufffd";

const types = new Map<number, FileType>([
	[1, "file"],
	[2, "directory"],
	[7, "link"],
]);

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Names are bytes to the kernel and UTF-8 to everyone else; what is not UTF-8 shows as U+FFFD. */
export const decodeName = (bytes: Uint8Array): string => decoder.decode(bytes);

/** Where a directory has a name, by its hash. */
export const nameKey = (directory: number, name: Uint8Array): Key => ({
	objectid: directory,
	type: KeyType.DIR_ITEM,
	offset: crc32cRaw(0xfffffffe, name),
});

/** The entry `name` of a directory, by the hash of the name: https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#dir-item-54 */
export async function findName(
	volume: BtrfsVolume,
	root: NodePointer,
	directory: number,
	name: string,
): Promise<Entry | undefined> {
	const item = await find(volume, root, nameKey(directory, new TextEncoder().encode(name)));
	const found = item && parseEntries(volume, item).find((entry) => entry.name === name);
	// A name that is not UTF-8 cannot be hashed as it is shown.
	if (found !== undefined || !name.includes(REPLACEMENT)) return found;
	return (await listNames(volume, root, directory)).find((entry) => entry.name === name);
}

/** All entries of a directory in the order in which they were made; where a name occurs twice, the first. */
export async function listNames(volume: BtrfsVolume, root: NodePointer, directory: number): Promise<readonly Entry[]> {
	const found = new Map<string, Entry>();
	const key = { objectid: directory, type: KeyType.DIR_INDEX };
	for await (const item of items(volume, root, { ...key, offset: 0 }, { ...key, offset: -1 })) {
		for (const entry of parseEntries(volume, item)) if (!found.has(entry.name)) found.set(entry.name, entry);
		if (found.size > MOST_NAMES) {
			throw refused(`${volume.name}: a directory has more than the ${MOST_NAMES} names that are read of one`, {
				file: volume.name,
				offset: item.at,
			});
		}
	}
	return [...found.values()];
}

/** Names whose hashes are the same share an item. */
export function parseEntries(volume: BtrfsVolume, { bytes, at }: TreeItem): Entry[] {
	const found: Entry[] = [];
	for (let offset = 0; offset < bytes.length; ) {
		const { location, type, name_len, data_len } = DirItem.parse(bytes, offset, volume.name, at);
		const begin = offset + DirItem.size;
		const end = begin + name_len + data_len;
		if (end > bytes.length) throw corrupt(volume.name, at + offset, "a directory entry is longer than its item");
		const raw = bytes.subarray(begin, begin + name_len);
		const name = decodeName(raw);
		if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0")) {
			throw corrupt(volume.name, at + offset, `${JSON.stringify(name)} is no name for a file`);
		}
		found.push({ name, raw, location, type: types.get(type) ?? "other", at: at + offset });
		offset = end;
	}
	return found;
}
