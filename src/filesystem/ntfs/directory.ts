import { refused } from "../../bytes/errors.js";
import { readBytes } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { corrupt } from "./boot.js";
import {
	AttributeType,
	EntryFlag,
	FileName,
	FileNumber,
	INDEX_OF_NAMES,
	IndexBlock,
	IndexEntry,
	IndexRoot,
	NAMESPACE_DOS,
	SEQUENCE_STRIDE,
} from "./layout.js";
import { checkSequence, decodeName, type NtfsVolume, parseReference } from "./record.js";
import { type NtfsFile, plainSource, type Stream, streamOf } from "./stream.js";

/** A name in a directory. */
export interface Entry {
	readonly name: string;
	readonly reference: bigint;
	/** FILE_ATTRIBUTE_… as when the name was written last. */
	readonly attributes: number;
	/** Only MS-DOS saw this name. */
	readonly isShort: boolean;
	/** Byte offset on the volume. */
	readonly at: number;
}

/** An entry of a node: what comes before it is in the block `child`; the last one has no name. */
interface Item {
	readonly entry: Entry | undefined;
	readonly child: number | undefined;
}

/** A directory's index: a B-tree of names, sorted in upper case. */
interface Index {
	readonly root: readonly Item[];
	readonly blockSize: number;
	/** Bytes that the numbers of blocks count. */
	readonly unit: number;
	readonly blocks: Stream | undefined;
	readonly at: number;
}

/** Negative for a name before the one that is looked for, 0 for it, positive after. */
type Compare = (name: string) => number;

/** More levels than the largest directory needs. */
const DEEPEST = 16;
const LARGEST_BLOCK = 64 << 10;
/** A directory that claims more is refused before it takes all memory. */
const MOST_NAMES = 1 << 20;

/** The entry `name`: exactly that, or else the first one that differs in case only; short names count as well. */
export async function findName(
	volume: NtfsVolume,
	directory: NtfsFile,
	name: string,
	fold: (name: string) => string,
): Promise<Entry | undefined> {
	const wanted = fold(name);
	const found: Entry[] = [];
	const compare = (other: string) => compareUnits(fold(other), wanted);
	for await (const entry of entriesOf(volume, directory, compare)) found.push(entry);
	return found.find((entry) => entry.name === name) ?? found[0];
}

/** All entries in their order, without those that only MS-DOS saw. */
export async function listNames(volume: NtfsVolume, directory: NtfsFile): Promise<Entry[]> {
	const found: Entry[] = [];
	for await (const entry of entriesOf(volume, directory, () => 0)) {
		if (!entry.isShort) found.push(entry);
		if (found.length > MOST_NAMES) {
			throw refused(`${volume.name}: a directory has more than the ${MOST_NAMES} names that are read of one`, {
				file: volume.name,
				offset: entry.at,
			});
		}
	}
	return found;
}

/** As JavaScript compares text: by its UTF-16 units. */
const compareUnits = (one: string, other: string) => (one < other ? -1 : one > other ? 1 : 0);

async function* entriesOf(volume: NtfsVolume, directory: NtfsFile, compare: Compare): AsyncGenerator<Entry> {
	const index = await openIndex(volume, directory);
	yield* walk(volume, index, index.root, compare, new Set());
}

async function* walk(
	volume: NtfsVolume,
	index: Index,
	items: readonly Item[],
	compare: Compare,
	visited: Set<number>,
	depth = 0,
): AsyncGenerator<Entry> {
	for (const { entry, child } of items) {
		const order = entry ? compare(entry.name) : 0;
		if (order < 0) continue;
		if (child !== undefined) {
			if (depth === DEEPEST || visited.has(child)) {
				throw corrupt(volume.name, index.at, "the index of a directory is no tree");
			}
			visited.add(child);
			yield* walk(volume, index, await readBlock(volume, index, child), compare, visited, depth + 1);
		}
		if (order > 0) return;
		if (entry) yield entry;
	}
}

