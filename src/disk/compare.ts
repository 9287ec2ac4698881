import { inOrder } from "../bytes/in-order.js";
import type { Disk } from "./disk.js";
import { firstDifference } from "./first-difference.js";
import { ChunkReader, checkSignal, Reporter, type Watching } from "./sparse.js";
import { isZero } from "./zero.js";

export interface CompareOptions extends Watching {
	/** Disks of different sizes differ even where the rest of the larger one is zero. */
	readonly strict?: boolean | undefined;
}

export interface Comparison {
	readonly identical: boolean;
	readonly sameSize: boolean;
	/** The first byte that differs, or the end of the smaller disk where only its size does. */
	readonly firstDifference?: number;
	/** Bytes of the disks that had to be read, from either or both. */
	readonly compared: number;
}

const PIECE = 1024 * 1024;
const PIECES_IN_FLIGHT = 6;

/**
 * Whether two disks of any formats hold the same bytes; beyond its end, a disk counts as zero. Only what is data in
 * either of them is read, several pieces at a time.
 */
export async function compareDisks(first: Disk, second: Disk, options: CompareOptions = {}): Promise<Comparison> {
	const sameSize = first.size === second.size;
	const smaller = Math.min(first.size, second.size);
	if (options.strict === true && !sameSize)
		return { identical: false, sameSize, firstDifference: smaller, compared: 0 };

	let compared = 0;
	const report = new Reporter(options);
	const results = inOrder(pieces(first, second), PIECES_IN_FLIGHT, async (piece) => {
		checkSignal(options.signal);
		return { piece, difference: await differenceIn(piece) };
	});
	for await (const { piece, difference } of results) {
		compared += piece.length;
		if (difference >= 0) return { identical: false, sameSize, firstDifference: piece.at + difference, compared };
		report.reached(piece.at + piece.length);
	}
	report.reached(Math.max(first.size, second.size));
	return { identical: true, sameSize, compared };
}

/** A range that is data on one of the disks or both, and zero on the other. */
interface Piece {
	readonly at: number;
	readonly length: number;
	/** Of those on which it is data. */
	readonly readers: readonly ChunkReader[];
}

async function* pieces(first: Disk, second: Disk): AsyncGenerator<Piece> {
	await using one = new Cursor(first);
	await using other = new Cursor(second);
	const readers = [new ChunkReader(first, PIECE), new ChunkReader(second, PIECE)];
	const size = Math.max(first.size, second.size);
	for (let at = 0; at < size; ) {
		const [a, b] = [await one.runAt(at), await other.runAt(at)];
		const end = Math.min(a.end, b.end, size);
		const where = readers.filter((_, i) => (i === 0 ? a : b).data);
		if (where.length === 0) at = end;
		for (; at < end; at += PIECE) yield { at, length: Math.min(PIECE, end - at), readers: where };
		at = end;
	}
}

/** Walks a disk's extents forwards; behind the disk's end there are zeros. */
class Cursor {
	readonly #extents: AsyncIterator<{ at: number; length: number; kind: string }>;
	#run = { end: 0, data: false };

	constructor(disk: Disk) {
		this.#extents = disk.extents()[Symbol.asyncIterator]();
	}

	async runAt(at: number): Promise<{ readonly end: number; readonly data: boolean }> {
		while (at >= this.#run.end) {
			const next = await this.#extents.next();
			this.#run =
				next.done === true
					? { end: Number.POSITIVE_INFINITY, data: false }
					: { end: next.value.at + next.value.length, data: next.value.kind === "data" };
		}
		return this.#run;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#extents.return?.();
	}
}

/** Where in the piece its disks first differ; -1 where they do not. */
async function differenceIn({ at, length, readers }: Piece): Promise<number> {
	const reads = await Promise.allSettled(readers.map((reader) => reader.read(at, length)));
	const chunks = reads.flatMap((read) => (read.status === "fulfilled" ? [read.value] : []));
	try {
		for (const read of reads) if (read.status === "rejected") throw read.reason;
		const [one, other] = chunks.map(({ bytes }) => bytes);
		if (one === undefined) return -1;
		if (other !== undefined) return firstDifference(one, other);
		return isZero(one) ? -1 : one.findIndex((byte) => byte !== 0);
	} finally {
		for (const { release } of chunks) release();
	}
}
