import { refused } from "../../bytes/errors.js";
import { readBytes } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import type { FileType } from "../filesystem.js";
import type { Extent } from "../mapped.js";
import { typeOfMode } from "../mode.js";
import { DirectoryRecord, FileFlag, SECTOR } from "./layout.js";
import { type RockRidge, readRockRidge, suspSkip } from "./system-use.js";
import { shortTime } from "./time.js";
import { corrupt, type IsoVolume } from "./volume.js";

/** A file or directory, as its records describe it. */
export interface Entry {
	readonly name: string;
	readonly type: FileType;
	/** Its first block. */
	readonly number: number;
	readonly size: number;
	readonly extents: readonly Extent[];
	readonly mtime: number;
	readonly rock: RockRidge;
	/** Byte offset on the volume. */
	readonly at: number;
}

/** Which of the trees of a volume is read, and so how names are to be understood. */
export interface Names {
	readonly kind: "rock ridge" | "joliet" | "plain";
	/** Bytes before the entries of Rock Ridge. */
	readonly skip: number;
}

/** More than half a million names; what claims more is refused before it takes all memory. */
const LARGEST = 64 << 20;
const FILES_MOST_PARTS = 1 << 16;

interface Record {
	readonly fields: ReturnType<typeof DirectoryRecord.parse>;
	readonly identifier: Uint8Array;
	readonly systemUse: Uint8Array;
	/** Where it and its system use stand on the volume. */
	readonly at: number;
	readonly systemUseAt: number;
}

/** The root directory of a descriptor, with the names that can be read of it. */
export async function openRoot(volume: IsoVolume, record: Uint8Array, isJoliet: boolean) {
	const { extent } = DirectoryRecord.parse(record, 0, volume.name);
	const own = await ownRecord(volume, extent, 0);
	const skip = isJoliet ? undefined : suspSkip(own.systemUse);
	const names: Names = { kind: isJoliet ? "joliet" : skip === undefined ? "plain" : "rock ridge", skip: skip ?? 0 };
	// The mark itself is no entry that could be skipped.
	const rock = skip === undefined ? {} : await readRockRidge(volume, own.systemUse, own.systemUseAt);
	return { names, root: entryOf(volume, own, "", rock, []) };
}

/** The record of a directory in itself, which has its size. */
async function ownRecord(volume: IsoVolume, block: number, referrer: number): Promise<Record> {
	const at = block * volume.blockSize;
	if (at + DirectoryRecord.size > volume.source.size) {
		throw corrupt(volume.name, referrer, `a directory is at block ${block}, but the volume ends before`);
	}
	const bytes = await readBytes(volume.metadata, at, Math.min(SECTOR, volume.source.size - at));
	const record = parseRecord(volume, bytes, 0, at);
	if (record?.fields.extent !== block || record.identifier.length !== 1) {
		throw corrupt(volume.name, at, "a directory does not begin with itself");
	}
	return record;
}

/** The entries of a directory, without itself and its parent. */
export async function* readDirectory(
	volume: IsoVolume,
	directory: Entry,
	names: Names,
	path: string,
): AsyncGenerator<readonly Entry[]> {
	const { size, number } = directory;
	if (size > LARGEST) {
		throw refused(`the directory ${path} has ${size} bytes, more than the ${LARGEST} that are read of one`, {
			file: volume.name,
			offset: directory.at,
		});
	}
	const begin = number * volume.blockSize;
	const bytes = await readBytes(volume.metadata, begin, size);
	/** Parts of a file whose other parts follow. */
	const parts: Record[] = [];
	for (let offset = 0; offset < bytes.length; ) {
		const record = parseRecord(volume, bytes, offset, begin + offset);
		if (record === undefined) {
			// Records do not cross sectors.
			offset = (Math.floor(offset / SECTOR) + 1) * SECTOR;
			continue;
		}
		offset += record.fields.length;
		const { identifier, fields } = record;
		const isOwn = identifier.length === 1 && (identifier[0] === 0 || identifier[0] === 1);
		if (isOwn || (fields.fileFlags & FileFlag.ASSOCIATED) !== 0) continue;
		if (fields.fileFlags & FileFlag.MULTI_EXTENT) {
			if (parts.push(record) > FILES_MOST_PARTS) throw corrupt(volume.name, record.at, "a file has too many parts");
			continue;
		}
		const entry = await readEntry(volume, names, record, parts.splice(0));
		if (entry !== undefined) yield [entry];
	}
}