async function openIndex(volume: NtfsVolume, directory: NtfsFile): Promise<Index> {
	const { name, parameters } = volume;
	const stream = await streamOf(volume, directory, AttributeType.INDEX_ROOT, INDEX_OF_NAMES);
	if (stream?.value === undefined) throw corrupt(name, directory.record.at, "a directory has no index");
	const { value, at } = stream;
	const { indexedAttributeType, bytesPerIndexBuffer } = IndexRoot.parse(value, 0, name, at);
	const isPower = Number.isInteger(Math.log2(bytesPerIndexBuffer));
	if (indexedAttributeType !== AttributeType.FILE_NAME || !isPower || bytesPerIndexBuffer < SEQUENCE_STRIDE) {
		throw corrupt(name, at, `the index of a directory has blocks of ${bytesPerIndexBuffer} bytes`);
	}
	if (bytesPerIndexBuffer > LARGEST_BLOCK) {
		throw corrupt(name, at, `the index of a directory has blocks of ${bytesPerIndexBuffer} bytes`);
	}
	return {
		root: parseItems(name, value, at, IndexRoot.offsets.indexHeader),
		blockSize: bytesPerIndexBuffer,
		unit: bytesPerIndexBuffer < parameters.clusterSize ? SEQUENCE_STRIDE : parameters.clusterSize,
		blocks: await streamOf(volume, directory, AttributeType.INDEX_ALLOCATION, INDEX_OF_NAMES),
		at,
	};
}

async function readBlock(volume: NtfsVolume, index: Index, number: number): Promise<Item[]> {
	const { blocks, blockSize, unit } = index;
	const start = number * unit;
	if (blocks === undefined || start + blockSize > blocks.size) {
		throw corrupt(volume.name, index.at, `block ${number} of a directory's index is missing`);
	}
	const { clusterSize } = volume.parameters;
	const { at } = await blocks.map(Math.floor(start / clusterSize), 1);
	if (at === undefined) throw corrupt(volume.name, blocks.at, `block ${number} of a directory's index is a hole`);
	const place = at + (start % clusterSize);
	const bytes = await readBytes(plainSource(volume, blocks, volume.name), start, blockSize);
	checkSequence(volume.name, bytes, place, "INDX");
	if (IndexBlock.parse(bytes, 0, volume.name, place).thisBlock !== number) {
		throw corrupt(volume.name, place, `where block ${number} of a directory's index should be is another one`);
	}
	return parseItems(volume.name, bytes, place, IndexBlock.offsets.indexHeader);
}

/** @param header where the index header is in `bytes`, which stand at `at` on the volume */
function parseItems(file: string, bytes: Uint8Array, at: number, header: number): Item[] {
	const view = viewOf(bytes);
	const end = header + view.getUint32(header + 4, true);
	if (end > bytes.length) throw corrupt(file, at, "the entries of a directory's index do not fit it");
	const items: Item[] = [];
	for (let offset = header + view.getUint32(header, true); ; ) {
		if (offset + IndexEntry.size > end) throw corrupt(file, at, "the entries of a directory's index have no end");
		const { fileReference, length, attributeLength, flags } = IndexEntry.parse(bytes, offset, file, at);
		const hasChild = (flags & EntryFlag.SUBNODE) !== 0;
		const begin = offset + IndexEntry.size;
		const used = IndexEntry.size + (flags & EntryFlag.END ? 0 : attributeLength) + (hasChild ? 8 : 0);
		if (length % 8 !== 0 || length < used || offset + length > end) {
			throw corrupt(file, at + offset, `an entry of a directory's index has ${length} bytes`);
		}
		const child = hasChild ? Number(view.getBigUint64(offset + length - 8, true)) : undefined;
		if (flags & EntryFlag.END) {
			items.push({ entry: undefined, child });
			return items;
		}
		const entry = parseEntry(file, bytes.subarray(begin, begin + attributeLength), fileReference, at + offset);
		if (entry !== undefined || child !== undefined) items.push({ entry, child });
		offset += length;
	}
}

/** `undefined` for what is the file system's own. */
function parseEntry(file: string, bytes: Uint8Array, reference: bigint, at: number): Entry | undefined {
	const { fileNameLength, fileAttributes, flags } = FileName.parse(bytes, 0, file, at);
	if (FileName.size + fileNameLength * 2 > bytes.length) {
		throw corrupt(file, at, "a name in a directory does not fit its entry");
	}
	const name = decodeName(bytes.subarray(FileName.size, FileName.size + fileNameLength * 2));
	if (parseReference(reference).number < FileNumber.FIRST_HIDDEN_END) return undefined;
	if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0")) {
		throw corrupt(file, at, `${JSON.stringify(name)} is no name for a file`);
	}
	return { name, reference, attributes: fileAttributes, isShort: flags === NAMESPACE_DOS, at };
}
