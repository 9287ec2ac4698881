import { type AnyvisorError, damaged, refused, unsupported } from "../../bytes/errors.js";
import { type ByteSource, readBytes, readUpTo } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { isSound } from "./checksum.js";
import { Features2, Incompat, SUPERBLOCK_MAGIC, Superblock, type SuperblockFields, Version } from "./layout.js";

/** What the superblock says, checked: every size is in its range, and nothing is needed that cannot be read. */
export interface XfsParameters {
	readonly fields: SuperblockFields;
	/** Version 5: blocks and inodes have checksums. */
	readonly checksums: boolean;
	/** Directory entries tell the type of file. */
	readonly typed: boolean;
	/** ASCII letters of names match whatever their case. */
	readonly caseless: boolean;
	/** In bytes, 512 to 65536. */
	readonly blockSize: number;
	/** In bytes, the block size to 65536. */
	readonly directoryBlockSize: number;
	/** In bytes, 256 to 2048. */
	readonly inodeSize: number;
	/** What the headers of blocks and inodes carry. */
	readonly uuid: string;
}

/** "damaged", at a byte of the file system, with the way out. */
export const corrupt = (name: string, offset: number, fault: string): AnyvisorError =>
	damaged(`${name}: ${fault}`, { file: name, offset, hint: 'Run "xfs_repair" on a copy of this file system.' });

/**
 * Reads the superblock; `undefined` where there is none. Damaged where it contradicts itself, unsupported where its file
 * system cannot be understood without a feature that is missing here.
 *
 * @param isNewer the log changed it, so that its checksum need not be right
 */
export async function readSuperblock(volume: ByteSource, isNewer = false): Promise<XfsParameters | undefined> {
	const head = await readUpTo(volume, 0, Superblock.size);
	if (head.length < Superblock.size || viewOf(head).getUint32(0) !== SUPERBLOCK_MAGIC) return undefined;
	const fields = Superblock.parse(head, 0, volume.name);
	const fault = (what: string) => corrupt(volume.name, 0, `the XFS superblock claims ${what}`);
	const version = fields.sb_versionnum & Version.NUMBITS;
	if (version !== 4 && version !== 5) throw missing(volume.name, "sb_versionnum", `version ${version}`);
	if (!(fields.sb_versionnum & Version.DIRV2)) throw missing(volume.name, "sb_versionnum", "directories of version 1");
	const checksums = version === 5;
	if (!isPower(fields.sb_sectsize, fields.sb_sectlog, 9, 15)) throw fault(`sectors of ${fields.sb_sectsize} bytes`);
	if (checksums) {
		const sector = await readBytes(volume, 0, fields.sb_sectsize);
		if (!isNewer && !isSound(sector, Superblock.offsets.sb_crc)) {
			throw corrupt(volume.name, 0, "the checksum of the XFS superblock is wrong");
		}
		checkFeatures(volume.name, fields.sb_features_incompat);
	}
	if (fields.sb_inprogress !== 0) throw corrupt(volume.name, 0, "the making of this XFS file system was broken off");
	checkGeometry(fields, fault);

	const features2 = fields.sb_versionnum & Version.MOREBITS ? fields.sb_features2 | fields.sb_bad_features2 : 0;
	const has = (feature: number) => checksums && (fields.sb_features_incompat & feature) !== 0;
	return {
		fields,
		checksums,
		typed: checksums ? has(Incompat.FTYPE) : (features2 & Features2.FTYPE) !== 0,
		caseless: (fields.sb_versionnum & Version.BORG) !== 0,
		blockSize: fields.sb_blocksize,
		directoryBlockSize: fields.sb_blocksize * 2 ** fields.sb_dirblklog,
		inodeSize: fields.sb_inodesize,
		uuid: has(Incompat.META_UUID) ? fields.sb_meta_uuid : fields.sb_uuid,
	};
}

const isPower = (value: number, log: number, least: number, most: number) =>
	log >= least && log <= most && value === 2 ** log;

function checkGeometry(fields: SuperblockFields, fault: (what: string) => AnyvisorError) {
	const { sb_blocksize, sb_blocklog, sb_inodesize, sb_inodelog, sb_inopblog, sb_dirblklog } = fields;
	const { sb_dblocks, sb_agcount, sb_agblocks, sb_agblklog, sb_logstart, sb_logblocks } = fields;
	if (!isPower(sb_blocksize, sb_blocklog, 9, 16)) throw fault(`blocks of ${sb_blocksize} bytes`);
	if (!isPower(sb_inodesize, sb_inodelog, 8, 11) || sb_inodelog + sb_inopblog !== sb_blocklog) {
		throw fault(`inodes of ${sb_inodesize} bytes`);
	}
	if (sb_blocklog + sb_dirblklog > 16) throw fault(`directory blocks of 2^${sb_blocklog + sb_dirblklog} bytes`);
	if (sb_agblocks === 0 || sb_agblocks > 2 ** sb_agblklog || sb_agblklog > 31 || sb_agcount === 0) {
		throw fault(`${sb_agcount} allocation groups of ${sb_agblocks} blocks`);
	}
	if (!Number.isSafeInteger(sb_dblocks * sb_blocksize) || Math.ceil(sb_dblocks / sb_agblocks) !== sb_agcount) {
		throw fault(`${sb_dblocks} blocks in ${sb_agcount} allocation groups of ${sb_agblocks}`);
	}
	if (sb_logstart !== 0 && sb_logblocks * sb_blocksize > 2 ** 31) throw fault(`a log of ${sb_logblocks} blocks`);
}

/** METADIR moves quotas and the realtime device; ZONED and ZONE_GAPS keep the files of a zoned device elsewhere. */
const unreadable = [Incompat.METADIR, Incompat.ZONED, Incompat.ZONE_GAPS];

function checkFeatures(name: string, incompat: number) {
	let unknown = incompat;
	for (const [feature, bit] of Object.entries(Incompat)) {
		unknown &= ~bit;
		if (!(incompat & bit)) continue;
		if (unreadable.some((one) => one === bit)) throw missing(name, "sb_features_incompat", `the feature ${feature}`);
		if (bit === Incompat.NEEDSREPAIR) {
			throw refused(`${name}: this XFS file system says that it needs to be repaired`, {
				file: name,
				offset: Superblock.offsets.sb_features_incompat,
				hint: 'Run "xfs_repair" on a copy of this file system.',
			});
		}
	}
	if (unknown !== 0) {
		throw missing(name, "sb_features_incompat", `the feature 0x${(unknown >>> 0).toString(16)}`);
	}
}

const missing = (name: string, field: "sb_versionnum" | "sb_features_incompat", what: string) =>
	unsupported(`${name}: this XFS file system needs ${what}, which Anyvisor cannot read`, {
		file: name,
		offset: Superblock.offsets[field],
	});
