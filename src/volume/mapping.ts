import { AnyvisorError } from "../bytes/errors.js";
import { type ByteSource, checkRange, isStore } from "../bytes/source.js";

/** Where bytes of a volume lie below it. */
export interface Place {
	readonly source: ByteSource;
	readonly at: number;
}

/** Bytes that lie together below: the same ones at each of `places`, and zeros where there is none. */
export interface Run {
	/** At least 1. */
	readonly length: number;
	readonly places: readonly Place[];
}

/** The run that begins at byte `at` of a volume or of a part of one. */
export type RunAt = (at: number) => Run;

/** What a volume is made of. */
export interface Mapping {
	readonly name: string;
	readonly size: number;
	run(at: number): Run | Promise<Run>;
	/** All that runs can lead to, where they never move: the volume is a store when these are. */
	readonly fixed?: readonly ByteSource[];
}

/** Reads below that are under way at once. */
const IN_FLIGHT = 16;

/** The bytes that `mapping` describes. Copies are read until one can be, and all are written. */
export function mapped(mapping: Mapping): ByteSource {
	const { name, size, fixed } = mapping;
	/** Calls `use` for each run of `[at, at + length)`, with its part of the caller's bytes. */
	const each = async (at: number, length: number, use: (run: Run, from: number, to: number) => Promise<void>) => {
		let flying: Promise<void>[] = [];
		try {
			for (let done = 0; done < length; ) {
				const run = await mapping.run(at + done);
				const to = Math.min(length, done + run.length);
				flying.push(use(run, done, to));
				if (flying.length === IN_FLIGHT) {
					await Promise.all(flying);
					flying = [];
				}
				done = to;
			}
		} finally {
			// Nobody's failure goes unheard, and nothing is still written to after this returned.
			await Promise.allSettled(flying);
		}
		await Promise.all(flying);
	};
	const volume = {
		name,
		size,
		read(at: number, into: Uint8Array) {
			checkRange(volume, at, into.length);
			return each(at, into.length, ({ places }, from, to) => readAny(places, into.subarray(from, to)));
		},
	};
	if (!fixed?.every(isStore)) return volume;
	return Object.assign(volume, {
		write(at: number, bytes: Uint8Array) {
			checkRange(volume, at, bytes.length);
			return each(at, bytes.length, async ({ places }, from, to) => {
				for (const { source, at: place } of places) {
					if (isStore(source)) await source.write(place, bytes.subarray(from, to));
				}
			});
		},
	});
}

async function readAny(places: readonly Place[], into: Uint8Array): Promise<void> {
	let failure: AnyvisorError | undefined;
	for (const { source, at } of places) {
		try {
			await source.read(at, into);
			return;
		} catch (error) {
			if (!(error instanceof AnyvisorError) || error.kind === "interrupted") throw error;
			failure ??= error;
		}
	}
	if (failure) throw failure;
	into.fill(0);
}

/** `length` bytes, of which each of `places` has a copy. */
export const copies =
	(length: number, places: readonly Place[]): RunAt =>
	(at) => ({
		length: length - at,
		places: places.map((place) => ({ source: place.source, at: place.at + at })),
	});

/** Chunks of `chunk` bytes dealt to `legs` in turn. */
export function striped(chunk: number, legs: readonly RunAt[]): RunAt {
	return (at) => {
		const index = Math.floor(at / chunk);
		const within = at % chunk;
		const leg = legs[index % legs.length];
		if (leg === undefined) throw new RangeError("no stripes");
		const run = leg(Math.floor(index / legs.length) * chunk + within);
		return { length: Math.min(run.length, chunk - within), places: run.places };
	};
}

/** Parts one after the other; each begins where the one before it ends. */
export function concatenated(parts: readonly { readonly length: number; readonly run: RunAt }[]): RunAt {
	const starts: number[] = [];
	let end = 0;
	for (const { length } of parts) {
		starts.push(end);
		end += length;
	}
	return (at) => {
		let [low, high] = [0, parts.length];
		while (high - low > 1) {
			const middle = Math.floor((low + high) / 2);
			if ((starts[middle] ?? 0) <= at) low = middle;
			else high = middle;
		}
		const part = parts[low];
		const within = at - (starts[low] ?? 0);
		if (part === undefined || within >= part.length) throw new RangeError(`no part at ${at}`);
		const run = part.run(within);
		return { length: Math.min(run.length, part.length - within), places: run.places };
	};
}

/** A volume that is known to be there and cannot be read: whoever tries is told why. */
export function unreadable(name: string, size: number, error: AnyvisorError): ByteSource {
	return { name, size, read: () => Promise.reject(error) };
}
