import { refused, unsupported } from "../../bytes/errors.js";
import { readBytes } from "../../bytes/source.js";
import { u64, type Value, viewOf } from "../../bytes/struct.js";
import { inodeAt } from "./inode.js";
import {
	BmapBlock,
	BmapBlockCrc,
	BmapRoot,
	FORK_AT,
	FORK3_AT,
	Inode,
	Inode3,
	InodeFlag2,
	LoggedInode,
	LoggedInode3,
} from "./layout.js";
import type { DirtyLog } from "./log.js";
import {
	BASIC_BLOCK,
	BUFFER_PIECE,
	BufferFlag,
	BufferItem,
	InodeField,
	InodeItem,
	Intent,
	ItemType,
	idleItems,
} from "./log-layout.js";
import { Patched } from "./patched.js";
import { corrupt } from "./superblock.js";
import { type LogItem, readTransactions } from "./transactions.js";

const cleanly = "Start the guest once and shut it down cleanly, or mount its file system once, read-write.";

/** Freed blocks and intents: more than a real log has room for beside what it is about. */
const MOST_REMEMBERED = 1 << 20;

/** Blocks that were freed, and how often the log still says so. */
type Cancelled = Map<string, number>;

/**
 * The volume as it would be after its log had been replayed, as far as names and contents go. What the log holds of a
 * block is left out up to where the block was freed: it may hold a file's data since. Every item holds all that changed
 * since its block or inode was last written, so that replaying what was written already does no harm.
 */
export async function replayed(log: DirtyLog): Promise<Patched> {
	const cancelled = await readCancelled(log);
	const patched = new Patched(log.volume.source, log.volume.parameters.blockSize);
	for await (const items of readTransactions(log)) {
		// As the kernel sorts them: blocks, then inodes, then what was freed.
		for (const item of items) if (item.type === ItemType.BUFFER) await replayBuffer(log, item, cancelled, patched);
		for (const item of items) if (item.type === ItemType.INODE) await replayInode(log, item, cancelled, patched);
		for (const item of items) if (item.type === ItemType.BUFFER) release(parseBuffer(log, item), cancelled);
	}
	return patched;
}

/** Also refuses a log that holds what cannot be followed here. */
async function readCancelled(log: DirtyLog): Promise<Cancelled> {
	const { volume, at } = log;
	const cancelled: Cancelled = new Map();
	const intents = new Set<bigint>();
	const known: ReadonlySet<number> = new Set([...Object.values(ItemType), ...idleItems]);
	for await (const items of readTransactions(log)) {
		for (const item of items) {
			const { type, regions } = item;
			if (!known.has(type)) {
				throw unsupported(`${volume.name}: the log of this XFS file system holds items 0x${type.toString(16)}`, {
					file: volume.name,
					offset: at,
					hint: cleanly,
				});
			}
			if (type === ItemType.BUFFER) {
				const buffer = parseBuffer(log, item);
				const key = keyOf(buffer.blf_blkno, buffer.blf_len);
				if (buffer.blf_flags & BufferFlag.CANCEL) cancelled.set(key, (cancelled.get(key) ?? 0) + 1);
			} else if (type === ItemType.BUI || type === ItemType.XMI) {
				intents.add(Intent.parse(regions[0] ?? new Uint8Array(), 0, volume.name, at).id);
			} else if (type === ItemType.BUD || type === ItemType.XMD) {
				intents.delete(Intent.parse(regions[0] ?? new Uint8Array(), 0, volume.name, at).id);
			}
			if (cancelled.size + intents.size > MOST_REMEMBERED) {
				throw refused(`${volume.name}: the log of this XFS file system frees more than ${MOST_REMEMBERED} blocks`, {
					file: volume.name,
					offset: at,
					hint: cleanly,
				});
			}
		}
	}
	if (intents.size > 0) {
		throw refused(
			`${volume.name}: this XFS file system was not unmounted, and stopped while a file was being rearranged`,
			{
				file: volume.name,
				offset: at,
				hint: cleanly,
			},
		);
	}
	return cancelled;
}

const keyOf = (block: bigint, length: number) => `${block} ${length}`;

const parseBuffer = ({ volume, at }: DirtyLog, { regions: [first] }: LogItem) =>
	BufferItem.parse(first ?? new Uint8Array(), 0, volume.name, at);

function release({ blf_flags, blf_blkno, blf_len }: Value<typeof BufferItem>, cancelled: Cancelled) {
	const key = keyOf(blf_blkno, blf_len);
	const times = cancelled.get(key);
	if (!(blf_flags & BufferFlag.CANCEL) || times === undefined) return;
	if (times > 1) cancelled.set(key, times - 1);
	else cancelled.delete(key);
}

