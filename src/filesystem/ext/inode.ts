import { readBytes } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import type { FileType } from "../filesystem.js";
import { typeOfMode } from "../mode.js";
import type { ExtVolume } from "./blocks.js";
import { readGroup } from "./group.js";
import { Incompat, InodeExtra, type InodeFields, Inode as InodeLayout } from "./layout.js";
import { corrupt, type ExtParameters } from "./superblock.js";

export interface Inode {
	readonly number: number;
	/** Byte offset on the volume. */
	readonly at: number;
	/** All bytes of the inode, attributes that are kept behind its fields included. */
	readonly bytes: Uint8Array;
	readonly fields: InodeFields;
	readonly type: FileType;
	/** In bytes. */
	readonly size: number;
	/** Bytes in use behind the first 128; 0 in small inodes. */
	readonly extraSize: number;
	/** Seconds since 1970, with a fraction where the inode has room for one. */
	readonly mtime: number;
}

/** Reads inode `number`; `referrer` is the byte that names it, for messages. */
export async function readInode(volume: ExtVolume, number: number, referrer: number): Promise<Inode> {
	const { name, parameters } = volume;
	if (number < 1 || number > parameters.inodes) {
		throw corrupt(name, referrer, `inode ${number} is used, but the file system has ${parameters.inodes}`);
	}
	const perGroup = parameters.fields.s_inodes_per_group;
	const table = await inodeTable(volume, Math.floor((number - 1) / perGroup));
	const at = table * parameters.blockSize + ((number - 1) % perGroup) * parameters.inodeSize;
	if (at + parameters.inodeSize > parameters.blocks * parameters.blockSize) {
		throw corrupt(name, referrer, `inode ${number} lies behind the end of the file system`);
	}
	const bytes = await readBytes(volume.metadata, at, parameters.inodeSize);
	const fields = InodeLayout.parse(bytes, 0, name, at);
	const extraSize = extraSizeOf(bytes, at, name);
	const type = typeOfMode(fields.i_mode);
	return {
		number,
		at,
		bytes,
		fields,
		type,
		size: sizeOf(parameters, fields, type),
		extraSize,
		mtime: mtimeOf(bytes, fields, extraSize),
	};
}

export const hasFlag = ({ fields }: Inode, flag: number): boolean => (fields.i_flags & flag) !== 0;

function extraSizeOf(bytes: Uint8Array, at: number, name: string): number {
	if (bytes.length < InodeLayout.size + InodeExtra.size) return 0;
	const size = viewOf(bytes).getUint16(InodeLayout.size, true);
	if (size > bytes.length - InodeLayout.size) {
		throw corrupt(name, at + InodeLayout.size, `an inode claims ${size} extra bytes`);
	}
	return size;
}

/** In directories the upper half is an ACL of old, unless they may be that large. */
function sizeOf({ features }: ExtParameters, fields: InodeFields, type: FileType): number {
	const wide = type === "file" || (type === "directory" && features.incompat & Incompat.LARGEDIR);
	return fields.i_size_lo + (wide ? fields.i_size_high * 2 ** 32 : 0);
}

/** https://docs.kernel.org/filesystems/ext4/inodes.html#inode-timestamps */
function mtimeOf(bytes: Uint8Array, { i_mtime }: InodeFields, extraSize: number): number {
	if (extraSize < InodeExtra.size) return i_mtime;
	const { i_mtime_extra } = InodeExtra.parse(bytes, InodeLayout.size);
	return i_mtime + (i_mtime_extra & 3) * 2 ** 32 + (i_mtime_extra >>> 2) / 1e9;
}

/** The first block of a group's inode table. */
async function inodeTable(volume: ExtVolume, group: number): Promise<number> {
	const { at, low, high } = await readGroup(volume, group);
	const table = low.bg_inode_table_lo + (high?.bg_inode_table_hi ?? 0) * 2 ** 32;
	if (table === 0 || table >= volume.parameters.blocks) {
		throw corrupt(volume.name, at, `the inode table of group ${group} is said to be at block ${table}`);
	}
	return table;
}
