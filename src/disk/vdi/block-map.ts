import { type AnyvisorError, damaged } from "../../bytes/errors.js";
import { type ByteSource, readBytes } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { cached } from "../cache.js";
import type { Run } from "../mapped.js";
import { pagedRuns } from "../paged-runs.js";
import type { VdiHeader } from "./header.js";
import { BLOCK_FREE, BLOCK_ZERO, ENTRY_SIZE } from "./layout.js";

/** Entries that are read together. */
const PAGE = 16 * 1024;
/** Pages that one open disk keeps: 4 MiB, the map of a terabyte. */
const PAGES_CACHED = 64;

/** The table that says where each block lies. */
export class BlockMap {
	readonly #source: ByteSource;
	readonly #header: VdiHeader;
	readonly #page: (index: number) => Promise<DataView>;

	constructor(source: ByteSource, header: VdiHeader) {
		this.#source = source;
		this.#header = header;
		this.#page = cached(PAGES_CACHED, (index) => this.#readPage(index));
	}

	async #readPage(index: number): Promise<DataView> {
		const { mapAt, blocks } = this.#header;
		const first = index * PAGE;
		const length = Math.min(PAGE, blocks - first) * ENTRY_SIZE;
		return viewOf(await readBytes(this.#source, mapAt + first * ENTRY_SIZE, length));
	}

	runs(start: number, end: number): AsyncGenerator<Run> {
		return pagedRuns(start, end, {
			source: this.#source,
			span: PAGE * this.#header.blockSize,
			page: this.#page,
			run: (page, at, stop) => this.#run(page, at, stop),
		});
	}

	#run(page: DataView, at: number, end: number): Run {
		const { blockSize } = this.#header;
		const first = Math.floor(at / blockSize) % PAGE;
		const entry = page.getUint32(first * ENTRY_SIZE, true);
		const start = at - (at % blockSize);
		if (entry < BLOCK_ZERO) return this.#data(entry, at, Math.min(start + blockSize, end) - at);
		// Most of a large map says the same: nobody wants to hear it once for each block.
		const last = first + Math.ceil((end - start) / blockSize);
		let next = first + 1;
		while (next < last && page.getUint32(next * ENTRY_SIZE, true) === entry) next++;
		const stop = Math.min(end, start + (next - first) * blockSize);
		return { kind: entry === BLOCK_FREE ? "absent" : "zero", at, length: stop - at };
	}

	#data(entry: number, at: number, length: number): Run {
		const { blockSize } = this.#header;
		const offset = this.#placeOf(entry) + (at % blockSize);
		if (offset + length > this.#source.size) throw this.#beyondEnd(Math.floor(at / blockSize), entry);
		return { kind: "data", at, length, source: this.#source, offset };
	}

	/** Offset in the file of the data of the block that an entry names. */
	#placeOf(entry: number): number {
		const { dataAt, blockSize, blockExtra } = this.#header;
		return dataAt + entry * (blockExtra + blockSize) + blockExtra;
	}

	#beyondEnd(block: number, entry: number): AnyvisorError {
		const { name } = this.#source;
		return damaged(`${name}: block ${block} is said to lie at ${this.#placeOf(entry)}, beyond the end of the file`, {
			file: name,
			offset: this.#header.mapAt + block * ENTRY_SIZE,
			hint: "The file was cut off or its block map is damaged: fetch it again.",
		});
	}

	/**
	 * The entries that stand for a block of the data area, in the map's order.
	 *
	 * @returns with the error that reading the block would end in, where it would
	 */
	async *allocated(): AsyncGenerator<{ readonly entry: number; readonly damage: AnyvisorError | undefined }> {
		const { blocks, blockSize, size } = this.#header;
		for (let first = 0; first < blocks; first += PAGE) {
			const page = await this.#page(first / PAGE);
			for (let i = 0; i < page.byteLength / ENTRY_SIZE; i++) {
				const entry = page.getUint32(i * ENTRY_SIZE, true);
				if (entry >= BLOCK_ZERO) continue;
				const block = first + i;
				const length = Math.max(0, Math.min(blockSize, size - block * blockSize));
				const inside = this.#placeOf(entry) + length <= this.#source.size;
				yield { entry, damage: inside ? undefined : this.#beyondEnd(block, entry) };
			}
		}
	}
}
