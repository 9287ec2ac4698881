import { readBytes } from "../../bytes/source.js";
import type { Value } from "../../bytes/struct.js";
import type { FileType } from "../filesystem.js";
import { typeOfMode } from "../mode.js";
import { isSound } from "./checksum.js";
import { BIGTIME_EPOCH, FORK_AT, FORK3_AT, INODE_MAGIC, Inode3, InodeFlag2, Inode as InodeLayout } from "./layout.js";
import { corrupt } from "./superblock.js";
import type { XfsVolume } from "./volume.js";

export interface Inode {
	readonly number: number;
	/** Byte offset on the volume. */
	readonly at: number;
	readonly fields: Value<typeof InodeLayout>;
	readonly type: FileType;
	/** In bytes. */
	readonly size: number;
	/** Seconds since 1970, with a fraction. */
	readonly mtime: number;
	/** The file's data. */
	readonly fork: Fork;
	/** Its extended attributes; `undefined` where it has none. */
	readonly attributeFork: Fork | undefined;
}

/** What stands in an inode of one of its two streams of bytes, or of the map of their blocks. */
export interface Fork {
	readonly bytes: Uint8Array;
	/** Where `bytes` are on the volume. */
	readonly at: number;
	/** See `Format`. */
	readonly format: number;
	/** Number of extents. */
	readonly extents: bigint;
}

/**
 * Where inode `number` is, in bytes: its upper bits number the block as usual, its lower sb_inopblog the inode in it.
 * `undefined` where there is no such place.
 */
export function inodeAt({ parameters }: XfsVolume, number: number): number | undefined {
	const { sb_inopblog, sb_agblklog, sb_agblocks, sb_dblocks } = parameters.fields;
	const block = Math.floor(number / 2 ** sb_inopblog);
	const within = block % 2 ** sb_agblklog;
	const place = Math.floor(block / 2 ** sb_agblklog) * sb_agblocks + within;
	if (within >= sb_agblocks || place >= sb_dblocks) return undefined;
	return place * parameters.blockSize + (number % 2 ** sb_inopblog) * parameters.inodeSize;
}

/** Reads inode `number`; `referrer` is the byte that names it, for messages. */
export async function readInode(volume: XfsVolume, number: number, referrer: number): Promise<Inode> {
	const { name, parameters } = volume;
	const at = inodeAt(volume, number);
	if (at === undefined) throw corrupt(name, referrer, `inode ${number} is used, but lies outside the file system`);
	const bytes = await readBytes(volume.metadata, at, parameters.inodeSize);
	const fields = InodeLayout.parse(bytes, 0, name, at);
	if (fields.di_magic !== INODE_MAGIC || fields.di_version < 1 || fields.di_version > 3) {
		throw corrupt(name, at, `there is no inode ${number}, but a name for it`);
	}
	const flags2 = fields.di_version === 3 ? checkVersion3(volume, bytes, number, at) : 0n;
	if (fields.di_version !== 3 && parameters.checksums) throw corrupt(name, at, `inode ${number} has no checksum`);
	if (fields.di_mode === 0) throw corrupt(name, at, `inode ${number} is free, but has a name`);
	const start = fields.di_version === 3 ? FORK3_AT : FORK_AT;
	const end = fields.di_forkoff === 0 ? bytes.length : start + fields.di_forkoff * 8;
	if (end > bytes.length) throw corrupt(name, at, `the attributes of inode ${number} begin outside of it`);
	const many = (flags2 & InodeFlag2.NREXT64) !== 0n;
	return {
		number,
		at,
		fields,
		type: typeOfMode(fields.di_mode),
		size: fields.di_size,
		mtime: (flags2 & InodeFlag2.BIGTIME) !== 0n ? bigTime(fields.di_mtime) : legacyTime(fields.di_mtime),
		fork: {
			bytes: bytes.subarray(start, end),
			at: at + start,
			format: fields.di_format,
			extents: many ? fields.di_big_nextents : BigInt(fields.di_nextents),
		},
		attributeFork:
			fields.di_forkoff === 0
				? undefined
				: {
						bytes: bytes.subarray(end),
						at: at + end,
						format: fields.di_aformat,
						extents: BigInt(many ? fields.di_nextents : fields.di_anextents),
					},
	};
}

/** Returns di_flags2. */
function checkVersion3(volume: XfsVolume, bytes: Uint8Array, number: number, at: number): bigint {
	const { name, parameters } = volume;
	const { di_ino, di_uuid, di_flags2 } = Inode3.parse(bytes, InodeLayout.size, name, at);
	if (!parameters.checksums) throw corrupt(name, at, `inode ${number} is of a later version than its file system`);
	const trusted = volume.isNewer(at, bytes.length) || isSound(bytes, InodeLayout.size + Inode3.offsets.di_crc);
	if (!trusted) {
		throw corrupt(name, at, `the checksum of inode ${number} is wrong`);
	}
	if (di_ino !== BigInt(number) || di_uuid !== parameters.uuid) {
		throw corrupt(name, at, `where inode ${number} should be is another one`);
	}
	return di_flags2;
}

const BILLION = 1_000_000_000n;

const bigTime = (stored: bigint): number =>
	Number(stored / BILLION) - BIGTIME_EPOCH + Number(stored % BILLION) / Number(BILLION);

const legacyTime = (stored: bigint): number =>
	Number(BigInt.asIntN(32, stored >> 32n)) + Number(stored & 0xffffffffn) / Number(BILLION);
