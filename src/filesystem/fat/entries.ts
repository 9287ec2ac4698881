import type { ByteStore } from "../../bytes/source.js";
import { type Directory, dateAndTime, type Entry, parseDirectory, type Span } from "./directory.js";
import { attribute, deleted, end, entrySize, ShortEntry } from "./layout.js";
import { lastFlag, sameName } from "./names.js";

export interface EntryFields {
	readonly cluster: number;
	readonly size: number;
	readonly mtime: number;
}

/** An entry that is new, in all its times. */
export function shortEntry(raw: Uint8Array, attr: number, { cluster, size, mtime }: EntryFields): Uint8Array {
	const { date, time } = dateAndTime(mtime);
	return ShortEntry.build({
		name: raw,
		attr,
		crtTime: time,
		crtDate: date,
		lstAccDate: date,
		fstClusHI: Math.floor(cluster / 0x10000),
		wrtTime: time,
		wrtDate: date,
		fstClusLO: cluster % 0x10000,
		fileSize: size,
	});
}

export function lookUp(directory: Directory, name: string): Entry | undefined {
	const { entries } = parseDirectory(directory);
	return (
		entries.find((entry) => sameName(entry.name, name)) ?? entries.find((entry) => sameName(entry.shortName, name))
	);
}

export function endOfEntries(bytes: Uint8Array): number {
	let at = 0;
	while (at < bytes.length && bytes[at] !== end) at += entrySize;
	return at;
}

/** Offset of the first `length` bytes of unused entries; beyond the last entry where there are none between. */
export function freePlace(bytes: Uint8Array, length: number): number {
	let start = 0;
	const stop = endOfEntries(bytes);
	for (let at = 0; at < stop; at += entrySize) {
		if (bytes[at] !== deleted) start = at + entrySize;
		else if (at + entrySize - start === length) return start;
	}
	return start;
}

export function runsOf(chain: readonly number[]): { first: number; count: number }[] {
	const runs: { first: number; count: number }[] = [];
	for (const cluster of chain) {
		const run = runs.at(-1);
		if (run && run.first + run.count === cluster) run.count++;
		else runs.push({ first: cluster, count: 1 });
	}
	return runs;
}

/** What remains of `spans` without their first `skip` bytes. */
function after(spans: readonly Span[], skip: number): Span[] {
	const rest: Span[] = [];
	let left = skip;
	for (const { at, length } of spans) {
		if (left < length) rest.push({ at: at + left, length: length - left });
		left = Math.max(0, left - length);
	}
	return rest;
}

export async function writeSpans(
	volume: ByteStore,
	spans: readonly Span[],
	at: number,
	bytes: Uint8Array,
): Promise<void> {
	let done = 0;
	for (const span of after(spans, at)) {
		if (done === bytes.length) break;
		const part = bytes.subarray(done, done + span.length);
		await volume.write(span.at, part);
		done += part.length;
	}
}

/** Offset of the first of the entries that make up a name: those of its long form stand before the short one. */
export function firstOfName(bytes: Uint8Array, offset: number): number {
	let first = offset;
	for (let at = offset - entrySize; at >= 0 && bytes[at] !== deleted; at -= entrySize) {
		if (((bytes[at + ShortEntry.offsets.attr] ?? 0) & attribute.longNameMask) !== attribute.longName) break;
		first = at;
		if (((bytes[at] ?? 0) & lastFlag) !== 0) break;
	}
	return first;
}
