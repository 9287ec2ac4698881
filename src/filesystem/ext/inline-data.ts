import { viewOf } from "../../bytes/struct.js";
import type { Inode } from "./inode.js";
import { ATTRIBUTES_MAGIC, AttributeEntry, Inode as InodeLayout } from "./layout.js";
import { corrupt } from "./superblock.js";

/** The attribute `system.data`: its index stands for "system.". */
const SYSTEM_INDEX = 7;
const DATA = [0x64, 0x61, 0x74, 0x61];
/** The magic number before the first entry. */
const HEADER = 4;

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

function dataAttribute(name: string, { bytes, at, extraSize }: Inode): InlinePart {
	const header = InodeLayout.size + extraSize;
	const none = { bytes: new Uint8Array(0), at: at + header };
	const view = viewOf(bytes);
	if (header + HEADER > bytes.length || view.getUint32(header, true) !== ATTRIBUTES_MAGIC) return none;
	const entries = header + HEADER;
	// Four zero bytes end the entries.
	for (let offset = entries; offset + 4 <= bytes.length && view.getUint32(offset, true) !== 0; ) {
		const entry = AttributeEntry.parse(bytes, offset, name, at);
		const nameAt = offset + AttributeEntry.size;
		if (entry.e_name_index === SYSTEM_INDEX && entry.e_name_len === DATA.length) {
			if (DATA.every((byte, i) => bytes[nameAt + i] === byte)) {
				const start = entries + entry.e_value_offs;
				if (entry.e_value_inum !== 0 || start + entry.e_value_size > bytes.length) {
					throw corrupt(name, at + offset, "the data that an inode keeps in an attribute lies outside of it");
				}
				return { bytes: bytes.subarray(start, start + entry.e_value_size), at: at + start };
			}
		}
		offset = nameAt + Math.ceil(entry.e_name_len / 4) * 4;
	}
	return none;
}
