import { crc32c } from "../../bytes/checksum/index.js";
import { unsupported } from "../../bytes/errors.js";
import { type ByteSource, readBytes, slice } from "../../bytes/source.js";
import { type Value, viewOf } from "../../bytes/struct.js";
import { Superblock } from "./layout.js";
import {
	BASIC_BLOCK,
	CYCLE_DATA,
	ExtendedHeader,
	FORMAT_LINUX_LITTLE,
	HEADER_COVERS,
	HEADER_SUMMED,
	IN_FLIGHT,
	LARGEST_RECORD,
	Operation,
	OperationFlag,
	RECORD_MAGIC,
	RecordHeader,
} from "./log-layout.js";
import { corrupt } from "./superblock.js";
import { blockAt, type XfsVolume } from "./volume.js";

/** A place in the log. */
interface Position {
	readonly cycle: number;
	/** Basic block, counted from where the log begins. */
	readonly block: number;
}

/** A log that has to be replayed. */
export interface DirtyLog {
	/** For messages. */
	readonly volume: XfsVolume;
	/** Where the log begins on the volume, in bytes. */
	readonly at: number;
	/** Its bytes, and how many basic blocks they are. */
	readonly source: ByteSource;
	readonly blocks: number;
	/** The oldest record that is still needed, and the basic block where writing would go on. */
	readonly tail: Position;
	readonly head: number;
}

/** What was written to the log at once. */
interface LogRecord {
	readonly data: Uint8Array;
	/** How many operations there are; what is behind them means nothing. */
	readonly operations: number;
	/** Length in basic blocks, headers included. */
	readonly blocks: number;
}

const blank = new Uint8Array(4);

/** The log of a file system that was not unmounted; `undefined` where it was: its last record says so. */
export async function readLog(volume: XfsVolume): Promise<DirtyLog | undefined> {
	const { sb_logstart, sb_logblocks } = volume.parameters.fields;
	const named = Superblock.offsets.sb_logstart;
	if (sb_logstart === 0) {
		throw unsupported(
			`${volume.name}: the log of this XFS file system is on another disk, which Anyvisor cannot read`,
			{
				file: volume.name,
				offset: named,
			},
		);
	}
	if (sb_logblocks === 0) throw corrupt(volume.name, named, "the log is empty");
	const at = blockAt(volume, sb_logstart, sb_logblocks, named);
	const source = slice(volume.source, at, sb_logblocks * volume.parameters.blockSize);
	const blocks = source.size / BASIC_BLOCK;
	const head = await findHead(source, blocks);
	// Only zeros: nothing was ever written to it.
	if (head === undefined) return undefined;
	const last = await findLast(source, blocks, head);
	if (last === undefined) throw corrupt(volume.name, at, "the log has no records");
	if (await isUnmount(source, blocks, head, last)) return undefined;
	const tail = positionOf(last.header.h_tail_lsn);
	if (tail.block >= blocks) throw corrupt(volume.name, at, "the log begins outside of itself");
	return { volume, at, source, blocks, tail, head };
}

const positionOf = (lsn: bigint): Position => ({ cycle: Number(lsn >> 32n), block: Number(lsn & 0xffffffffn) });

/** The cycle of a basic block: its first word, or the second one where a record begins. */
function cycleOf(bytes: Uint8Array, at: number): number {
	const view = viewOf(bytes);
	const first = view.getUint32(at);
	return first === RECORD_MAGIC ? view.getUint32(at + 4) : first;
}

/**
 * The basic block behind the newest: the cycle is smaller by one from there to the end, or 0 where nothing was ever
 * written. `undefined` where the whole log is zeros.
 */
async function findHead(source: ByteSource, blocks: number): Promise<number | undefined> {
	const cycleAt = async (block: number) => cycleOf(await readBytes(source, block * BASIC_BLOCK, 8), 0);
	const first = await cycleAt(0);
	if (first === 0) return undefined;
	let low = 1;
	for (let high = blocks; low < high; ) {
		const middle = Math.floor((low + high) / 2);
		if ((await cycleAt(middle)) === first) low = middle + 1;
		else high = middle;
	}
	return low;
}

interface Found {
	readonly header: Value<typeof RecordHeader>;
	readonly block: number;
}

/** The last record that begins before `head`. */
async function findLast(source: ByteSource, blocks: number, head: number): Promise<Found | undefined> {
	const window = Math.min(blocks, IN_FLIGHT / BASIC_BLOCK);
	const step = 64;
	for (let back = 0; back < window; back += step) {
		const count = Math.min(step, window - back);
		const bytes = await readBlocks(source, blocks, head - back - count + blocks, count);
		for (let i = count - 1; i >= 0; i--) {
			if (viewOf(bytes).getUint32(i * BASIC_BLOCK) !== RECORD_MAGIC) continue;
			const header = RecordHeader.parse(bytes, i * BASIC_BLOCK, source.name);
			const block = (head - back - count + i + blocks) % blocks;
			if (positionOf(header.h_lsn).block === block) return { header, block };
		}
	}
	return undefined;
}

/** Reads basic blocks; behind the last one comes the first one again. */
async function readBlocks(source: ByteSource, blocks: number, first: number, count: number): Promise<Uint8Array> {
	const bytes = new Uint8Array(count * BASIC_BLOCK);
	const start = first % blocks;
	const whole = Math.min(count, blocks - start);
	await source.read(start * BASIC_BLOCK, bytes.subarray(0, whole * BASIC_BLOCK));
	if (count > whole) await source.read(0, bytes.subarray(whole * BASIC_BLOCK));
	return bytes;
}

