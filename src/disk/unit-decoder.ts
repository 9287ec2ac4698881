import { type Bulk, bulkCodec, FAILED } from "../bytes/codec/bulk.js";
import type { CodecId } from "../bytes/codec/codec.js";
import { codec } from "../bytes/codec/index.js";
import { damaged } from "../bytes/errors.js";
import { isShared, sharedBytes } from "../bytes/shared.js";
import { checkRange } from "../bytes/source.js";
import { Buffers } from "./buffers.js";
import type { CompressedRun, Mapping } from "./mapped.js";

/** A compressed unit that is wanted as a whole, and where. */
export interface Unit {
	readonly run: CompressedRun;
	readonly into: Uint8Array;
}

/** Compressed units that lie together in the file are read together, up to this many bytes. */
const TOGETHER = 1 << 20;
const BUFFERS = 8;
/** Only who reads more than this is worth the start of threads. */
const A_LOT = 4 << 20;

/** Decodes the compressed units of one disk. */
export class UnitDecoder {
	readonly #payload: NonNullable<Mapping["payload"]>;
	readonly #buffers = new Buffers(BUFFERS, TOGETHER);
	readonly #bulk = new Map<CodecId, Promise<Bulk | undefined>>();
	/** Bytes, so far. */
	#decoded = 0;

	constructor(mapping: Mapping) {
		this.#payload = (run, input) => mapping.payload?.(run, input) ?? input;
	}

	async decode(run: CompressedRun): Promise<Uint8Array> {
		const unit = sharedBytes(run.unit.length);
		await this.decodeAll([{ run, into: unit }]);
		return unit;
	}

	/** Cuts units into groups whose places in the file follow each other. */
	*together(units: readonly Unit[]): Generator<readonly Unit[]> {
		let group: Unit[] = [];
		let end = 0;
		for (const unit of units) {
			const { source, offset, stored } = unit.run;
			const first = group[0]?.run;
			const fits =
				first !== undefined &&
				source === first.source &&
				offset >= first.offset &&
				offset <= end &&
				offset + stored - first.offset <= TOGETHER;
			if (!fits && first !== undefined) {
				yield group;
				group = [];
			}
			end = Math.max(fits ? end : 0, offset + stored);
			group.push(unit);
		}
		if (group.length > 0) yield group;
	}

	/** @param units that lie {@link together} in their file */
	async decodeAll(units: readonly Unit[]): Promise<void> {
		const [first] = units;
		if (first === undefined) return;
		const { source, offset } = first.run;
		checkRange(source, offset, 1);
		const end = Math.max(...units.map(({ run }) => run.offset + run.stored));
		const length = Math.min(end, source.size) - offset;
		const buffer = length <= TOGETHER ? await this.#buffers.take() : sharedBytes(length);
		try {
			await source.read(offset, buffer.subarray(0, length));
			const tasks = units.map(({ run, into }): Task => {
				const from = run.offset - offset;
				const input = this.#payload(run, buffer.subarray(from, Math.min(length, from + run.stored)));
				return { run, input, output: into };
			});
			const bulk = await this.#bulkFor(first);
			const lengths = await bulk?.decode(tasks);
			// A MiB has 16 units or more: only what threads have not done gets a promise of its own.
			const alone: Task[] = [];
			for (const [i, task] of tasks.entries()) {
				const made = lengths?.[i] ?? FAILED;
				if (made === FAILED) alone.push(task);
				else finish(task, made);
			}
			await Promise.all(alone.map((task) => decodeAlone(task, offset + task.input.byteOffset - buffer.byteOffset)));
		} finally {
			if (length <= TOGETHER) this.#buffers.give(buffer);
		}
	}

	/** Threads for the codec of `unit`, once enough has been decoded to make them worth their start. */
	async #bulkFor({ run, into }: Unit): Promise<Bulk | undefined> {
		this.#decoded += into.length;
		if (this.#decoded < A_LOT || !isShared(into)) return undefined;
		const bulk = this.#bulk.get(run.codec) ?? bulkCodec(run.codec);
		this.#bulk.set(run.codec, bulk);
		return bulk;
	}
}

interface Task {
	readonly run: CompressedRun;
	readonly input: Uint8Array;
	readonly output: Uint8Array;
}

/** @param offset of the input in its file */
async function decodeAlone(task: Task, offset: number): Promise<void> {
	const { run, input, output } = task;
	const options = { limit: output.length, into: output, file: run.source.name, offset };
	finish(task, (await codec(run.codec).decode(input, options)).bytes.length);
}

/** @param length bytes of the output that were decoded; the rest is zero */
function finish({ run: { source, offset, unit }, output }: Task, length: number): void {
	if (length < output.length) output.fill(0, length);
	const { least = unit.length } = unit;
	if (length >= least) return;
	throw damaged(`${source.name}: the compressed data at byte ${offset} holds only ${length} of ${least} bytes`, {
		file: source.name,
		offset,
		hint: "Fetch the file again, or look at it with: anyvisor disk check.",
	});
}
