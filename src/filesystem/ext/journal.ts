import { refused, unsupported } from "../../bytes/errors.js";
import { readBytes } from "../../bytes/source.js";
import { u32, u64, type Value, viewOf } from "../../bytes/struct.js";
import type { BlockMap } from "../mapped.js";
import { type ExtVolume, readBlock } from "./blocks.js";
import { mapOf } from "./contents.js";
import { readInode } from "./inode.js";
import { isSound, type JournalChecksums, journalChecksums } from "./journal-checksum.js";
import {
	BLOCK_TAG_V2_PADDING,
	BlockTag,
	BlockTag3,
	BlockTagHigh,
	BlockTail,
	BlockType,
	FAST_COMMIT_BLOCKS,
	FAST_COMMIT_HEAD_TAG,
	FastCommitHead,
	JOURNAL_MAGIC,
	JournalHeader,
	JournalIncompat,
	JournalSuperblock,
	RevokeHeader,
	TAG_UUID,
	TagFlag,
} from "./journal-layout.js";
import { SUPERBLOCK_AT, Superblock } from "./layout.js";
import { corrupt } from "./superblock.js";

/** A block that the journal holds a newer copy of. */
interface Replacement {
	/** The block of the volume where the copy stands. */
	readonly block: number;
	/** The copy begins with zeros where the block begins with {@link JOURNAL_MAGIC}. */
	readonly escaped: boolean;
}

/** By block number: what has to be read from elsewhere. */
export type Replacements = ReadonlyMap<number, Replacement>;

/** What is to be done to recover a file system. */
export interface Recovery {
	readonly replacements: Replacements;
	/** False where the journal tells of an error, or a copy had to be passed over. */
	readonly isWhole: boolean;
	/** Byte offset of the journal's superblock on the volume. */
	readonly superblockAt: number;
	/** Of the next transaction. */
	readonly sequence: number;
}

/** In bytes: what mke2fs gives the largest file systems for all of their journal. */
const LONGEST_LOG = 1 << 30;

interface Journal {
	readonly volume: ExtVolume;
	readonly superblock: Value<typeof JournalSuperblock>;
	readonly map: BlockMap;
	readonly checksums: JournalChecksums;
	/** The block of the journal where the log wraps around to `s_first`. */
	readonly end: number;
	/** Where the journal's superblock stands on the volume. */
	readonly at: number;
}

/**
 * Reads which blocks of an unclean file system have newer copies in its journal, as the kernel would write them back
 * before mounting: those of transactions that were completed, the latest copy of each, unless it was revoked later. A
 * copy whose checksum is wrong is passed over, as e2fsck does.
 */
export async function readJournal(volume: ExtVolume): Promise<Recovery> {
	const journal = await openJournal(volume);
	const { s_start, s_sequence, s_errno } = journal.superblock;
	const log = new Log(journal);
	if (s_start !== 0) {
		await log.replay();
		await checkFastCommits(journal, (s_sequence + log.transactions) >>> 0);
	}
	return {
		replacements: log.replacements(),
		isWhole: s_errno === 0 && !log.passedOver,
		superblockAt: journal.at,
		// The number of the transaction that broke off is not used again.
		sequence: (s_sequence + log.transactions + 1) >>> 0,
	};
}

async function openJournal(volume: ExtVolume): Promise<Journal> {
	const { name, parameters } = volume;
	const number = parameters.fields.s_journal_inum;
	const named = SUPERBLOCK_AT + Superblock.offsets.s_journal_inum;
	if (number === 0) {
		throw unsupported(`${name}: this ext file system was not unmounted, and its journal is on another disk`, {
			file: name,
			offset: named,
			hint: "Shut the guest down properly, or run e2fsck where both disks are.",
		});
	}
	const inode = await readInode(volume, number, named);
	const map = mapOf(volume, inode);
	const { at } = await map(0, 1);
	if (at === undefined) throw corrupt(name, inode.at, "the journal is empty");
	const bytes = await readBytes(volume.metadata, at, parameters.blockSize);
	const superblock = parseSuperblock(name, bytes, at);
	const { s_maxlen, s_first, s_start, s_feature_incompat } = superblock;
	const fast = s_feature_incompat & JournalIncompat.FAST_COMMIT ? fastCommitBlocks(superblock) : 0;
	const end = s_maxlen - fast;
	if (
		superblock.s_blocksize !== parameters.blockSize ||
		s_maxlen * parameters.blockSize > inode.size ||
		s_first === 0 ||
		s_first >= end ||
		(s_start !== 0 && (s_start < s_first || s_start >= end))
	) {
		throw corrupt(name, at, "the journal's superblock contradicts its file system");
	}
	return { volume, superblock, map, checksums: journalChecksums(superblock), end, at };
}