/** Each run of pieces that changed is a region, unless it is split over several. */
async function replayBuffer(log: DirtyLog, item: LogItem, cancelled: Cancelled, patched: Patched) {
	const { blf_flags, blf_blkno, blf_len, blf_map_size } = parseBuffer(log, item);
	if (blf_flags & (BufferFlag.CANCEL | BufferFlag.INODES) || cancelled.has(keyOf(blf_blkno, blf_len))) return;
	const fault = (what: string) => corrupt(log.volume.name, log.at, `a block in the log ${what}`);
	const [first = new Uint8Array(), ...regions] = item.regions;
	if (blf_blkno * BigInt(BASIC_BLOCK) >= BigInt(patched.size)) throw fault("lies outside the file system");
	if (BufferItem.size + blf_map_size * 4 > first.length) throw fault("has no map of what changed");
	const at = Number(blf_blkno) * BASIC_BLOCK;
	const view = viewOf(first);
	const isSet = (bit: number) =>
		bit < blf_map_size * 32 && ((view.getUint32(BufferItem.size + (bit >>> 5) * 4, true) >>> (bit & 31)) & 1) === 1;
	let bit = 0;
	for (const region of regions) {
		while (bit < blf_map_size * 32 && !isSet(bit)) bit++;
		let pieces = 0;
		while (isSet(bit + pieces) && (pieces + 1) * BUFFER_PIECE <= region.length) pieces++;
		if (pieces === 0 || (bit + pieces) * BUFFER_PIECE > blf_len * BASIC_BLOCK) throw fault("contradicts its map");
		await patched.write(at + bit * BUFFER_PIECE, region.subarray(0, pieces * BUFFER_PIECE));
		bit += pieces;
	}
}

async function replayInode(log: DirtyLog, { regions }: LogItem, cancelled: Cancelled, patched: Patched) {
	const { volume, at: logAt } = log;
	const { inodeSize, checksums } = volume.parameters;
	const fault = (what: string) => corrupt(volume.name, logAt, `an inode in the log ${what}`);
	const [format = new Uint8Array(), core, fork] = regions;
	if (format.length < InodeItem.size) {
		throw unsupported(`${volume.name}: the log of this XFS file system was written by a 32-bit kernel`, {
			file: volume.name,
			offset: logAt,
			hint: cleanly,
		});
	}
	const item = InodeItem.parse(format, 0, volume.name, logAt);
	if (cancelled.has(keyOf(item.ilf_blkno, item.ilf_len))) return;
	const at = item.ilf_ino > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : inodeAt(volume, Number(item.ilf_ino));
	if (at === undefined || core === undefined) throw fault("has no place on the disk");
	const bytes = await readBytes(patched, at, inodeSize);
	const forkoff = writeCore(core, bytes, checksums);
	const start = checksums ? FORK3_AT : FORK_AT;
	const end = forkoff === 0 ? bytes.length : start + forkoff * 8;
	if (end > bytes.length) throw fault("has attributes outside of it");
	const into = bytes.subarray(start, end);
	if (fork !== undefined && item.ilf_fields & (InodeField.DATA | InodeField.EXTENTS)) {
		into.set(fork.subarray(0, into.length));
	} else if (fork !== undefined && item.ilf_fields & InodeField.ROOT) {
		if (!writeRoot(fork, into, checksums ? BmapBlockCrc.size : BmapBlock.size)) {
			throw fault("has an extent tree that does not fit it");
		}
	}
	await patched.write(at, bytes);
}

/** Writes an inode's fields as they are on disk; returns di_forkoff. */
function writeCore(core: Uint8Array, into: Uint8Array, checksums: boolean): number {
	const logged = LoggedInode.parse(core);
	const version3 = checksums ? LoggedInode3.parse(core, LoggedInode.size) : undefined;
	const bigTimes = ((version3?.di_flags2 ?? 0n) & InodeFlag2.BIGTIME) !== 0n;
	// The halves of a time are two fields to the machine, where it is not one number.
	const di_mtime = bigTimes ? logged.di_mtime : ((logged.di_mtime & 0xffffffffn) << 32n) | (logged.di_mtime >> 32n);
	into.set(Inode.build({ ...logged, di_mtime }));
	if (version3) into.set(Inode3.build(version3), Inode.size);
	return logged.di_forkoff;
}

/**
 * Writes the root of an extent tree, which the log has in the form of a block with `header` bytes before its keys; false
 * where it has no room.
 */
function writeRoot(root: Uint8Array, into: Uint8Array, header: number): boolean {
	if (root.length < header) return false;
	const { bb_level, bb_numrecs } = BmapBlock.parse(root);
	const room = Math.floor((root.length - header) / (2 * u64.size));
	const roomInto = Math.floor((into.length - BmapRoot.size) / (2 * u64.size));
	if (bb_numrecs > Math.min(room, roomInto)) return false;
	into.set(BmapRoot.build({ bb_level, bb_numrecs }));
	const length = bb_numrecs * u64.size;
	into.set(root.subarray(header, header + length), BmapRoot.size);
	const pointers = header + room * u64.size;
	into.set(root.subarray(pointers, pointers + length), BmapRoot.size + roomInto * u64.size);
	return true;
}
