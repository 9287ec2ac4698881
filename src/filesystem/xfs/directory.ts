import { refused } from "../../bytes/errors.js";
import { u32, u64, viewOf } from "../../bytes/struct.js";
import type { FileType } from "../filesystem.js";
import type { BlockMap } from "../mapped.js";
import { isSound } from "./checksum.js";
import { decodeName } from "./contents.js";
import { mapOf } from "./extents.js";
import type { Inode } from "./inode.js";
import {
	BlockTail,
	DATA_TAG,
	DataEntry,
	DataHeader,
	DataHeaderCrc,
	DataUnused,
	DirectoryMagic,
	Format,
	FREE_TAG,
	IndexEntry,
	ShortDirectory,
	ShortEntry,
} from "./layout.js";
import { corrupt } from "./superblock.js";
import { type MappedBlock, readMapped, type XfsVolume } from "./volume.js";

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

const types = new Map<number, FileType>([
	[1, "file"],
	[2, "directory"],
	[7, "link"],
]);

/**
 * The entries of a directory in the order in which they are stored, without `.` and `..`, a block at a time. All but the
 * shortest directories keep them in data blocks, with an index behind that this does not need.
 *
 * @param name for messages
 */
export async function* readDirectory(volume: XfsVolume, inode: Inode, name: string): AsyncGenerator<readonly Entry[]> {
	if (inode.fields.di_format === Format.LOCAL) {
		yield shortEntries(volume, inode);
		return;
	}
	if (inode.size > LARGEST) {
		throw refused(`the directory ${name} has ${inode.size} bytes, more than the ${LARGEST} that are read of one`, {
			file: volume.name,
			offset: inode.at,
		});
	}
	const map = mapOf(volume, inode);
	for (let at = 0; at < inode.size; at += volume.parameters.directoryBlockSize) {
		yield readDataBlock(volume, inode, map, at);
	}
}

/** The entries of one data block, which begins at byte `at` of a directory; none where all names of it were deleted. */
export async function readDataBlock(
	volume: XfsVolume,
	inode: Inode,
	map: BlockMap,
	at: number,
): Promise<readonly Entry[]> {
	const { blockSize, directoryBlockSize } = volume.parameters;
	const block = await readMapped(volume, map, at / blockSize, directoryBlockSize);
	return block ? dataEntries(volume, inode, block) : [];
}

/** https://git.kernel.org/pub/scm/fs/xfs/xfs-documentation.git/tree/design/XFS_Filesystem_Structure/directories.asciidoc */
function shortEntries(volume: XfsVolume, inode: Inode): Entry[] {
	const { name: file, parameters } = volume;
	const { bytes, at } = inode.fork;
	const { count, i8count } = ShortDirectory.parse(bytes, 0, file, at);
	// Inode numbers, the parent's included, have 8 bytes if one of them needs that.
	const number = i8count > 0 ? u64 : u32;
	const view = viewOf(bytes);
	const found: Entry[] = [];
	let offset = ShortDirectory.size + number.size;
	for (let i = 0; i < count; i++) {
		const { namelen } = ShortEntry.parse(bytes, offset, file, at);
		const nameAt = offset + ShortEntry.size;
		const typeAt = nameAt + namelen;
		const inodeAt = typeAt + (parameters.typed ? 1 : 0);
		if (inodeAt + number.size > Math.min(bytes.length, inode.size)) {
			throw corrupt(file, at + offset, "the entries of a directory do not fit its inode");
		}
		found.push({
			name: nameOf(file, bytes.subarray(nameAt, typeAt), at + offset),
			inode: number.get(view, inodeAt, false),
			type: parameters.typed ? typeOf(bytes[typeAt]) : undefined,
			at: at + offset,
		});
		offset = inodeAt + number.size;
	}
	return found;
}

/** The entries of a data block, checked to be one of `inode`. */
function dataEntries(volume: XfsVolume, inode: Inode, { bytes, at, newer }: MappedBlock): Entry[] {
	const { name: file, parameters } = volume;
	const { checksums, typed } = parameters;
	const magic = viewOf(bytes).getUint32(0);
	const isOnly = magic === (checksums ? DirectoryMagic.BLOCK_CRC : DirectoryMagic.BLOCK);
	if (!isOnly && magic !== (checksums ? DirectoryMagic.DATA_CRC : DirectoryMagic.DATA)) {
		throw corrupt(file, at, "this is not the directory block that it should be");
	}
	if (checksums) {
		if (!newer && !isSound(bytes, DataHeaderCrc.offsets.crc))
			throw corrupt(file, at, "the checksum of a directory block is wrong");
		if (DataHeaderCrc.parse(bytes, 0, file, at).owner !== BigInt(inode.number)) {
			throw corrupt(file, at, `this block belongs to another directory than inode ${inode.number}`);
		}
	}
	const end = isOnly ? endOfData(file, bytes, at) : bytes.length;
	const found: Entry[] = [];
	for (let offset = checksums ? DataHeaderCrc.size : DataHeader.size; offset < end; ) {
		const { freetag, length: unused } = DataUnused.parse(bytes, offset, file, at);
		let length = unused;
		if (freetag !== FREE_TAG) {
			const { inumber, namelen } = DataEntry.parse(bytes, offset, file, at);
			const nameAt = offset + DataEntry.size;
			const typeAt = nameAt + namelen;
			length = Math.ceil((typeAt + (typed ? 1 : 0) + DATA_TAG - offset) / 8) * 8;
			if (inumber > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt(file, at + offset, `inode ${inumber} is used`);
			const name = nameOf(file, bytes.subarray(nameAt, typeAt), at + offset);
			const type = typed ? typeOf(bytes[typeAt]) : undefined;
			if (name !== "." && name !== "..") found.push({ name, inode: Number(inumber), type, at: at + offset });
		}
		if (length === 0 || length % 8 !== 0 || offset + length > end) {
			throw corrupt(file, at + offset, `a directory entry claims ${length} bytes`);
		}
		offset += length;
	}
	return found;
}

/** Where the index of a directory's only block begins. */
function endOfData(file: string, bytes: Uint8Array, at: number): number {
	const tail = bytes.length - BlockTail.size;
	const { count } = BlockTail.parse(bytes, tail, file, at);
	const end = tail - count * IndexEntry.size;
	if (end < DataHeader.size) throw corrupt(file, at + tail, `a directory block claims an index of ${count} entries`);
	return end;
}

const typeOf = (stored = 0): FileType | undefined => (stored === 0 ? undefined : (types.get(stored) ?? "other"));

function nameOf(file: string, bytes: Uint8Array, at: number): string {
	const name = decodeName(bytes);
	if (name === "" || name.includes("/") || name.includes("\0")) {
		throw corrupt(file, at, `${JSON.stringify(name)} is no name for a file`);
	}
	return name;
}
