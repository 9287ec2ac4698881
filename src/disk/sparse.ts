import { AnyvisorError } from "../bytes/errors.js";
import type { Disk, Extent, WriteOptions } from "./disk.js";
import { isZero } from "./zero.js";

/** A block of a disk, on its way into another format. */
export interface Block {
	/** `at / blockSize` */
	readonly index: number;
	/** Byte offset on the disk, a multiple of the block size. */
	readonly at: number;
	/**
	 * Exactly one block; past the end of the disk it is zero. Its memory may be shared with the neighbouring blocks, but
	 * is not reused: it may be kept while later blocks are read.
	 */
	readonly bytes: Uint8Array;
}

/** Throws `interrupted` once the caller asked to stop. */
function checkSignal(signal: AbortSignal | undefined): void {
	if (signal?.aborted === true) throw new AnyvisorError("interrupted", "stopped on request");
}

/** How many blocks a writer lets {@link inOrder} compress at a time: enough for every core, a few MiB of memory. */
export const ENCODES_IN_FLIGHT = 8;

const CHUNK = 1024 * 1024;
const READS_IN_FLIGHT = 2;

/**
 * The blocks of `disk` that are not zero, ascending, each once. Reads ahead, asks the disk for nothing but its data
 * extents, and reports progress (zeros included) and honours the signal on the writer's behalf.
 *
 * @param blockSize in bytes, a multiple of the disk's sector size.
 */
export async function* dataBlocks(
	disk: Disk,
	blockSize: number,
	{ onProgress, signal }: Pick<WriteOptions, "onProgress" | "signal"> = {},
): AsyncGenerator<Block, void, undefined> {
	let reported = 0;
	const report = (upTo: number) => {
		if (upTo > reported) onProgress?.(upTo - reported);
		reported = Math.max(reported, upTo);
	};
	const chunks = inOrder(alignedChunks(disk, blockSize), READS_IN_FLIGHT, async ({ at, length }) => {
		checkSignal(signal);
		const bytes = new Uint8Array(length);
		await disk.read(at, bytes.subarray(0, Math.min(length, disk.size - at)));
		return { at, bytes };
	});
	for await (const chunk of chunks) {
		for (let offset = 0; offset < chunk.bytes.length; offset += blockSize) {
			const at = chunk.at + offset;
			const bytes = chunk.bytes.subarray(offset, offset + blockSize);
			report(at);
			if (isZero(bytes)) continue;
			yield { index: at / blockSize, at, bytes };
			checkSignal(signal);
		}
	}
	report(disk.size);
}

/** The data extents widened to whole blocks, joined where they touch, and cut into pieces worth a read each. */
async function* alignedChunks(disk: Disk, blockSize: number): AsyncGenerator<{ at: number; length: number }> {
	const step = Math.max(blockSize, CHUNK - (CHUNK % blockSize));
	let done = 0;
	for await (const { at, length, kind } of joined(disk.extents())) {
		if (kind === "zero") continue;
		const end = Math.ceil((at + length) / blockSize) * blockSize;
		let start = Math.max(done, Math.floor(at / blockSize) * blockSize);
		while (start < end) {
			const piece = Math.min(step, end - start);
			yield { at: start, length: piece };
			start += piece;
		}
		done = Math.max(done, end);
	}
}

/**
 * Maps `items` with up to `concurrency` calls of `work` under way, and yields the results in the items' order. Stops
 * taking items at the first failure; waits for what is under way before it ends, so that nothing runs on afterwards.
 */
export async function* inOrder<T, R>(
	items: AsyncIterable<T> | Iterable<T>,
	concurrency: number,
	work: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
	const underWay: Promise<R>[] = [];
	async function* next() {
		const first = underWay.shift();
		if (first !== undefined) yield await first;
	}
	try {
		for await (const item of items) {
			const result = work(item);
			// A later result may fail while an earlier one is still awaited; its own turn reports it.
			result.catch(() => {});
			underWay.push(result);
			if (underWay.length >= concurrency) yield* next();
		}
		while (underWay.length > 0) yield* next();
	} finally {
		await Promise.allSettled(underWay);
	}
}

/**
 * Merges neighbouring extents that are alike and drops empty ones, for readers to pass what their tables say through.
 * Data is merged where its bytes follow each other in one file, or are compressed in one file.
 */
export async function* joined(
	extents: AsyncIterable<Extent> | Iterable<Extent>,
): AsyncGenerator<Extent, void, undefined> {
	let pending: Extent | undefined;
	for await (const extent of extents) {
		if (extent.length === 0) continue;
		if (pending !== undefined && continues(pending, extent)) {
			pending = { ...pending, length: pending.length + extent.length };
			continue;
		}
		if (pending !== undefined) yield pending;
		pending = extent;
	}
	if (pending !== undefined) yield pending;
}

function continues({ kind, stored, length }: Extent, next: Extent): boolean {
	if (kind !== next.kind) return false;
	if (stored === undefined || next.stored === undefined) return stored === next.stored;
	if (stored.source !== next.stored.source || stored.compressed !== next.stored.compressed) return false;
	return stored.compressed === true || next.stored.at === stored.at + length;
}
