import { refused } from "../../bytes/errors.js";
import { readBytes } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { secondsOf } from "../fat/directory.js";
import { type ExtentList, findRun } from "../mapped.js";
import { ENTRY_SIZE, EntryType, FileAttribute, FileEntry, NAME_UNITS, NO_FAT_CHAIN, StreamEntry } from "./layout.js";
import { corrupt, type ExfatVolume, extentsFrom, extentsSource } from "./volume.js";

/** A file or directory, as the set of entries in its directory describes it. */
export interface Entry {
	readonly name: string;
	readonly type: "file" | "directory";
	readonly isReadOnly: boolean;
	/** First cluster; 0 where there is none. */
	readonly number: number;
	/** In bytes. */
	readonly size: number;
	readonly validLength: number;
	readonly isContiguous: boolean;
	/** Seconds since 1970, with a fraction. */
	readonly mtime: number;
	/** Byte offset on the volume. */
	readonly at: number;
}

/** More than a quarter of a million names; what claims more is refused before it takes all memory. */
const LARGEST = 64 << 20;

/** The entries of a directory as stored, and where they are. */
export interface RawDirectory {
	readonly bytes: Uint8Array;
	readonly placeOf: (offset: number) => number;
}

/** The root directory, whose length only its chain of clusters tells. */
export async function rootEntry(volume: ExfatVolume): Promise<Entry> {
	const { rootCluster, clusterSize, name } = volume;
	const chain = await volume.table.chain(rootCluster, Math.max(1, LARGEST / clusterSize));
	if (!chain.complete) throw corrupt(name, 0, `the root directory, at cluster ${rootCluster}, has no end`);
	const size = chain.clusters * clusterSize;
	const rest = { isReadOnly: false, validLength: size, isContiguous: false, mtime: 0, at: 0 };
	return { name: "", type: "directory", number: rootCluster, size, ...rest };
}

export async function readRaw(volume: ExfatVolume, directory: Entry, path: string): Promise<RawDirectory> {
	const { number, size, isContiguous, at } = directory;
	if (size > LARGEST) {
		throw refused(`the directory ${path} has ${size} bytes, more than the ${LARGEST} that are read of one`, {
			file: volume.name,
			offset: at,
		});
	}
	const extents: ExtentList = await extentsFrom(volume, number, size, isContiguous, at);
	const bytes = await readBytes(extentsSource(volume, extents, size), 0, size);
	const { clusterSize } = volume;
	const placeOf = (offset: number) =>
		(findRun(extents, clusterSize, Math.floor(offset / clusterSize), 1).at ?? 0) + (offset % clusterSize);
	return { bytes, placeOf };
}

export async function* readDirectory(
	volume: ExfatVolume,
	directory: Entry,
	path: string,
): AsyncGenerator<readonly Entry[]> {
	const { bytes, placeOf } = await readRaw(volume, directory, path);
	const found: Entry[] = [];
	for (let offset = 0; offset + ENTRY_SIZE <= bytes.length; ) {
		const type = bytes[offset];
		if (type === EntryType.END) break;
		if (type !== EntryType.FILE) {
			offset += ENTRY_SIZE;
			continue;
		}
		const set = bytes.subarray(offset, offset + ((bytes[offset + 1] ?? 0) + 1) * ENTRY_SIZE);
		found.push(parseSet(volume, set, placeOf(offset)));
		offset += set.length;
	}
	yield found;
}

/** The entries of one file: its first one, a stream extension, and its name in pieces of 15 units. */
function parseSet(volume: ExfatVolume, set: Uint8Array, at: number): Entry {
	const file = FileEntry.parse(set, 0, volume.name, at);
	const names = set.length / ENTRY_SIZE - 2;
	if (file.secondaryCount + 1 !== set.length / ENTRY_SIZE || set[ENTRY_SIZE] !== EntryType.STREAM_EXTENSION) {
		throw corrupt(volume.name, at, "the entries of a file in a directory are not complete");
	}
	if (setChecksum(set) !== file.setChecksum) {
		throw corrupt(volume.name, at, "the checksum of a file's entries in a directory is wrong");
	}
	const stream = StreamEntry.parse(set, ENTRY_SIZE, volume.name, at);
	const view = viewOf(set);
	let name = "";
	for (let i = 0; i < stream.nameLength; i++) {
		const entry = 2 + Math.floor(i / NAME_UNITS);
		if (i >= names * NAME_UNITS || set[entry * ENTRY_SIZE] !== EntryType.FILE_NAME) {
			throw corrupt(volume.name, at, "the name of a file is longer than its entries");
		}
		name += String.fromCharCode(view.getUint16(entry * ENTRY_SIZE + 2 + (i % NAME_UNITS) * 2, true));
	}
	if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0")) {
		throw corrupt(volume.name, at, `${JSON.stringify(name)} is no name for a file`);
	}
	if (stream.validDataLength > stream.dataLength) throw corrupt(volume.name, at, "more of a file is valid than it has");
	return {
		name,
		type: file.fileAttributes & FileAttribute.DIRECTORY ? "directory" : "file",
		isReadOnly: (file.fileAttributes & FileAttribute.READ_ONLY) !== 0,
		number: stream.firstCluster,
		size: stream.dataLength,
		validLength: stream.validDataLength,
		isContiguous: (stream.generalSecondaryFlags & NO_FAT_CHAIN) !== 0,
		mtime: modified(file),
		at,
	};
}

function setChecksum(set: Uint8Array): number {
	let sum = 0;
	for (const [i, byte] of set.entries()) {
		// Where the sum itself stands.
		if (i !== 2 && i !== 3) sum = (((sum << 15) | (sum >>> 1)) + byte) & 0xffff;
	}
	return sum;
}

interface Modified {
	readonly lastModifiedTimestamp: number;
	readonly lastModified10msIncrement: number;
	readonly lastModifiedUtcOffset: number;
}

/** Where the offset from UTC is not kept, local time is taken for UTC. */
function modified(file: Modified): number {
	const { lastModifiedTimestamp: stamp, lastModified10msIncrement: hundredths, lastModifiedUtcOffset: offset } = file;
	const quarters = offset & 0x80 ? ((offset & 0x7f) ^ 0x40) - 0x40 : 0;
	return secondsOf(stamp >>> 16, stamp & 0xffff) + hundredths / 100 - quarters * 900;
}
