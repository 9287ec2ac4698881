import { crc32cRaw } from "../../bytes/checksum/index.js";
import { u32, type Value, viewOf } from "../../bytes/struct.js";
import {
	BlockTail,
	CHECKSUM_CRC32,
	CommitHeader,
	JournalCompat,
	JournalIncompat,
	JournalSuperblock,
} from "./journal-layout.js";

/**
 * Judges the blocks of a journal's log in the order in which they stand there. A journal has one of three kinds of
 * checksums, or none: https://docs.kernel.org/filesystems/ext4/journal.html
 */
export interface JournalChecksums {
	/** Whether copies of blocks have to be read to be judged. */
	readonly coverData: boolean;
	descriptor(block: Uint8Array): boolean;
	revoke(block: Uint8Array): boolean;
	/** Of the copy of a block, as it stands in the log; `expected` is from its tag. */
	data(block: Uint8Array, expected: number, sequence: number): boolean;
	/** Of the block that ends a transaction. */
	commit(block: Uint8Array): boolean;
}

export function journalChecksums(superblock: Value<typeof JournalSuperblock>): JournalChecksums {
	const { s_feature_compat, s_feature_incompat, s_uuid } = superblock;
	if (s_feature_incompat & JournalIncompat.CSUM_V3) return perBlock(s_uuid, 0xffffffff);
	if (s_feature_incompat & JournalIncompat.CSUM_V2) return perBlock(s_uuid, 0xffff);
	if (s_feature_compat & JournalCompat.CHECKSUM) return perTransaction();
	return { coverData: false, descriptor: () => true, revoke: () => true, data: () => true, commit: () => true };
}

/** Versions 2 and 3: CRC-32C of the journal's UUID and each block; version 2 keeps 16 bits of those of copies. */
function perBlock(uuid: Uint8Array, mask: number): JournalChecksums {
	const seed = crc32cRaw(0xffffffff, uuid);
	const holds = (block: Uint8Array, at: number) =>
		crc32cRaw(seed, without(block, at)) === viewOf(block).getUint32(at, false);
	const tail = (block: Uint8Array) => holds(block, block.length - BlockTail.size);
	return {
		coverData: true,
		descriptor: tail,
		revoke: tail,
		data(block, expected, sequence) {
			const number = new Uint8Array(u32.size);
			viewOf(number).setUint32(0, sequence, false);
			return ((crc32cRaw(crc32cRaw(seed, number), block) ^ expected) & mask) === 0;
		},
		commit: (block) => holds(block, CommitHeader.offsets.h_chksum),
	};
}

/** Version 1: CRC-32 of a transaction's descriptors and copies, in its commit block. */
function perTransaction(): JournalChecksums {
	let sum = 0xffffffff;
	const add = (block: Uint8Array) => {
		sum = crc32BigEndian(sum, block);
		return true;
	};
	return {
		coverData: true,
		descriptor: add,
		revoke: () => true,
		data: add,
		commit(block) {
			const { h_chksum_type, h_chksum_size, h_chksum } = CommitHeader.parse(block);
			const found = sum;
			sum = 0xffffffff;
			if (h_chksum_type === 0 && h_chksum_size === 0 && h_chksum[0] === 0) return true;
			return h_chksum_type === CHECKSUM_CRC32 && h_chksum_size === u32.size && h_chksum[0] === found;
		},
	};
}

/** Whether the journal's superblock is as it was written; always so before version 2. */
export function isSound(bytes: Uint8Array, superblock: Value<typeof JournalSuperblock>): boolean {
	return !hasOwnChecksum(superblock) || checksumOf(bytes) === superblock.s_checksum;
}

/** The journal's superblock with its checksum, where it has one. */
export function checksummed(bytes: Uint8Array, superblock: Value<typeof JournalSuperblock>): Uint8Array {
	if (hasOwnChecksum(superblock)) {
		viewOf(bytes).setUint32(JournalSuperblock.offsets.s_checksum, checksumOf(bytes), false);
	}
	return bytes;
}

const hasOwnChecksum = ({ s_feature_incompat }: Value<typeof JournalSuperblock>) =>
	(s_feature_incompat & (JournalIncompat.CSUM_V2 | JournalIncompat.CSUM_V3)) !== 0;

const checksumOf = (bytes: Uint8Array) => crc32cRaw(0xffffffff, without(bytes, JournalSuperblock.offsets.s_checksum));

/** A copy of `bytes` with zeros in place of the 32 bits at `at`. */
function without(bytes: Uint8Array, at: number): Uint8Array {
	const copy = bytes.slice();
	copy.fill(0, at, at + u32.size);
	return copy;
}

const table = Int32Array.from({ length: 256 }, (_, byte) => {
	let register = byte << 24;
	for (let bit = 0; bit < 8; bit++) register = (register << 1) ^ (register < 0 ? 0x04c11db7 : 0);
	return register;
});

/** CRC-32 with the most significant bit first and without inversions, as the kernel's crc32_be() has it. */
function crc32BigEndian(seed: number, bytes: Uint8Array): number {
	let register = seed;
	for (const byte of bytes) register = (register << 8) ^ (table[(register >>> 24) ^ byte] ?? 0);
	return register >>> 0;
}