const headersOf = ({ h_version, h_size }: Found["header"]) =>
	h_version >= 2 ? Math.max(1, Math.ceil(h_size / HEADER_COVERS)) : 1;

/** Whether `last` is the one record of an unmount, with nothing behind it. */
async function isUnmount(source: ByteSource, blocks: number, head: number, { header, block }: Found): Promise<boolean> {
	const data = block + headersOf(header);
	const end = data + Math.ceil(header.h_len / BASIC_BLOCK);
	if (header.h_num_logops !== 1 || end % blocks !== head % blocks) return false;
	const operation = Operation.parse(await readBlocks(source, blocks, data, 1), 0, source.name);
	return (operation.oh_flags & OperationFlag.UNMOUNT) !== 0;
}

/**
 * The contents of the records from the tail on, each with its first words put back. They end at the first record that is
 * not whole, as the last ones may be when the power fails; damaged where that is too far from the end for this.
 */
export async function* readRecords(log: DirtyLog): AsyncGenerator<LogRecord> {
	const { source, blocks, volume } = log;
	let { cycle, block } = log.tail;
	let walked = 0;
	while (walked < blocks) {
		const record = await readRecord(log, { cycle, block });
		if (record === undefined) break;
		yield record;
		walked += record.blocks;
		block += record.blocks;
		if (block >= blocks) {
			block -= blocks;
			cycle++;
		}
	}
	const missing = (log.head - block + blocks) % blocks;
	if (missing * BASIC_BLOCK > IN_FLIGHT && walked < blocks) {
		throw corrupt(volume.name, log.at + block * BASIC_BLOCK, `the log of ${source.name} breaks off in the middle`);
	}
}

async function readRecord(
	{ source, blocks, volume, at }: DirtyLog,
	{ cycle, block }: Position,
): Promise<LogRecord | undefined> {
	const first = await readBlocks(source, blocks, block, 1);
	const header = RecordHeader.parse(first, 0, volume.name, at + block * BASIC_BLOCK);
	const { h_magicno, h_lsn, h_len, h_fmt, h_cycle, h_num_logops } = header;
	const own = positionOf(h_lsn);
	if (h_magicno !== RECORD_MAGIC || own.block !== block || own.cycle !== cycle || h_cycle !== cycle) return undefined;
	const headers = headersOf(header);
	const count = headers + Math.ceil(h_len / BASIC_BLOCK);
	if (headers > LARGEST_RECORD / HEADER_COVERS || h_len > LARGEST_RECORD || count > blocks) {
		throw corrupt(volume.name, at + block * BASIC_BLOCK, `a record of the log claims ${h_len} bytes`);
	}
	if (h_fmt !== FORMAT_LINUX_LITTLE) {
		throw unsupported(`${volume.name}: the log was written by a machine of another byte order`, {
			file: volume.name,
			offset: at + block * BASIC_BLOCK,
			hint: "Shut the guest down cleanly where it runs.",
		});
	}
	const bytes = await readBlocks(source, blocks, block, count);
	for (let i = 0; i < count; i++) {
		const wrapped = block + i >= blocks ? 1 : 0;
		if (cycleOf(bytes, i * BASIC_BLOCK) !== cycle + wrapped) return undefined;
	}
	if (!isWhole(bytes, header, headers, volume.parameters.checksums)) return undefined;
	const data = bytes.subarray(headers * BASIC_BLOCK);
	restoreWords(bytes, data, header, headers);
	return { data: data.subarray(0, h_len), operations: h_num_logops, blocks: count };
}

/** Whether a record has the checksum that its header gives: header, further headers, data. Old ones had none. */
function isWhole(bytes: Uint8Array, { h_crc, h_len }: Found["header"], headers: number, needed: boolean): boolean {
	const stored = viewOf(h_crc).getUint32(0, true);
	if (stored === 0 && !needed) return true;
	return HEADER_SUMMED.some((summed) => {
		const at = RecordHeader.offsets.h_crc;
		let sum = crc32c(bytes.subarray(at + blank.length, summed), crc32c(blank, crc32c(bytes.subarray(0, at))));
		const used = Math.min(headers, Math.ceil(h_len / HEADER_COVERS));
		for (let i = 1; i < used; i++) {
			sum = crc32c(bytes.subarray(i * BASIC_BLOCK, i * BASIC_BLOCK + ExtendedHeader.size), sum);
		}
		return crc32c(bytes.subarray(headers * BASIC_BLOCK, headers * BASIC_BLOCK + h_len), sum) === stored;
	});
}

function restoreWords(bytes: Uint8Array, data: Uint8Array, header: Found["header"], headers: number) {
	const view = viewOf(data);
	for (let i = 0; i * BASIC_BLOCK < data.length; i++) {
		const from = Math.floor(i / CYCLE_DATA);
		if (from >= headers) return;
		const words = from === 0 ? header.h_cycle_data : ExtendedHeader.parse(bytes, from * BASIC_BLOCK).xh_cycle_data;
		view.setUint32(i * BASIC_BLOCK, words[i % CYCLE_DATA] ?? 0);
	}
}
