import { refused } from "../../bytes/errors.js";
import { readBytes } from "../../bytes/source.js";
import type { FileType } from "../filesystem.js";
import type { ExtVolume } from "./blocks.js";
import { decodeName, encrypted, mapOf } from "./contents.js";
import { inlineParts } from "./inline-data.js";
import { hasFlag, type Inode } from "./inode.js";
import { DirectoryEntryHeader, Incompat, InodeFlag } from "./layout.js";
import { corrupt } from "./superblock.js";

/** A name in a directory. */
export interface Entry {
	readonly name: string;
	readonly inode: number;
	/** `undefined` where only the inode tells. */
	readonly type: FileType | undefined;
	/** Byte offset on the volume. */
	readonly at: number;
}

/** More than a million names; what claims more is refused before it takes all memory. */
const LARGEST = 64 << 20;
/** How much of a directory is read at once. */
const PIECE = 64 << 10;
/** In an inode, the number of the parent directory stands before the first entry. */
const PARENT = 4;

const types = new Map<number, FileType>([
	[1, "file"],
	[2, "directory"],
	[7, "link"],
]);

/**
 * The entries of a directory in the order in which they are stored, without `.` and `..`, a bounded piece of it at a
 * time. An index (htree) hides in entries that look deleted, so that this reads indexed directories as well.
 *
 * @param name for messages
 */
export async function* readDirectory(volume: ExtVolume, inode: Inode, name: string): AsyncGenerator<readonly Entry[]> {
	if (hasFlag(inode, InodeFlag.ENCRYPT)) throw encrypted(volume, inode, name);
	if (inode.size > LARGEST) {
		throw refused(`the directory ${name} has ${inode.size} bytes, more than the ${LARGEST} that are read of one`, {
			file: volume.name,
			offset: inode.at,
		});
	}
	if (hasFlag(inode, InodeFlag.INLINE_DATA)) {
		const [first, second] = inlineParts(volume.name, inode);
		yield parseEntries(volume, first.bytes.subarray(PARENT), first.at + PARENT);
		yield parseEntries(volume, second.bytes, second.at);
		return;
	}
	const { blockSize } = volume.parameters;
	const map = mapOf(volume, inode);
	const blocks = Math.ceil(inode.size / blockSize);
	for (let logical = 0; logical < blocks; ) {
		const { at: begin, count } = await map(logical, Math.min(blocks - logical, PIECE / blockSize));
		logical += count;
		if (begin === undefined) continue;
		const bytes = await readBytes(volume.metadata, begin, count * blockSize);
		const found: Entry[] = [];
		for (let start = 0; start < bytes.length; start += blockSize) {
			found.push(...parseEntries(volume, bytes.subarray(start, start + blockSize), begin + start));
		}
		yield found;
	}
}

/** @param bytes one block: entries do not cross from one to the next */
function parseEntries(volume: ExtVolume, bytes: Uint8Array, at: number): Entry[] {
	const typed = (volume.parameters.features.incompat & Incompat.FILETYPE) !== 0;
	const found: Entry[] = [];
	for (let offset = 0; offset + DirectoryEntryHeader.size <= bytes.length; ) {
		const header = DirectoryEntryHeader.parse(bytes, offset, volume.name, at);
		const length = recordLength(header.rec_len, bytes.length);
		const nameAt = offset + DirectoryEntryHeader.size;
		if (length % 4 !== 0 || nameAt + header.name_len > offset + length || offset + length > bytes.length) {
			throw corrupt(volume.name, at + offset, `a directory entry claims ${length} bytes`);
		}
		if (header.inode !== 0) {
			const name = decodeName(bytes.subarray(nameAt, nameAt + header.name_len));
			if (name === "" || name.includes("/") || name.includes("\0")) {
				throw corrupt(volume.name, at + offset, `${JSON.stringify(name)} is no name for a file`);
			}
			if (name !== "." && name !== "..") {
				const type = typed && header.file_type !== 0 ? (types.get(header.file_type) ?? "other") : undefined;
				found.push({ name, inode: header.inode, type, at: at + offset });
			}
		}
		offset += length;
	}
	return found;
}

/** In blocks of 64 KiB the two bits that are always 0 carry the upper ones of a length that does not fit 16 bits. */
function recordLength(stored: number, blockSize: number): number {
	if (blockSize < 65536) return stored;
	return stored === 0 || stored === 65535 ? blockSize : (stored & 0xfffc) + (stored & 3) * 65536;
}
