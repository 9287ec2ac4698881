import { AnyvisorError } from "../bytes/errors.js";
import { inOrder } from "../bytes/in-order.js";
import { type ByteSource, checkRange } from "../bytes/source.js";
import { TakenRanges } from "./check-overlaps.js";
import type { Disk, Extent, Finding, Neighbours, Stored } from "./disk.js";
import { diskFormat, type OpenDiskOptions, openDisk, recognise } from "./registry.js";
import { ChunkReader, checkSignal, Reporter, type Watching } from "./sparse.js";

export interface CheckOptions extends OpenDiskOptions, Watching {
	readonly neighbours: Neighbours;
	/** Reads, and so decompresses, all data as well. */
	readonly read?: boolean | undefined;
	/** Called with each finding as it is made. */
	readonly onFinding: (finding: Finding) => void;
	/** Called before the data of a disk of `size` bytes is read; `onProgress` then counts up to it. */
	readonly onReading?: ((size: number) => void) | undefined;
}

/** What a check went through, in bytes of the virtual disk where nothing else is said. */
export interface CheckSummary {
	/** As {@link Disk.format} has it. */
	readonly format: string;
	/** Of the virtual disk; null, like what depends on it, where the image is too damaged to be opened. */
	readonly size: number | null;
	/** What is kept in files, compressed or not. */
	readonly data: number;
	readonly compressed: number;
	/** How many runs the data lies in, each of them in one piece; compressed data counts once for each stretch of it. */
	readonly runs: number;
	readonly findings: Readonly<Record<Finding["severity"], number>>;
}

const PIECE = 1024 * 1024;
const PIECES_IN_FLIGHT = 8;

/**
 * Looks for what is wrong with an image: whether it opens, whether its data overlaps or leaves its file, what the
 * format's own check finds and, if asked for, whether all of its data can be read.
 *
 * @throws what keeps it from being checked: `unsupported`, `refused`, `not-found` and the like. Damage is a finding.
 */
export async function checkImage(source: ByteSource, options: CheckOptions): Promise<CheckSummary> {
	const { signal } = options;
	const count = { error: 0, leak: 0, warning: 0 };
	const told = new Set<string>();
	const tell = (finding: Finding) => {
		// Opening, reading and the format's own check may all meet the same damage.
		const words = `${finding.offset} ${finding.message}`;
		if (told.has(words)) return;
		if (told.size < MOST_REMEMBERED) told.add(words);
		count[finding.severity]++;
		options.onFinding(finding);
	};

	const format = options.format === undefined ? await recognise(source) : diskFormat(options.format);
	let walked: Omit<CheckSummary, "findings"> = { format: format.id, size: null, data: 0, compressed: 0, runs: 0 };
	await damageIsFound(tell, source, async () => {
		const disk = await openDisk(format.id === "raw" ? source : withoutHoles(source), { ...options, format: format.id });
		try {
			walked = await checkExtents(disk, tell, signal);
			if (options.read !== true) return;
			options.onReading?.(disk.size);
			await readEverything(disk, tell, options);
		} finally {
			await disk[Symbol.asyncDispose]?.();
		}
	});
	const own = format.check?.(source, options.neighbours);
	if (own !== undefined) {
		await damageIsFound(tell, source, async () => {
			for await (const finding of own) {
				checkSignal(signal);
				tell(finding);
			}
		});
	}
	return { ...walked, findings: count };
}

/** What an image has allocated counts, and must not overlap, whether or not its file has a hole there. */
const withoutHoles = (source: ByteSource): ByteSource => ({
	name: source.name,
	size: source.size,
	read: (at, into) => source.read(at, into),
});

/** Different findings that are remembered in order not to repeat them. */
const MOST_REMEMBERED = 10_000;

type Tell = (finding: Finding) => void;

async function damageIsFound(tell: Tell, source: ByteSource, work: () => Promise<void>): Promise<void> {
	try {
		await work();
	} catch (error) {
		const finding = damageOf(error, source);
		if (finding === undefined) throw error;
		tell(finding);
	}
}

function damageOf(error: unknown, source: ByteSource): Finding | undefined {
	if (!(error instanceof AnyvisorError) || (error.kind !== "damaged" && error.kind !== "io")) return undefined;
	const { message, file = source.name, offset } = error;
	return { severity: "error", message, file, ...(offset !== undefined && { offset }) };
}

async function checkExtents(
	disk: Disk,
	tell: Tell,
	signal: AbortSignal | undefined,
): Promise<Omit<CheckSummary, "findings">> {
	const { format, size } = disk;
	let [data, compressed, runs] = [0, 0, 0];
	const files = new Map<ByteSource, TakenRanges>();
	const tellOverlaps = (file: ByteSource, ranges: ReturnType<TakenRanges["add"]>) => {
		for (const { at, length } of ranges) {
			const message = `${file.name}: ${length} bytes at ${at} are used for more than one place of the disk`;
			tell({ severity: "error", message, file: file.name, offset: at });
		}
	};
	await damageIsFound(tell, disk, async () => {
		for await (const extent of disk.extents()) {
			checkSignal(signal);
			const { length, kind, stored } = extent;
			if (kind === "zero") continue;
			data += length;
			runs++;
			if (stored === undefined) continue;
			if (stored.compressed === true) {
				compressed += length;
				continue;
			}
			await checkInside(disk, extent, stored, tell);
			const taken = files.get(stored.source) ?? new TakenRanges();
			files.set(stored.source, taken);
			tellOverlaps(stored.source, taken.add({ at: stored.at, length }));
		}
	});
	for (const [file, taken] of files) {
		tellOverlaps(file, taken.settle());
		if (taken.complete) continue;
		const message = `${file.name}: its data is in so many pieces that not all of them were compared with each other`;
		tell({ severity: "warning", message, file: file.name });
	}
	return { format, size, data, compressed, runs };
}

/** An extent may leave its file where the format says what is missing there; only reading tells. */
async function checkInside(disk: Disk, extent: Extent, { source, at }: Stored, tell: Tell): Promise<void> {
	if (at + extent.length <= source.size) return;
	const last = new Uint8Array(Math.min(disk.sectorSize, extent.length));
	try {
		await disk.read(extent.at + extent.length - last.length, last);
	} catch {
		try {
			checkRange(source, at, extent.length);
		} catch (error) {
			const finding = damageOf(error, source);
			if (finding !== undefined) tell(finding);
		}
	}
}

/** Each piece that cannot be read is a finding, and so are the others. */
async function readEverything(disk: Disk, tell: Tell, watching: Watching): Promise<void> {
	const report = new Reporter(watching);
	const reader = new ChunkReader(disk, PIECE);
	const results = inOrder(dataPieces(disk), PIECES_IN_FLIGHT, async ({ at, length }) => {
		checkSignal(watching.signal);
		try {
			(await reader.read(at, length)).release();
			return { end: at + length, finding: undefined };
		} catch (error) {
			const finding = damageOf(error, disk);
			if (finding === undefined) throw error;
			return { end: at + length, finding };
		}
	});
	for await (const { end, finding } of results) {
		if (finding !== undefined) tell(finding);
		report.reached(end);
	}
	report.reached(disk.size);
}

async function* dataPieces(disk: Disk): AsyncGenerator<{ at: number; length: number }> {
	for await (const { at, length, kind } of disk.extents()) {
		if (kind === "zero") continue;
		for (let done = 0; done < length; done += PIECE) {
			yield { at: at + done, length: Math.min(PIECE, length - done) };
		}
	}
}
