import type { Inode } from "./inode.js";
import { Inode as InodeLayout } from "./layout.js";
import { corrupt } from "./superblock.js";
import { entriesOf, inodeArea } from "./xattr-area.js";

/** The attribute `system.data`: its index stands for "system.". */
const SYSTEM_INDEX = 7;
const DATA = [0x64, 0x61, 0x74, 0x61];

/** A part of an inode, and where it stands on the volume. */
interface InlinePart {
	readonly bytes: Uint8Array;
	readonly at: number;
}

/**
 * The two places where an inode keeps data of its own: `i_block`, then the value of the attribute `system.data`.
 * https://docs.kernel.org/filesystems/ext4/inlinedata.html
 */
export function inlineParts(name: string, inode: Inode): readonly [InlinePart, InlinePart] {
	const first = { bytes: inode.fields.i_block, at: inode.at + InodeLayout.offsets.i_block };
	return [first, dataAttribute(name, inode)];
}

/** The contents of a small file or link. */
export function inlineContents(name: string, inode: Inode): Uint8Array {
	const [first, second] = inlineParts(name, inode);
	if (inode.size > first.bytes.length + second.bytes.length) {
		throw corrupt(name, inode.at, `inode ${inode.number} claims ${inode.size} bytes, more than it holds`);
	}
	const contents = new Uint8Array(first.bytes.length + second.bytes.length);
	contents.set(first.bytes);
	contents.set(second.bytes, first.bytes.length);
	return contents.subarray(0, inode.size);
}

function dataAttribute(name: string, inode: Inode): InlinePart {
	const area = inodeArea(inode);
	for (const { index, name: key, inode: elsewhere, size, value, at } of area ? entriesOf(name, area) : []) {
		if (index !== SYSTEM_INDEX || key.length !== DATA.length || !DATA.every((byte, i) => byte === key[i])) continue;
		if (elsewhere !== 0) throw corrupt(name, at, "the data that an inode keeps in an attribute lies outside of it");
		return { bytes: inode.bytes.subarray(value, value + size), at: inode.at + value };
	}
	return { bytes: new Uint8Array(0), at: inode.at };
}
