import { AnyvisorError } from "../bytes/errors.js";
import { inOrder } from "../bytes/in-order.js";
import { Buffers } from "./buffers.js";
import type { Disk, Extent, WriteOptions } from "./disk.js";
import { joinedBy } from "./joiner.js";
import { isZero } from "./zero.js";

/** Throws `interrupted` once the caller asked to stop. */
export function checkSignal(signal: AbortSignal | undefined): void {
	if (signal?.aborted === true) throw new AnyvisorError("interrupted", "stopped on request");
}

/** What a writer may be asked to do meanwhile. */
export type Watching = Pick<WriteOptions, "onProgress" | "signal">;

/** Reports how far a writer has got, each byte of the disk once. */
export class Reporter {
	readonly #onProgress: WriteOptions["onProgress"];
	#reported = 0;

	constructor({ onProgress }: Watching) {
		this.#onProgress = onProgress;
	}

	reached(at: number): void {
		if (at <= this.#reported) return;
		this.#onProgress?.(at - this.#reported);
		this.#reported = at;
	}
}

/** Enough for reads, the writer's own work and writes to go on at once. */
const CHUNKS = 16;
/** Bytes of a chunk, unless a unit is larger. */
export const CHUNK = 1 << 20;
const READS_IN_FLIGHT = 4;

/** A stretch of a disk in memory, of whole units. Past the end of the disk it is zero. */
export interface Chunk {
	readonly at: number;
	readonly bytes: Uint8Array;
	/** Gives its memory back; nothing may look at `bytes` afterwards. */
	readonly release: () => void;
}

/** Reads stretches of a disk into memory that is used again; who has {@link CHUNKS} of them unreleased waits. */
export class ChunkReader {
	/** Most bytes of a chunk: whole units. */
	readonly step: number;
	readonly #disk: Disk;
	readonly #buffers: Buffers;

	/** @param unit in bytes: chunks are made of whole ones */
	constructor(disk: Disk, unit: number) {
		this.#disk = disk;
		this.step = Math.max(unit, CHUNK - (CHUNK % unit));
		// Large units are few: memory is bounded, not the number of chunks.
		this.#buffers = new Buffers(Math.max(2, Math.min(CHUNKS, Math.floor((CHUNKS * CHUNK * 4) / this.step))), this.step);
	}

	async read(at: number, length: number): Promise<Chunk> {
		const buffer = await this.#buffers.take();
		const inside = Math.min(length, this.#disk.size - at);
		try {
			await this.#disk.read(at, buffer.subarray(0, inside));
		} catch (error) {
			this.#buffers.give(buffer);
			throw error;
		}
		buffer.fill(0, inside, length);
		return { at, bytes: buffer.subarray(0, length), release: () => this.#buffers.give(buffer) };
	}

	/** The chunks that hold all data of the disk, ascending; read ahead. */
	async *chunks(unit: number, signal: AbortSignal | undefined): AsyncGenerator<Chunk, void, undefined> {
		const stretches = alignedStretches(this.#disk.extents(), unit, this.step);
		yield* inOrder(stretches, READS_IN_FLIGHT, ({ at, length }) => {
			checkSignal(signal);
			return this.read(at, length);
		});
	}
}

/** A block of a disk, on its way into another format. */
export interface Block {
	/** `at / blockSize` */
	readonly index: number;
	/** Byte offset on the disk, a multiple of the block size. */
	readonly at: number;
	/** Exactly one block; past the end of the disk it is zero. Only valid until the next block is asked for. */
	readonly bytes: Uint8Array;
}

/**
 * The blocks of `disk` that are not zero, ascending, each once. Reads ahead, asks the disk for nothing but its data
 * extents, and reports progress (zeros included) and honours the signal on the writer's behalf.
 *
 * @param blockSize in bytes, a multiple of the disk's sector size.
 */
export async function* dataBlocks(
	disk: Disk,
	blockSize: number,
	watching: Watching = {},
): AsyncGenerator<Block, void, undefined> {
	const report = new Reporter(watching);
	for await (const { at: start, bytes: chunk, release } of new ChunkReader(disk, blockSize).chunks(
		blockSize,
		watching.signal,
	)) {
		try {
			for (let offset = 0; offset < chunk.length; offset += blockSize) {
				const at = start + offset;
				const bytes = chunk.subarray(offset, offset + blockSize);
				report.reached(at);
				if (isZero(bytes)) continue;
				yield { index: at / blockSize, at, bytes };
				checkSignal(watching.signal);
			}
		} finally {
			release();
		}
	}
	report.reached(disk.size);
}

/** The data extents widened to whole units, joined where they touch, and cut into stretches worth a read each. */
export async function* alignedStretches(
	extents: AsyncIterable<Extent>,
	unit: number,
	step: number,
): AsyncGenerator<{ readonly at: number; readonly length: number }> {
	let start = 0;
	let end = 0;
	for await (const { at, length, kind } of extents) {
		if (kind === "zero") continue;
		const first = Math.floor(at / unit) * unit;
		if (first > end) {
			if (end > start) yield { at: start, length: end - start };
			start = first;
		}
		end = Math.max(end, Math.ceil((at + length) / unit) * unit);
		for (; end - start >= step; start += step) yield { at: start, length: step };
	}
	if (end > start) yield { at: start, length: end - start };
}

/**
 * Merges neighbouring extents that are alike and drops empty ones, for readers to pass what their tables say through.
 * Data is merged where its bytes follow each other in one file, or are compressed in one file.
 */
export const joined = (extents: AsyncIterable<Extent> | Iterable<Extent>): AsyncGenerator<Extent, void, undefined> =>
	joinedBy(extents, continues);

/** Whether `next` goes on where the first `length` bytes of an extent end. */
function continues({ kind, hole, stored }: Extent, length: number, next: Extent): boolean {
	if (kind !== next.kind || hole !== next.hole) return false;
	if (stored === undefined || next.stored === undefined) return stored === next.stored;
	if (stored.source !== next.stored.source || stored.compressed !== next.stored.compressed) return false;
	return stored.compressed === true || next.stored.at === stored.at + length;
}