function parseSuperblock(name: string, bytes: Uint8Array, at: number): Value<typeof JournalSuperblock> {
	const raw = bytes.subarray(0, JournalSuperblock.size);
	const found = JournalSuperblock.parse(raw, 0, name, at);
	const { h_magic, h_blocktype } = found.s_header;
	if (h_magic !== JOURNAL_MAGIC) throw corrupt(name, at, "the journal has no superblock");
	// Version 1 had no features; its superblock ends before them.
	if (h_blocktype === BlockType.SUPERBLOCK_V1) return { ...found, s_feature_compat: 0, s_feature_incompat: 0 };
	if (h_blocktype !== BlockType.SUPERBLOCK_V2) throw corrupt(name, at, "the journal has no superblock");
	const known = Object.values(JournalIncompat).reduce((all, bit) => all | bit, 0);
	const unknown = found.s_feature_incompat & ~known;
	if (unknown !== 0) {
		throw unsupported(`${name}: the journal needs the feature 0x${(unknown >>> 0).toString(16)}`, {
			file: name,
			offset: at + JournalSuperblock.offsets.s_feature_incompat,
		});
	}
	if (!isSound(raw, found)) throw corrupt(name, at, "the checksum of the journal's superblock is wrong");
	return found;
}

const fastCommitBlocks = ({ s_num_fc_blks }: Value<typeof JournalSuperblock>) => s_num_fc_blks || FAST_COMMIT_BLOCKS;

/** What one transaction, not completed yet, brings. */
interface Transaction {
	readonly copies: Map<number, Replacement>;
	readonly revoked: Set<number>;
}

/** The walk through the log, from its oldest transaction to where it breaks off. */
class Log {
	readonly #journal: Journal;
	/** The next block of the journal to be read. */
	#position: number;
	#walked = 0;
	/** By block: the latest copy and the transaction, counted from 0, that brought it. */
	readonly #copies = new Map<number, { transaction: number; replacement: Replacement }>();
	/** By block: the last transaction that revoked the copies up to its own. */
	readonly #revoked = new Map<number, number>();
	/** How many transactions were completed. */
	transactions = 0;
	/** Whether a copy had a wrong checksum. */
	passedOver = false;

	constructor(journal: Journal) {
		this.#journal = journal;
		this.#position = journal.superblock.s_start;
	}

	/** The log ends at the first block that is not the one expected, and with the last commit before. */
	async replay(): Promise<void> {
		const { checksums, superblock } = this.#journal;
		let pending: Transaction = { copies: new Map(), revoked: new Set() };
		while (this.#walked < this.#journal.end) {
			const block = await this.#read(await this.#next());
			const header = JournalHeader.parse(block);
			const sequence = (superblock.s_sequence + this.transactions) >>> 0;
			if (header.h_magic !== JOURNAL_MAGIC || header.h_sequence !== sequence) return;
			if (header.h_blocktype === BlockType.DESCRIPTOR) {
				if (!checksums.descriptor(block)) return;
				await this.#readCopies(block, sequence, pending.copies);
			} else if (header.h_blocktype === BlockType.REVOKE) {
				if (!checksums.revoke(block)) return;
				this.#readRevoked(block, pending.revoked);
			} else if (header.h_blocktype === BlockType.COMMIT) {
				if (!checksums.commit(block)) return;
				this.#commit(pending);
				pending = { copies: new Map(), revoked: new Set() };
			} else return;
		}
	}

