import type { CodecId } from "../bytes/codec/codec.js";
import { type ByteSource, checkRange } from "../bytes/source.js";
import { extentsOver, type OverlayExtent, readBelow } from "./backing.js";
import { cached } from "./cache.js";
import type { Disk } from "./disk.js";
import { FileHoles } from "./file-holes.js";
import { Joiner, joinedBy } from "./joiner.js";
import type { Unit, UnitDecoder } from "./unit-decoder.js";

/** What a format's tables say of a run of its disk, in bytes. */
export type Run = BareRun<"zero"> | BareRun<"absent"> | DataRun | CompressedRun;

/** `absent`: left to the disk below, and zero where there is none. */
interface BareRun<Kind extends "zero" | "absent"> {
	readonly kind: Kind;
	readonly at: number;
	readonly length: number;
}

interface DataRun {
	readonly kind: "data";
	readonly at: number;
	readonly length: number;
	readonly source: ByteSource;
	/** Offset of the run's first byte in `source`. */
	readonly offset: number;
}

/** A run inside of one compressed unit: a cluster, a grain. */
export interface CompressedRun {
	readonly kind: "compressed";
	readonly at: number;
	readonly length: number;
	readonly source: ByteSource;
	/** Offset in `source` of what is kept of the unit. */
	readonly offset: number;
	/** Most bytes that it may have there. */
	readonly stored: number;
	readonly codec: CodecId;
	/**
	 * Where the unit begins on the disk, and how many bytes it decodes to, even where the disk ends before it does. With
	 * `least` it may be fewer, which are filled up with zeros.
	 */
	readonly unit: { readonly at: number; readonly length: number; readonly least?: number };
}

/** A disk that is described by tables. */
export interface Mapping extends Pick<Disk, "name" | "size" | "format" | "sectorSize" | "details" | "snapshots"> {
	/** The runs of `[start, end)`, ascending and without gaps. Neighbours that belong together need not be joined. */
	runs(start: number, end: number): AsyncIterable<Run>;
	/**
	 * The compressed stream in what is kept of a unit, where that is not all of it.
	 *
	 * @param input what lies at the run's `offset`: `stored` bytes, or fewer where the file ends
	 * @throws `damaged`
	 */
	payload?(run: CompressedRun, input: Uint8Array): Uint8Array;
	readonly below?: Disk | undefined;
}

/** Bytes of decoded units that are kept for small reads. */
const DECODED = 4 << 20;
const IN_FLIGHT = 8;

/** The disk that `mapping` describes: reads run side by side, and what lies together in a file is read at once. */
export function mappedDisk(mapping: Mapping): Disk {
	const { name, size, format, sectorSize, below, details, snapshots } = mapping;
	/** Codecs are loaded when something compressed is read, which listing a disk never does. */
	let loading: Promise<UnitDecoder> | undefined;
	const decoder = () => {
		loading ??= import("./unit-decoder.js").then((module) => new module.UnitDecoder(mapping));
		return loading;
	};
	let unitCache: ((at: number) => Promise<Uint8Array>) | undefined;
	/** For reads of a part of a unit: whoever reads one sector soon wants the next. */
	const unitAt = (run: CompressedRun) => {
		unitCache ??= cached(Math.max(2, Math.floor(DECODED / run.unit.length)), async (at) => {
			for await (const found of mapping.runs(at, at + 1)) {
				if (found.kind === "compressed") return (await decoder()).decode(found);
			}
			throw new RangeError(`no compressed unit at ${at}`);
		});
		return unitCache(run.unit.at);
	};

	return {
		name,
		size,
		format,
		sectorSize,
		...(details && { details }),
		...(snapshots && { snapshots }),
		async read(at, into) {
			checkRange({ name, size }, at, into.length);
			const work: (() => Promise<void>)[] = [];
			const whole: Unit[] = [];
			const take = (run: Run | undefined) => {
				if (run === undefined) return;
				const part = into.subarray(run.at - at, run.at - at + run.length);
				if (run.kind === "data") work.push(() => run.source.read(run.offset, part));
				else if (run.kind === "zero") part.fill(0);
				else if (run.kind === "absent") work.push(() => readBelow(below, run.at, part));
				else if (run.length === run.unit.length) whole.push({ run, into: part });
				else {
					const within = run.at - run.unit.at;
					work.push(async () => part.set((await unitAt(run)).subarray(within, within + run.length)));
				}
			};
			const joiner = new Joiner(continues);
			for await (const run of mapping.runs(at, at + into.length)) take(joiner.add(run));
			take(joiner.end());
			if (whole.length > 0) {
				const all = await decoder();
				for (const units of all.together(whole)) work.push(() => all.decodeAll(units));
			}
			await sideBySide(work);
		},
		extents: () => extentsOver(ownExtents(mapping), below),
	};
}

/** Runs up to {@link IN_FLIGHT} at a time; after a failure starts no others, and waits for those under way. */
async function sideBySide(work: readonly (() => Promise<void>)[]): Promise<void> {
	const [first] = work;
	if (first !== undefined && work.length === 1) return first();
	let next = 0;
	const worker = async () => {
		for (let task = work[next++]; task !== undefined; task = work[next++]) {
			try {
				await task();
			} catch (error) {
				next = work.length;
				throw error;
			}
		}
	};
	const results = await Promise.allSettled(Array.from({ length: Math.min(IN_FLIGHT, work.length) }, worker));
	for (const result of results) if (result.status === "rejected") throw result.reason;
}

async function* ownExtents(mapping: Mapping): AsyncGenerator<OverlayExtent> {
	const files = new Map<ByteSource, Promise<FileHoles | undefined>>();
	const holesOf = (source: ByteSource) => {
		const known = files.get(source) ?? FileHoles.of(source);
		files.set(source, known);
		return known;
	};
	for await (const run of joinedBy(mapping.runs(0, mapping.size), goesOnAsExtent)) {
		const { at, length } = run;
		if (run.kind === "zero" || run.kind === "absent") {
			yield { at, length, kind: run.kind };
			continue;
		}
		const { source, offset } = run;
		if (run.kind === "compressed") {
			yield { at, length, kind: "data", stored: { source, at: offset, compressed: true } };
			continue;
		}
		const holes = await holesOf(source);
		// What a format has allocated and nobody has written to, the file system still knows as zero.
		for (const piece of holes?.cut(offset, length) ?? [{ at: offset, length, hole: false }]) {
			const extent = { at: at + piece.at - offset, length: piece.length };
			yield piece.hole ? { ...extent, kind: "zero" } : { ...extent, kind: "data", stored: { source, at: piece.at } };
		}
	}
}

/** As {@link continues}; and of compressed units an extent says only in which file they are. */
const goesOnAsExtent = (run: Run, length: number, next: Run) =>
	run.kind === "compressed" ? next.kind === "compressed" && next.source === run.source : continues(run, length, next);

/** Whether `next` goes on where the first `length` bytes of `run` end; compressed units stay by themselves. */
export function continues(run: Run, length: number, next: Run): boolean {
	if (run.kind === "compressed" || next.kind === "compressed") return false;
	if (run.kind !== "data" || next.kind !== "data") return run.kind === next.kind;
	return next.source === run.source && next.offset === run.offset + length;
}