/** `undefined` for what is shown in another place. */
async function readEntry(volume: IsoVolume, names: Names, record: Record, before: readonly Record[]) {
	const { systemUse, systemUseAt, identifier, at } = record;
	const isRock = names.kind === "rock ridge";
	const rock = isRock ? await readRockRidge(volume, systemUse.subarray(names.skip), systemUseAt + names.skip) : {};
	if (rock.isRelocated) return undefined;
	const name = rock.name ?? (names.kind === "joliet" ? joliet(identifier) : latin(identifier)).replace(/\.?;\d+$/, "");
	if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0")) {
		throw corrupt(volume.name, at, `${JSON.stringify(name)} is no name for a file`);
	}
	if (rock.child === undefined) return entryOf(volume, record, name, rock, before);
	const child = await ownRecord(volume, rock.child, at);
	const own = await readRockRidge(volume, child.systemUse.subarray(names.skip), child.systemUseAt + names.skip);
	return entryOf(volume, child, name, own, []);
}

function entryOf(volume: IsoVolume, record: Record, name: string, rock: RockRidge, before: readonly Record[]): Entry {
	const { blockSize } = volume;
	const extents: Extent[] = [];
	let size = 0;
	let end = 0;
	for (const { fields, at } of [...before, record]) {
		if (size % blockSize !== 0) throw corrupt(volume.name, at, "a part of a file does not fill its blocks");
		const first = fields.extent + fields.extendedAttributeLength;
		const count = Math.ceil(fields.dataLength / blockSize);
		if (count > 0) extents.push({ from: end, to: end + count, at: first * blockSize });
		size += fields.dataLength;
		end += count;
	}
	const { fields, at } = record;
	const isDirectory = (fields.fileFlags & FileFlag.DIRECTORY) !== 0;
	const isInterleaved = fields.fileUnitSize !== 0;
	return {
		name,
		type: rock.mode === undefined ? (isDirectory ? "directory" : "file") : typeOfMode(rock.mode),
		number: fields.extent + fields.extendedAttributeLength,
		size,
		extents,
		mtime: rock.mtime ?? shortTime(fields.recordingDate),
		rock: isInterleaved ? { ...rock, unread: "is interleaved with others" } : rock,
		at,
	};
}

/** @param at where `offset` of `bytes` is on the volume; `undefined` where the sector has no more records */
function parseRecord(volume: IsoVolume, bytes: Uint8Array, offset: number, at: number): Record | undefined {
	const length = bytes[offset] ?? 0;
	if (length === 0) return undefined;
	const fields = DirectoryRecord.parse(bytes, offset, volume.name, at - offset);
	const begin = offset + DirectoryRecord.size;
	const end = begin + fields.identifierLength;
	if (end > offset + length || offset + length > bytes.length) {
		throw corrupt(volume.name, at, `a directory record has ${length} bytes`);
	}
	// Padded to an even length.
	const systemUse = end + (fields.identifierLength % 2 === 0 ? 1 : 0);
	return {
		fields,
		identifier: bytes.subarray(begin, end),
		systemUse: bytes.subarray(systemUse, offset + length),
		at,
		systemUseAt: at - offset + systemUse,
	};
}

export const latin = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

export function joliet(bytes: Uint8Array): string {
	const view = viewOf(bytes);
	let name = "";
	for (let at = 0; at + 2 <= bytes.length; at += 2) name += String.fromCharCode(view.getUint16(at));
	return name;
}
