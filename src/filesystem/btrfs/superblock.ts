import { type AnyvisorError, damaged, unsupported } from "../../bytes/errors.js";
import { type ByteSource, readBytes } from "../../bytes/source.js";
import { type Checksum, checksums, sumsTo } from "./checksum.js";
import {
	HIGHEST_LEVEL,
	incompatFeatures,
	SUPERBLOCK_MAGIC,
	SUPERBLOCKS_AT,
	Superblock,
	type SuperblockFields,
} from "./layout.js";

/** What the superblock says, checked: every size is in its range, and nothing is needed that cannot be read. */
export interface BtrfsParameters {
	readonly fields: SuperblockFields;
	/** Byte offset of the copy that was taken. */
	readonly at: number;
	readonly checksum: Checksum;
	/** What every node carries: not `fsid` where that was changed later. */
	readonly nodeFsid: string;
}

/** "damaged", at a byte of the file system, with the way out. */
export const corrupt = (name: string, offset: number, fault: string): AnyvisorError =>
	damaged(`${name}: ${fault}`, { file: name, offset, hint: 'Run "btrfs check" on a copy of this file system.' });

/**
 * Reads the superblock and its copies, and takes the newest that is sound; `undefined` where the first one is none.
 * https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#superblock
 */
export async function readSuperblock(volume: ByteSource): Promise<BtrfsParameters | undefined> {
	const [firstAt] = SUPERBLOCKS_AT;
	const first = await readCopy(volume, firstAt);
	if (first === undefined) return undefined;
	let newest: BtrfsParameters | undefined;
	let failure: unknown;
	for (const at of SUPERBLOCKS_AT) {
		const bytes = at === firstAt ? first : await readCopy(volume, at);
		if (bytes === undefined) continue;
		try {
			const copy = await parseCopy(volume, bytes, at);
			if (at !== firstAt && !isOf(first, bytes)) continue;
			if (newest === undefined || copy.fields.generation > newest.fields.generation) newest = copy;
		} catch (error) {
			failure ??= error;
		}
	}
	if (newest === undefined) throw failure;
	check(volume.name, newest);
	return newest;
}

async function readCopy(volume: ByteSource, at: number): Promise<Uint8Array | undefined> {
	if (at + Superblock.size > volume.size) return undefined;
	const bytes = await readBytes(volume, at, Superblock.size);
	const { magic } = Superblock.offsets;
	return String.fromCharCode(...bytes.subarray(magic, magic + SUPERBLOCK_MAGIC.length)) === SUPERBLOCK_MAGIC
		? bytes
		: undefined;
}

/** Whether two copies are of one file system: another one may have been on the volume before. */
function isOf(first: Uint8Array, copy: Uint8Array): boolean {
	const { fsid } = Superblock.offsets;
	return first.subarray(fsid, fsid + 16).every((byte, i) => byte === copy[fsid + i]);
}

async function parseCopy(volume: ByteSource, bytes: Uint8Array, at: number): Promise<BtrfsParameters> {
	const fields = Superblock.parse(bytes, 0, volume.name, at);
	const checksum = checksums[fields.csum_type];
	if (checksum === undefined) {
		throw unsupported(`${volume.name}: this Btrfs has checksums of type ${fields.csum_type}, which are not known`, {
			file: volume.name,
			offset: at + Superblock.offsets.csum_type,
		});
	}
	if (!(await sumsTo(checksum, bytes.subarray(fields.csum.length), fields.csum))) {
		throw corrupt(volume.name, at, `the ${checksum.name} checksum of the Btrfs superblock is wrong`);
	}
	if (fields.bytenr !== at) throw corrupt(volume.name, at, `the Btrfs superblock belongs at byte ${fields.bytenr}`);
	const changed = hasFeature(fields, "METADATA_UUID");
	return { fields, at, checksum, nodeFsid: changed ? fields.metadata_uuid : fields.fsid };
}

type Feature = NonNullable<(typeof incompatFeatures)[number]>;

const hasFeature = ({ incompat_flags }: SuperblockFields, feature: Feature): boolean =>
	((incompat_flags >> BigInt(incompatFeatures.indexOf(feature))) & 1n) === 1n;

/** With each of these, blocks are elsewhere than chunks and trees say. */
const unreadable = new Set<Feature>(["ZONED", "EXTENT_TREE_V2", "RAID_STRIPE_TREE"]);

function check(name: string, { fields, at }: BtrfsParameters) {
	for (let bit = 0, rest = fields.incompat_flags; rest !== 0n; bit++, rest >>= 1n) {
		const feature = incompatFeatures[bit];
		if ((rest & 1n) === 0n || (feature !== undefined && !unreadable.has(feature))) continue;
		throw unsupported(`${name}: this Btrfs needs the feature ${feature ?? `2^${bit}`}, which Anyvisor cannot read`, {
			file: name,
			offset: at + Superblock.offsets.incompat_flags,
		});
	}
	const fault = (what: string) => corrupt(name, at, `the Btrfs superblock claims ${what}`);
	const { sectorsize, nodesize, num_devices } = fields;
	if (!isSize(sectorsize)) throw fault(`sectors of ${sectorsize} bytes`);
	if (!isSize(nodesize) || nodesize < sectorsize) throw fault(`nodes of ${nodesize} bytes`);
	if (fields.sys_chunk_array_size > fields.sys_chunk_array.length) {
		throw fault(`${fields.sys_chunk_array_size} bytes of system chunks`);
	}
	if (Math.max(fields.root_level, fields.chunk_root_level) > HIGHEST_LEVEL) throw fault("a tree that is too deep");
	if (num_devices === 0) throw fault("no devices");
}

/** 4 KiB to 64 KiB, a power of two. */
const isSize = (value: number) => value >= 4096 && value <= 65536 && (value & (value - 1)) === 0;
