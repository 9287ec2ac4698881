import { AnyvisorError, damaged, refused, unsupported } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import type { Recovery } from "./journal.js";
import { Incompat, SUPERBLOCK_AT, Superblock } from "./layout.js";
import type { OpenedExt } from "./open.js";
import { findOrphans } from "./orphans.js";
import type { ExtParameters } from "./superblock.js";

const State = { CLEAN: 1, ERRORS: 2 };
const hint = "Boot the guest once and shut it down cleanly, or run e2fsck -y on a copy of its disk.";

/** Why a file system cannot be edited: `refused` where it first has to be mounted or checked. */
export async function refusalOf({ volume, recovery }: OpenedExt): Promise<AnyvisorError | undefined> {
	try {
		checkState(volume.source, volume.parameters, recovery);
		checkFeatures(volume.source, volume.parameters);
		await findOrphans(volume);
		return undefined;
	} catch (error) {
		if (error instanceof AnyvisorError) return error;
		throw error;
	}
}

function checkState({ name }: ByteSource, { fields }: ExtParameters, recovery: Recovery | undefined): void {
	const details = { file: name, offset: SUPERBLOCK_AT + Superblock.offsets.s_state, hint };
	if (recovery?.isWhole === false) {
		throw refused(`${name} was not unmounted, and its journal is damaged: it has to be checked first`, details);
	}
	if (!(fields.s_state & State.CLEAN) || fields.s_state & State.ERRORS) {
		throw refused(
			`${name} was not unmounted or has known errors: it has to be checked before it can be edited`,
			details,
		);
	}
}

/** Read-only compatible features as mke2fs and the kernel call them. */
const RoFeature = {
	SPARSE_SUPER: 0x1,
	LARGE_FILE: 0x2,
	BTREE_DIR: 0x4,
	HUGE_FILE: 0x8,
	UNINIT_BG: 0x10,
	DIR_NLINK: 0x20,
	EXTRA_ISIZE: 0x40,
	SNAPSHOT: 0x80,
	QUOTA: 0x100,
	BIGALLOC: 0x200,
	METADATA_CSUM: 0x400,
	REPLICA: 0x800,
	READONLY: 0x1000,
	PROJECT: 0x2000,
	SHARED_BLOCKS: 0x4000,
	VERITY: 0x8000,
	ORPHAN_PRESENT: 0x10000,
};
/** With these, e2fsck finds nothing after edits. Compatible features need no support, by their definition. */
const editableIncompat =
	Incompat.FILETYPE |
	Incompat.RECOVER |
	Incompat.META_BG |
	Incompat.EXTENTS |
	Incompat["64BIT"] |
	Incompat.FLEX_BG |
	Incompat.EA_INODE |
	Incompat.CSUM_SEED |
	Incompat.LARGEDIR |
	Incompat.INLINE_DATA;
const editableRoCompat =
	RoFeature.SPARSE_SUPER |
	RoFeature.LARGE_FILE |
	RoFeature.BTREE_DIR |
	RoFeature.HUGE_FILE |
	RoFeature.UNINIT_BG |
	RoFeature.DIR_NLINK |
	RoFeature.EXTRA_ISIZE |
	RoFeature.METADATA_CSUM |
	RoFeature.ORPHAN_PRESENT;
/** 2 TiB with usual blocks: the library keeps a bit in memory for each of them, and one for each inode. */
const mostBlocks = 2 ** 29;
/** Twice as many as {@link mostBlocks} make with the smallest blocks, unless groups are smaller than they could be. */
const mostGroups = 2 ** 17;

/** `unsupported` where libext2fs would not keep a file system in order. */
function checkFeatures({ name, size }: ByteSource, { features, blocks, groups, blockSize }: ExtParameters): void {
	const missing =
		nameOf(Incompat, features.incompat & ~editableIncompat) ?? nameOf(RoFeature, features.roCompat & ~editableRoCompat);
	if (missing !== undefined) {
		throw unsupported(`${name}: ext file systems with the feature ${missing} cannot be edited`, { file: name });
	}
	if (blocks > mostBlocks) {
		throw unsupported(`${name} has ${blocks} blocks; ext file systems with more than ${mostBlocks} cannot be edited`, {
			file: name,
		});
	}
	if (groups > mostGroups) {
		throw unsupported(`${name} has ${groups} groups; ext file systems with more than ${mostGroups} cannot be edited`, {
			file: name,
		});
	}
	if (blocks * blockSize > size) {
		throw damaged(`${name}: the file system has ${blocks * blockSize} bytes, but its volume only ${size}`, {
			file: name,
			hint: "Check that the disk image is complete.",
		});
	}
}

function nameOf(known: Readonly<Record<string, number>>, bits: number): string | undefined {
	if (bits === 0) return undefined;
	const [feature] = Object.entries(known).find(([, bit]) => bits & bit) ?? [];
	return feature?.toLowerCase() ?? `0x${(bits >>> 0).toString(16)}`;
}
