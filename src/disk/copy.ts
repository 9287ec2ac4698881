import { inOrder } from "../bytes/in-order.js";
import type { ByteSink } from "../bytes/sink.js";
import { part } from "./backing.js";
import type { Disk, Extent, Stored, WriteOptions } from "./disk.js";
import { alignedStretches, type Chunk, ChunkReader, checkSignal, joined, Reporter } from "./sparse.js";
import { WriteQueue } from "./write-behind.js";
import { isZero } from "./zero.js";

/** How a format takes in a disk's data. */
export interface Placing {
	/** What the format allocates at once: bytes of a cluster, a grain, a block. */
	readonly unit: number;
	/**
	 * Gives unit `index` its place: the offset in the file where its first byte goes. Asked once for each unit that has
	 * data, in ascending order.
	 */
	place(index: number): number | Promise<number>;
}

/** The unit of what takes the bytes as they are: all of them are one. */
export const ONE_UNIT = Number.MAX_SAFE_INTEGER;

/** What is looked at for zeros, which stay holes of the file. */
const PIECE = 64 * 1024;
/** File systems share whole blocks; where theirs are larger, they say so by refusing. */
const SHARED_BLOCK = 4096;
/** Bytes of a stretch with holes in it: were it refused, it would have to be read with them. */
const BRIDGED = 1 << 30;
/** Two threads that decode have something to do then while this one writes. */
const ITEMS_IN_FLIGHT = 6;

/** A stretch of the disk and how it is to be taken in. */
interface Item {
	readonly at: number;
	readonly length: number;
	/** Bytes of it that are holes of the file. */
	readonly holes?: number;
	/** Where it lies, when it may be shared instead of copied. */
	readonly shared?: Stored;
}

/**
 * Copies what `disk` holds to the places that the format gives. Where the sink can share blocks with the disk's own
 * files, it does, and nothing is read; elsewhere zeros are looked for, and stay holes of the file. Reports progress and
 * honours the signal on the writer's behalf.
 */
export async function copyUnits(disk: Disk, sink: ByteSink, placing: Placing, options: WriteOptions): Promise<void> {
	const copy = new Copy(disk, sink, placing);
	const report = new Reporter(options);
	try {
		const read = async (item: Item) => {
			checkSignal(options.signal);
			return { item, chunk: item.shared === undefined ? await copy.reader.read(item.at, item.length) : undefined };
		};
		for await (const { item, chunk } of inOrder(copy.items(), ITEMS_IN_FLIGHT, read)) {
			if (chunk !== undefined) await copy.put(chunk);
			else await copy.share(item);
			report.reached(Math.min(disk.size, item.at + item.length));
		}
		await copy.writes.finish();
	} finally {
		await copy.writes.settle();
	}
	checkSignal(options.signal);
	report.reached(disk.size);
}

class Copy {
	readonly reader: ChunkReader;
	readonly writes = new WriteQueue();
	readonly #disk: Disk;
	readonly #sink: ByteSink;
	readonly #placing: Placing;
	readonly #piece: number;
	/** Whether the sink shares blocks: `unknown` until it was asked. */
	#sharing: "unknown" | "works" | "off";
	/** The unit that was asked for last. */
	#unit = -1;
	#unitAt = 0;

