import { type Bulk, bulkCodec, FAILED } from "../bytes/codec/bulk.js";
import { codec } from "../bytes/codec/index.js";
import { inOrder } from "../bytes/in-order.js";
import { Buffers } from "./buffers.js";
import type { Disk } from "./disk.js";
import { type Block, CHUNK, type Chunk, ChunkReader, checkSignal, Reporter, type Watching } from "./sparse.js";
import { isZero } from "./zero.js";

/** A unit of a disk that is not zero. Both arrays are only valid until the next unit is asked for. */
export interface EncodedUnit {
	readonly index: number;
	readonly bytes: Uint8Array;
	/** The unit compressed; it may well be longer. */
	readonly packed: Uint8Array;
}

/** What compresses units. */
export interface Encoding {
	readonly codec: "deflate" | "zlib" | "zstd";
	/** The codec's own default where undefined. */
	readonly level: number | undefined;
}

/** Chunks whose units are being encoded: each thread has the next one waiting. */
const ENCODES_IN_FLIGHT = 5;

/**
 * The units of `disk` that are not zero, ascending, compressed on all processors. Reports progress and honours the
 * signal.
 *
 * @param unit in bytes
 */
export async function* encodedUnits(
	disk: Disk,
	unit: number,
	encoding: Encoding,
	watching: Watching,
): AsyncGenerator<EncodedUnit, void, undefined> {
	const report = new Reporter(watching);
	const encoder = new UnitEncoder(unit, encoding, await bulkCodec(encoding.codec));
	const chunks = new ChunkReader(disk, unit).chunks(unit, watching.signal);
	for await (const { chunk, units, release } of inOrder(chunks, ENCODES_IN_FLIGHT, (chunk) => encoder.encode(chunk))) {
		try {
			yield* units;
		} finally {
			release();
		}
		checkSignal(watching.signal);
		report.reached(Math.min(disk.size, chunk.at + chunk.bytes.length));
	}
	report.reached(disk.size);
}

interface EncodedChunk {
	readonly chunk: Chunk;
	readonly units: readonly EncodedUnit[];
	readonly release: () => void;
}

class UnitEncoder {
	readonly #unit: number;
	/** Bytes that any unit fits in, whatever becomes of it. */
	readonly #room: number;
	readonly #codec: ReturnType<typeof codec<Encoding["codec"]>>;
	readonly #level: number | undefined;
	readonly #bulk: Bulk | undefined;
	readonly #outputs: Buffers;

	constructor(unit: number, { codec: id, level }: Encoding, bulk: Bulk | undefined) {
		this.#unit = unit;
		this.#room = unit + Math.ceil(unit / 128) + 256;
		this.#codec = codec(id);
		this.#level = level;
		this.#bulk = bulk;
		// One for each chunk under way, and for the one that is being looked at.
		this.#outputs = new Buffers(ENCODES_IN_FLIGHT + 1, this.#room * Math.ceil(CHUNK / unit));
	}

	async encode(chunk: Chunk): Promise<EncodedChunk> {
		const units: Block[] = [];
		for (let offset = 0; offset < chunk.bytes.length; offset += this.#unit) {
			const bytes = chunk.bytes.subarray(offset, offset + this.#unit);
			const at = chunk.at + offset;
			if (!isZero(bytes)) units.push({ index: at / this.#unit, at, bytes });
		}
		if (units.length === 0) return { chunk, units: [], release: chunk.release };
		const output = await this.#outputs.take();
		const release = () => {
			this.#outputs.give(output);
			chunk.release();
		};
		try {
			const tasks = units.map(({ bytes }, i) => ({
				input: bytes,
				output: output.subarray(i * this.#room, (i + 1) * this.#room),
			}));
			const lengths = await this.#bulk?.encode(tasks, this.#level);
			const encoded = tasks.map(async (task, i) => {
				const length = lengths?.[i] ?? FAILED;
				return length === FAILED ? this.#codec.encode(task.input, this.#level) : task.output.subarray(0, length);
			});
			const packed = await Promise.all(encoded);
			const all = units.map(({ index, bytes }, i) => ({ index, bytes, packed: packed[i] ?? bytes }));
			return { chunk, units: all, release };
		} catch (error) {
			release();
			throw error;
		}
	}
}
