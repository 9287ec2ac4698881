import { crc32cRaw } from "../../bytes/checksum/index.js";
import { type ByteSource, type ByteStore, readBytes } from "../../bytes/source.js";
import { i32, struct, u16, u32, viewOf } from "../../bytes/struct.js";
import { FileMode } from "../mode.js";
import { type Inode as ReadInode, readInode } from "./inode.js";
import { Incompat, Inode, RoCompat, SUPERBLOCK_AT, Superblock } from "./layout.js";
import type { ExtParameters } from "./superblock.js";

/** What an edit gives an inode; what is left out stays. Times are in seconds since 1970. */
export interface NewAttributes {
	/** Permission bits. */
	readonly mode?: number;
	readonly uid?: number;
	readonly gid?: number;
	readonly atime?: number;
	readonly crtime?: number;
	/** Goes to the time of the inode's last change as well. */
	readonly mtime?: number;
}

/** What follows {@link Inode} in larger inodes: https://docs.kernel.org/filesystems/ext4/inodes.html */
const Extra = struct("ext inode, extra fields", "little", {
	i_extra_isize: u16,
	i_checksum_hi: u16,
	i_ctime_extra: u32,
	i_mtime_extra: u32,
	i_atime_extra: u32,
	i_crtime: i32,
	i_crtime_extra: u32,
});

/**
 * Sets attributes that libext2fs, as npm `ext2fs` exports it, does not: times, and owners beyond 16 bits. The file
 * system must not be open in the library.
 */
export async function setAttributes(
	store: ByteStore,
	parameters: ExtParameters,
	number: number,
	{ mode, uid, gid, atime, crtime, mtime }: NewAttributes,
): Promise<void> {
	const inode = await readInode({ name: store.name, parameters, source: store, metadata: store }, number, 0);
	const modified = mtime === undefined ? undefined : split(mtime);
	const accessed = atime === undefined ? undefined : split(atime);
	const created = crtime === undefined ? undefined : split(crtime);
	const fields = {
		...inode.fields,
		...(mode !== undefined && { i_mode: (inode.fields.i_mode & FileMode.MASK) | (mode & 0o7777) }),
		...(uid !== undefined && { i_uid: uid % 0x10000, l_i_uid_high: Math.floor(uid / 0x10000) }),
		...(gid !== undefined && { i_gid: gid % 0x10000, l_i_gid_high: Math.floor(gid / 0x10000) }),
		...(accessed && { i_atime: accessed.low }),
		...(modified && { i_ctime: modified.low, i_mtime: modified.low }),
	};
	/** The extra fields that this inode has room for; the others come to nothing. */
	const room = inode.bytes.subarray(Inode.size, Inode.size + Math.min(inode.extraSize, Extra.size));
	const padded = new Uint8Array(Extra.size);
	padded.set(room);
	const extra = {
		...Extra.parse(padded),
		...(modified && { i_ctime_extra: modified.extra, i_mtime_extra: modified.extra }),
		...(accessed && { i_atime_extra: accessed.extra }),
		...(created && { i_crtime: created.low, i_crtime_extra: created.extra }),
	};
	inode.bytes.set(Inode.build(fields));
	room.set(Extra.build(extra).subarray(0, room.length));
	await writeInode(store, parameters, inode);
}

/** Writes the bytes of an inode back, with the checksum that they have now. */
export async function writeInode(
	store: ByteStore,
	parameters: ExtParameters,
	{ number, at, bytes, extraSize }: Pick<ReadInode, "number" | "at" | "bytes" | "extraSize">,
): Promise<void> {
	if (parameters.features.roCompat & RoCompat.METADATA_CSUM) {
		const view = viewOf(bytes);
		const [low, high] = [Inode.offsets.l_i_checksum_lo, Inode.size + Extra.offsets.i_checksum_hi];
		const isWide = extraSize >= Extra.offsets.i_checksum_hi + u16.size;
		view.setUint16(low, 0, true);
		if (isWide) view.setUint16(high, 0, true);
		const checksum = await inodeChecksum(store, parameters, number, bytes);
		view.setUint16(low, checksum & 0xffff, true);
		if (isWide) view.setUint16(high, checksum >>> 16, true);
	}
	await store.write(at, bytes);
}

/** The 32 bits that every inode has, and those that add nanoseconds and two bits of seconds. */
function split(time: number): { low: number; extra: number } {
	const seconds = Math.floor(time);
	const low = seconds | 0;
	const epoch = ((seconds - low) / 2 ** 32) & 3;
	return { low, extra: Math.floor((time - seconds) * 1e9) * 4 + epoch };
}

async function inodeChecksum(
	store: ByteStore,
	parameters: ExtParameters,
	number: number,
	bytes: Uint8Array,
): Promise<number> {
	const generation = Inode.offsets.i_generation;
	const prefix = new Uint8Array(8);
	viewOf(prefix).setUint32(0, number, true);
	prefix.set(bytes.subarray(generation, generation + 4), 4);
	return crc32cRaw(crc32cRaw(await checksumSeed(store, parameters), prefix), bytes);
}

/** What all checksums of metadata begin with: https://docs.kernel.org/filesystems/ext4/overview.html#checksums */
export async function checksumSeed(store: ByteSource, { fields, features }: ExtParameters): Promise<number> {
	if (features.incompat & Incompat.CSUM_SEED) return fields.s_checksum_seed;
	return crc32cRaw(0xffffffff, await readBytes(store, SUPERBLOCK_AT + Superblock.offsets.s_uuid, 16));
}