	constructor(disk: Disk, sink: ByteSink, placing: Placing) {
		this.#disk = disk;
		this.#sink = sink;
		this.#placing = placing;
		this.#piece = Math.min(PIECE, placing.unit);
		this.reader = new ChunkReader(disk, this.#piece);
		this.#sharing = sink.share === undefined ? "off" : "unknown";
	}

	async *items(): AsyncGenerator<Item> {
		if (this.#sharing === "off") {
			yield* alignedStretches(this.#disk.extents(), this.#piece, this.reader.step);
			return;
		}
		for await (const { holes, ...extent } of this.#bridged(joined(this.#disk.extents()))) {
			const end = extent.at + extent.length;
			for (let at = extent.at; at < end; ) {
				const item = this.#item(part(extent, at, end));
				yield holes > 0 ? { ...item, holes } : item;
				at = item.at + item.length;
			}
		}
	}

	/**
	 * The data, together with the holes of its file between it that the output takes in as well: each call costs, and a
	 * file may have holes by the ten thousand.
	 */
	async *#bridged(extents: AsyncIterable<Extent>): AsyncGenerator<Extent & { readonly holes: number }> {
		let before: { readonly first: Extent; length: number; holes: number } | undefined;
		const together = ({ first, length, holes }: NonNullable<typeof before>) => ({ ...first, length, holes });
		// Whether all zeros since then are holes.
		let holes = true;
		for await (const extent of extents) {
			if (extent.kind === "zero") {
				holes &&= extent.hole === true;
				continue;
			}
			if (before !== undefined && holes && this.#bridges(together(before), extent)) {
				before.holes += extent.at - before.first.at - before.length;
				before.length = extent.at + extent.length - before.first.at;
			} else {
				if (before !== undefined) yield together(before);
				before = { first: extent, length: extent.length, holes: 0 };
			}
			holes = true;
		}
		if (before !== undefined) yield together(before);
	}

	#bridges({ at, length, stored }: Extent, next: Extent): boolean {
		if (this.#sharing !== "works" || stored === undefined || stored.compressed === true) return false;
		if (stored.source !== next.stored?.source || next.stored.at - stored.at !== next.at - at) return false;
		if (next.at + next.length - at > BRIDGED || [at, next.at].some((each) => each % SHARED_BLOCK !== 0)) return false;
		// What lies between belongs to units that have a place.
		const { unit } = this.#placing;
		return Math.floor(next.at / unit) - Math.floor((at + length - 1) / unit) <= 1;
	}

	/** What to begin a data extent with: pieces that must be read are read whole, from before its beginning even. */
	#item({ at, length, stored }: Extent): Item {
		const whole = length - (length % SHARED_BLOCK);
		if (
			this.#sharing !== "off" &&
			whole > 0 &&
			at % SHARED_BLOCK === 0 &&
			stored !== undefined &&
			stored.compressed !== true &&
			stored.at % SHARED_BLOCK === 0
		) {
			// Until it is known to work, in stretches that can as well be copied.
			return { at, length: this.#sharing === "works" ? whole : Math.min(whole, this.reader.step), shared: stored };
		}
		const start = at - (at % this.#piece);
		const pieces = Math.ceil((at + length - start) / this.#piece) * this.#piece;
		return { at: start, length: Math.min(this.reader.step, pieces) };
	}

	/** Writes what is not zero of a chunk, what lies together in one go, and releases the chunk afterwards. */
	async put(chunk: Chunk, targetOf = (at: number) => this.#target(at)): Promise<void> {
		this.writes.check();
		const { at, bytes } = chunk;
		const inside = Math.min(bytes.length, this.#disk.size - at);
		const writes: { readonly at: number; readonly bytes: Uint8Array }[] = [];
		let from = 0;
		let to = 0;
		let target = 0;
		const flush = () => {
			if (to > from) writes.push({ at: target, bytes: bytes.subarray(from, to) });
		};
		for (let offset = 0; offset < inside; offset += this.#piece) {
			const end = Math.min(inside, offset + this.#piece);
			if (isZero(bytes.subarray(offset, end))) continue;
			const placed = targetOf(at + offset);
			const place = typeof placed === "number" ? placed : await placed;
			if (to !== offset || place !== target + offset - from) {
				flush();
				from = offset;
				target = place;
			}
			to = end;
		}
		flush();
		this.writes.add(async () => {
			for (const write of writes) await this.#sink.write(write.at, write.bytes);
		}, chunk.release);
	}

	/** Shares a stretch, in as few calls as its places allow; copies it where that is refused. */
	async share({ at, length, holes = 0, shared }: Item): Promise<void> {
		if (shared === undefined) return;
		const end = at + length;
		// Counted with the first part, which may be all of it.
		let empty = holes;
		for (let from = at; from < end; ) {
			const target = await this.#target(from);
			let to = Math.min(end, this.#unitEnd(from));
			while (to < end) {
				// By the hundred thousand, and hardly one of them has to wait.
				const placed = this.#target(to);
				if ((typeof placed === "number" ? placed : await placed) !== target + to - from) break;
				to = Math.min(end, this.#unitEnd(to));
			}
			const stored = { ...shared, at: shared.at + from - at };
			const works =
				this.#sharing !== "off" && (await this.#share(target, stored, to - from, Math.min(empty, to - from)));
			if (!works) await this.#copy(from, to, target);
			empty = Math.max(0, empty - (to - from));
			from = to;
		}
	}

	async #share(target: number, { source, at }: Stored, length: number, holes: number): Promise<boolean> {
		const works = (await this.#sink.share?.(target, source, at, length, holes)) === true;
		if (this.#sharing === "unknown") this.#sharing = works ? "works" : "off";
		return works;
	}

	/** Copies `[from, end)`, which has its place already. */
	async #copy(from: number, end: number, target: number): Promise<void> {
		for (let at = from; at < end; at += this.reader.step) {
			await this.put(await this.reader.read(at, Math.min(this.reader.step, end - at)), (byte) => target + byte - from);
		}
	}

	#unitEnd(at: number): number {
		return at - (at % this.#placing.unit) + this.#placing.unit;
	}

	/** Where byte `at` of the disk goes, in ascending order; the last unit may be asked for again. */
	#target(at: number): number | Promise<number> {
		const index = Math.floor(at / this.#placing.unit);
		const within = at - index * this.#placing.unit;
		if (index !== this.#unit) {
			const place = this.#placing.place(index);
			if (typeof place !== "number") return place.then((at) => this.#placed(index, at) + within);
			this.#placed(index, place);
		}
		return this.#unitAt + within;
	}

	#placed(unit: number, at: number): number {
		this.#unit = unit;
		this.#unitAt = at;
		return at;
	}
}
