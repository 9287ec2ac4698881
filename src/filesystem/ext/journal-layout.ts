import { array, bytes, struct, u8, u16, u32, uuid } from "../../bytes/struct.js";

/** The block device journal, version 2: https://docs.kernel.org/filesystems/ext4/journal.html */

export const JOURNAL_MAGIC = 0xc03b3998;

export const BlockType = { DESCRIPTOR: 1, COMMIT: 2, SUPERBLOCK_V1: 3, SUPERBLOCK_V2: 4, REVOKE: 5 } as const;

/** Begins every block of the journal that is not a copy of a file system's block. */
export const JournalHeader = struct("journal block header", "big", {
	h_magic: u32,
	h_blocktype: u32,
	h_sequence: u32,
});

export const JournalSuperblock = struct("journal superblock", "big", {
	s_header: JournalHeader.field,
	s_blocksize: u32,
	/** Number of blocks, the superblock included. */
	s_maxlen: u32,
	/** The first block of the log. */
	s_first: u32,
	/** Number of the first transaction in the log. */
	s_sequence: u32,
	/** Where that transaction begins; 0 when the log is empty. */
	s_start: u32,
	s_errno: u32,
	s_feature_compat: u32,
	s_feature_incompat: u32,
	s_feature_ro_compat: u32,
	s_uuid: bytes(16),
	s_nr_users: u32,
	s_dynsuper: u32,
	s_max_transaction: u32,
	s_max_trans_data: u32,
	s_checksum_type: u8,
	s_padding2: bytes(3),
	/** Size of the fast commit area at the end of the journal, in blocks; 0 stands for 256. */
	s_num_fc_blks: u32,
	s_head: u32,
	s_padding: array(u32, 40),
	/** CRC-32C of the 1024 bytes, with this field as zero. */
	s_checksum: u32,
	s_users: array(uuid, 48),
});

export const JournalCompat = { CHECKSUM: 0x1 } as const;

export const JournalIncompat = {
	REVOKE: 0x1,
	"64BIT": 0x2,
	ASYNC_COMMIT: 0x4,
	CSUM_V2: 0x8,
	CSUM_V3: 0x10,
	FAST_COMMIT: 0x20,
} as const;

/** Says where the block that follows belongs, without CSUM_V3. */
export const BlockTag = struct("journal block tag", "big", {
	t_blocknr: u32,
	/** The lower half of the checksum, with CSUM_V2. */
	t_checksum: u16,
	t_flags: u16,
});

/** Follows {@link BlockTag} with 64BIT. */
export const BlockTagHigh = struct("journal block tag, upper half", "big", { t_blocknr_high: u32 });

/** With CSUM_V2 every tag is two bytes longer than what it holds. */
export const BLOCK_TAG_V2_PADDING = 2;

/** Says where the block that follows belongs, with CSUM_V3. */
export const BlockTag3 = struct("journal block tag 3", "big", {
	t_blocknr: u32,
	t_flags: u32,
	t_blocknr_high: u32,
	t_checksum: u32,
});

export const TagFlag = {
	/** The block began with {@link JOURNAL_MAGIC}, which was replaced by zeros. */
	ESCAPE: 0x1,
	/** No UUID follows the tag. */
	SAME_UUID: 0x2,
	LAST_TAG: 0x8,
} as const;

export const TAG_UUID = 16;

/** At the end of descriptor and revoke blocks, with CSUM_V2 or CSUM_V3. */
export const BlockTail = struct("journal block tail", "big", { t_checksum: u32 });

export const RevokeHeader = struct("journal revoke header", "big", {
	r_header: JournalHeader.field,
	/** Bytes in use, this header included. */
	r_count: u32,
});

export const CommitHeader = struct("journal commit header", "big", {
	h_header: JournalHeader.field,
	h_chksum_type: u8,
	h_chksum_size: u8,
	h_padding: bytes(2),
	h_chksum: array(u32, 8),
	h_commit_sec: bytes(8),
	h_commit_nsec: u32,
});

export const CHECKSUM_CRC32 = 1;

/** The first record of a fast commit: https://docs.kernel.org/filesystems/ext4/journal.html#fast-commits */
export const FastCommitHead = struct("fast commit head", "little", {
	fc_tag: u16,
	fc_len: u16,
	fc_features: u32,
	/** The transaction that these commits come after. */
	fc_tid: u32,
});

export const FAST_COMMIT_HEAD_TAG = 9;
export const FAST_COMMIT_BLOCKS = 256;
