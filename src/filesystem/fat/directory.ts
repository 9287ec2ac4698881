import { damaged } from "../../bytes/errors.js";
import { type ByteSource, readBytes } from "../../bytes/source.js";
import { clusterAt, type Geometry } from "./geometry.js";
import { attribute, deleted, directoryLimit, end, entrySize, ShortEntry } from "./layout.js";
import { LongName, shortName } from "./names.js";
import type { AllocationTable, Run } from "./table.js";

/** Bytes on the volume that follow one another. */
export interface Span {
	readonly at: number;
	readonly length: number;
}

/** A directory as it lies on the volume, read whole: it has at most 2 MiB. */
export interface Directory {
	readonly bytes: Uint8Array;
	readonly spans: readonly Span[];
	/** 0 for the root directory of FAT12 and FAT16. */
	readonly cluster: number;
}

export interface Entry {
	/** The long name where there is one. */
	readonly name: string;
	readonly shortName: string;
	readonly attributes: number;
	readonly cluster: number;
	readonly size: number;
	/** Seconds since 1970; FAT keeps local time, which is taken for UTC. */
	readonly mtime: number;
	/** Of its short entry within the directory. */
	readonly offset: number;
}

export function spansOf(geometry: Geometry, runs: readonly Run[], file: string): Span[] {
	return runs.map(({ first, count }) => ({
		at: clusterAt(geometry, first, file),
		length: count * geometry.clusterSize,
	}));
}

/** Reads the directory that begins with `cluster`; 0 is the root, as a `..` entry has it. */
export async function readDirectory(
	volume: ByteSource,
	geometry: Geometry,
	table: AllocationTable,
	cluster: number,
): Promise<Directory> {
	if (cluster === 0 && geometry.fixedRoot) {
		const { at, size } = geometry.fixedRoot;
		return { bytes: await readBytes(volume, at, size), spans: [{ at, length: size }], cluster };
	}
	const first = cluster || geometry.rootCluster;
	const chain = await table.chain(first, Math.ceil(directoryLimit / geometry.clusterSize));
	if (!chain.complete || chain.clusters === 0) {
		throw damaged(`${volume.name}: the directory at cluster ${first} has no end`, {
			file: volume.name,
			hint: "Repair a copy with fsck.vfat.",
		});
	}
	const spans = spansOf(geometry, chain.runs, volume.name);
	const bytes = new Uint8Array(chain.clusters * geometry.clusterSize);
	let at = 0;
	for (const span of spans) {
		await volume.read(span.at, bytes.subarray(at, at + span.length));
		at += span.length;
	}
	return { bytes, spans, cluster: first };
}

/** The files and directories in it, and its volume label; without `.` and `..`. */
export function parseDirectory({ bytes }: Directory): { entries: Entry[]; label?: string } {
	const entries: Entry[] = [];
	const longName = new LongName();
	let label: string | undefined;
	for (let offset = 0; offset + entrySize <= bytes.length && bytes[offset] !== end; offset += entrySize) {
		const entry = ShortEntry.parse(bytes, offset);
		if (bytes[offset] === deleted) longName.reset();
		else if ((entry.attr & attribute.longNameMask) === attribute.longName) longName.add(bytes, offset);
		else {
			const short = shortName(entry.name, entry.ntRes);
			const name = longName.take(entry.name) ?? short;
			if ((entry.attr & attribute.volumeId) !== 0) label ??= short11(entry.name);
			// A name with a slash cannot be said in a path; no system writes one.
			else if (!short.startsWith(".") && !/[/\0]/.test(name)) {
				entries.push({
					name,
					shortName: short,
					attributes: entry.attr,
					cluster: entry.fstClusHI * 0x10000 + entry.fstClusLO,
					size: entry.fileSize,
					mtime: secondsOf(entry.wrtDate, entry.wrtTime),
					offset,
				});
			}
		}
	}
	return label === undefined ? { entries } : { entries, label };
}

/** A volume label fills all eleven places, without a dot. */
const short11 = (raw: Uint8Array) =>
	(shortName(raw.subarray(0, 8), 0).padEnd(8) + shortName(raw.subarray(8), 0)).trimEnd();

/** Seconds since 1970 of FAT's date and time. */
export function secondsOf(date: number, time: number): number {
	const day = Date.UTC(1980 + (date >>> 9), ((date >>> 5) & 0x0f) - 1, date & 0x1f);
	return day / 1000 + (time >>> 11) * 3600 + ((time >>> 5) & 0x3f) * 60 + (time & 0x1f) * 2;
}

/** FAT's date and time for `seconds` since 1970, in steps of two seconds, from 1980 to 2107. */
export function dateAndTime(seconds: number): { date: number; time: number } {
	const earliest = Date.UTC(1980, 0, 1);
	const latest = Date.UTC(2107, 11, 31, 23, 59, 58);
	const at = new Date(Math.min(Math.max(seconds * 1000, earliest), latest));
	return {
		date: ((at.getUTCFullYear() - 1980) << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate(),
		time: (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >>> 1),
	};
}