	replacements(): Replacements {
		const found = new Map<number, Replacement>();
		for (const [block, { transaction, replacement }] of this.#copies) {
			if ((this.#revoked.get(block) ?? -1) < transaction) found.set(block, replacement);
		}
		return found;
	}

	#commit({ copies, revoked }: Transaction) {
		const transaction = this.transactions++;
		for (const [block, replacement] of copies) this.#copies.set(block, { transaction, replacement });
		for (const block of revoked) this.#revoked.set(block, transaction);
	}

	/** Steps on in the log; returns the block of the volume where that block of the journal is. */
	async #next(): Promise<number> {
		const { map, end, superblock, volume, at } = this.#journal;
		if (++this.#walked * volume.parameters.blockSize > LONGEST_LOG) {
			throw refused(`${volume.name}: the journal holds more than ${LONGEST_LOG} bytes to be replayed`, {
				file: volume.name,
				offset: at,
				hint: 'Run "e2fsck -f" on a copy of this file system.',
			});
		}
		const logical = this.#position;
		this.#position = logical + 1 === end ? superblock.s_first : logical + 1;
		const found = await map(logical, 1);
		if (found.at === undefined) throw corrupt(volume.name, at, `block ${logical} of the journal is missing`);
		return found.at / volume.parameters.blockSize;
	}

	#read(block: number): Promise<Uint8Array> {
		return readBlock(this.#journal.volume, block, this.#journal.at);
	}

	/** Walks over the copies that follow a descriptor block. */
	async #readCopies(descriptor: Uint8Array, sequence: number, copies: Map<number, Replacement>) {
		const { checksums } = this.#journal;
		for (const tag of this.#tags(descriptor)) {
			const block = await this.#next();
			if (checksums.coverData && !checksums.data(await this.#read(block), tag.checksum, sequence)) {
				this.passedOver = true;
				continue;
			}
			copies.set(tag.block, { block, escaped: (tag.flags & TagFlag.ESCAPE) !== 0 });
		}
	}

	*#tags(bytes: Uint8Array): Generator<{ block: number; flags: number; checksum: number }> {
		const { s_feature_incompat } = this.#journal.superblock;
		const has = (feature: number) => (s_feature_incompat & feature) !== 0;
		const v3 = has(JournalIncompat.CSUM_V3);
		const v2 = has(JournalIncompat.CSUM_V2);
		const wide = has(JournalIncompat["64BIT"]);
		const old = BlockTag.size + (wide ? BlockTagHigh.size : 0) + (v2 ? BLOCK_TAG_V2_PADDING : 0);
		const size = v3 ? BlockTag3.size : old;
		const end = bytes.length - (v2 || v3 ? BlockTail.size : 0);
		for (let at = JournalHeader.size; at + size <= end; ) {
			const tag = v3 ? BlockTag3.parse(bytes, at) : { t_blocknr_high: 0, ...BlockTag.parse(bytes, at) };
			if (wide && !v3) Object.assign(tag, BlockTagHigh.parse(bytes, at + BlockTag.size));
			const block = tag.t_blocknr + (wide ? tag.t_blocknr_high * 2 ** 32 : 0);
			yield { block, flags: tag.t_flags, checksum: tag.t_checksum };
			if (tag.t_flags & TagFlag.LAST_TAG) return;
			at += size + (tag.t_flags & TagFlag.SAME_UUID ? 0 : TAG_UUID);
		}
	}

	#readRevoked(bytes: Uint8Array, revoked: Set<number>) {
		const { volume, superblock, at } = this.#journal;
		const field = superblock.s_feature_incompat & JournalIncompat["64BIT"] ? u64 : u32;
		const { r_count } = RevokeHeader.parse(bytes);
		if (r_count > bytes.length) throw corrupt(volume.name, at, "a revoke block of the journal claims too many entries");
		const view = viewOf(bytes);
		for (let offset = RevokeHeader.size; offset + field.size <= r_count; offset += field.size) {
			revoked.add(field.get(view, offset, false));
		}
	}
}

/**
 * Fast commits describe changes of files instead of blocks; they cannot be followed, so they must not be passed over
 * either. The ones of earlier transactions are left over and mean nothing.
 */
async function checkFastCommits({ volume, superblock, map, end }: Journal, sequence: number): Promise<void> {
	if (!(superblock.s_feature_incompat & JournalIncompat.FAST_COMMIT)) return;
	const { at } = await map(end, 1);
	if (at === undefined) return;
	const head = FastCommitHead.parse(await readBytes(volume.metadata, at, FastCommitHead.size), 0, volume.name, at);
	if (head.fc_tag !== FAST_COMMIT_HEAD_TAG || head.fc_tid !== sequence) return;
	throw unsupported(`${volume.name}: this ext file system was not unmounted, and its journal holds fast commits`, {
		file: volume.name,
		offset: at,
		hint: 'Shut the guest down properly, or run "e2fsck -f" on a copy of this file system.',
	});
}
