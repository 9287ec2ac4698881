import { type ByteSource, checkRange } from "../bytes/source.js";

/** Blocks of a file that lie one after the other, or that are not there and read as zero. */
export interface Run {
	/** Where the first one is on the volume, in bytes; `undefined` for a hole. */
	readonly at: number | undefined;
	/** Number of blocks, at least 1. */
	readonly count: number;
}

/** Finds the run that begins at block `logical` of a file; it may be shorter than `most` although the next one adjoins. */
export type BlockMap = (logical: number, most: number) => Run | Promise<Run>;

export interface Extent {
	/** Logical blocks, the end excluded. */
	readonly from: number;
	readonly to: number;
	/** Where it is on the volume, in bytes; `undefined` where it reads as zero. */
	readonly at: number | undefined;
}

/** Extents in order, and the logical blocks that they answer for. */
export interface ExtentList {
	readonly from: number;
	readonly to: number;
	readonly extents: readonly Extent[];
}

/** As a {@link BlockMap} answers; what lies between extents is a hole. */
export function findRun({ extents, to }: ExtentList, blockSize: number, logical: number, most: number): Run {
	let low = 0;
	for (let high = extents.length; low < high; ) {
		const middle = (low + high) >>> 1;
		if ((extents[middle]?.to ?? 0) <= logical) low = middle + 1;
		else high = middle;
	}
	const extent = extents[low];
	if (extent === undefined || extent.from > logical) {
		return { at: undefined, count: Math.min((extent?.from ?? to) - logical, to - logical, most) };
	}
	const count = Math.min(extent.to - logical, most);
	return { at: extent.at === undefined ? undefined : extent.at + (logical - extent.from) * blockSize, count };
}

/** The `size` bytes of a file, named `name`, whose blocks lie on `volume` where `map` says when they are read. */
export function mappedSource(
	map: BlockMap,
	size: number,
	blockSize: number,
	volume: ByteSource,
	name: string,
): ByteSource {
	const source: ByteSource = {
		name,
		size,
		async read(at, into) {
			checkRange(source, at, into.length);
			for (let done = 0; done < into.length; ) {
				const logical = Math.floor((at + done) / blockSize);
				const within = (at + done) % blockSize;
				const run = await map(logical, Math.ceil((within + into.length - done) / blockSize));
				const length = Math.min(run.count * blockSize - within, into.length - done);
				const part = into.subarray(done, done + length);
				if (run.at === undefined) part.fill(0);
				else await volume.read(run.at + within, part);
				done += length;
			}
		},
	};
	return source;
}

/** What is behind the valid length was never written. */
export function validPart(stored: ByteSource, validLength: number): ByteSource {
	if (validLength >= stored.size) return stored;
	return {
		name: stored.name,
		size: stored.size,
		async read(at, into) {
			const valid = Math.min(Math.max(validLength - at, 0), into.length);
			into.fill(0, valid);
			// The range is checked by reading, also where nothing of it is valid.
			await stored.read(valid === 0 ? at + into.length : at, into.subarray(0, valid));
		},
	};
}
