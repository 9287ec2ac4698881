import { u32, viewOf } from "../../bytes/struct.js";
import type { Inode } from "./inode.js";
import { ATTRIBUTES_MAGIC, AttributeEntry, Inode as InodeLayout } from "./layout.js";
import { corrupt } from "./superblock.js";

/** A list of entries, and the bytes that hold their values. */
export interface AttributeArea {
	readonly bytes: Uint8Array;
	/** Where they stand on the volume. */
	readonly at: number;
	/** Offset of the first entry. */
	readonly start: number;
	/** Offset that `e_value_offs` counts from. */
	readonly base: number;
}

export interface AreaEntry {
	readonly index: number;
	readonly name: Uint8Array;
	/** Number of the inode that has the value; 0 where it is in the area. */
	readonly inode: number;
	readonly size: number;
	/** Offset in the area. */
	readonly value: number;
	/** Byte offset of the entry on the volume. */
	readonly at: number;
}

/** The attributes in the inode itself; `undefined` where it has none. */
export function inodeArea({ bytes, at, extraSize }: Inode): AttributeArea | undefined {
	const header = InodeLayout.size + extraSize;
	const start = header + u32.size;
	if (extraSize === 0 || start > bytes.length) return undefined;
	if (viewOf(bytes).getUint32(header, true) !== ATTRIBUTES_MAGIC) return undefined;
	return { bytes, at, start, base: start };
}

/** Four zero bytes end the entries. */
export function* entriesOf(file: string, { bytes, at, start, base }: AttributeArea): Generator<AreaEntry> {
	const view = viewOf(bytes);
	for (let offset = start; offset + u32.size <= bytes.length && view.getUint32(offset, true) !== 0; ) {
		const entry = AttributeEntry.parse(bytes, offset, file, at);
		const nameAt = offset + AttributeEntry.size;
		const value = base + entry.e_value_offs;
		const inside = entry.e_value_inum !== 0 || value + entry.e_value_size <= bytes.length;
		if (nameAt + entry.e_name_len > bytes.length || !inside) {
			throw corrupt(file, at + offset, "an extended attribute lies outside of where its file keeps them");
		}
		yield {
			index: entry.e_name_index,
			name: bytes.subarray(nameAt, nameAt + entry.e_name_len),
			inode: entry.e_value_inum,
			size: entry.e_value_size,
			value,
			at: at + offset,
		};
		offset = nameAt + Math.ceil(entry.e_name_len / 4) * 4;
	}
}
