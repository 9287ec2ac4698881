import { refused } from "../../bytes/errors.js";
import { type ByteSource, bytesSource, readBytes } from "../../bytes/source.js";
import { type BlockMap, type Extent, type ExtentList, findRun, mappedSource, validPart } from "../mapped.js";
import { corrupt } from "./boot.js";
import {
	AttributeListEntry,
	AttributeSizes,
	AttributeType,
	LONGEST_ATTRIBUTE_LIST,
	NonResidentAttribute,
	ResidentAttribute,
} from "./layout.js";
import { type Attribute, decodeName, type NtfsVolume, parseReference, type Record, readRecord } from "./record.js";

/** A file: its base record, and where its other attributes are if these do not fit it. */
export interface NtfsFile {
	readonly record: Record;
	readonly list: readonly ListEntry[] | undefined;
}

interface ListEntry {
	readonly type: number;
	readonly name: string;
	readonly lowestVcn: number;
	readonly reference: bigint;
	readonly instance: number;
	/** Where it stands on the volume, or what it belongs to. */
	readonly at: number;
}

/** What one attribute of a file holds. */
export interface Stream {
	readonly size: number;
	readonly flags: number;
	/** Where its header is on the volume. */
	readonly at: number;
	/** A resident one's contents. */
	readonly value?: Uint8Array;
	/** Where a non-resident one's clusters are. */
	readonly map: BlockMap;
	readonly validLength: number;
	/** Clusters that are compressed together; 1 where none are. */
	readonly unit: number;
}

/** A part of a non-resident attribute. */
interface Piece {
	readonly lowestVcn: number;
	readonly load: () => Promise<Attribute> | Attribute;
}

/** The attribute list of a base record, if it has one. */
export async function openFile(volume: NtfsVolume, record: Record): Promise<NtfsFile> {
	const attribute = record.attributes.find(({ type }) => type === AttributeType.ATTRIBUTE_LIST);
	if (attribute === undefined) return { record, list: undefined };
	const stream = openStream(volume, attribute, [{ lowestVcn: 0, load: () => attribute }]);
	if (stream.size > LONGEST_ATTRIBUTE_LIST) {
		throw corrupt(volume.name, attribute.at, `an attribute list has ${stream.size} bytes`);
	}
	const bytes = await readBytes(plainSource(volume, stream, volume.name), 0, stream.size);
	return { record, list: parseList(volume, bytes, attribute.at) };
}

function parseList(volume: NtfsVolume, bytes: Uint8Array, at: number): ListEntry[] {
	const entries: ListEntry[] = [];
	for (let offset = 0; offset < bytes.length; ) {
		const entry = AttributeListEntry.parse(bytes, offset, volume.name, at);
		const { recordLength, attributeNameOffset, attributeNameLength } = entry;
		const nameEnd = attributeNameOffset + attributeNameLength * 2;
		if (recordLength < AttributeListEntry.size || nameEnd > recordLength || offset + recordLength > bytes.length) {
			throw corrupt(volume.name, at, `an entry of an attribute list has ${recordLength} bytes`);
		}
		entries.push({
			type: entry.attributeTypeCode,
			name: decodeName(bytes.subarray(offset + attributeNameOffset, offset + nameEnd)),
			lowestVcn: entry.lowestVcn,
			reference: entry.segmentReference,
			instance: entry.instance,
			at,
		});
		offset += recordLength;
	}
	return entries;
}

/** The attribute of a type and name; `undefined` where the file has none. */
export async function streamOf(
	volume: NtfsVolume,
	file: NtfsFile,
	type: number,
	name = "",
): Promise<Stream | undefined> {
	const { first, pieces } = await piecesOf(volume, file, type, name);
	return first && openStream(volume, first, pieces);
}

async function piecesOf(volume: NtfsVolume, { record, list }: NtfsFile, type: number, name: string) {
	const isWanted = (one: { type: number; name: string }) => one.type === type && one.name === name;
	if (list === undefined) {
		const only = record.attributes.find(isWanted);
		return { first: only, pieces: only ? [{ lowestVcn: 0, load: () => only }] : [] };
	}
	const pieces: Piece[] = list.filter(isWanted).map((entry) => ({
		lowestVcn: entry.lowestVcn,
		load: () => loadPiece(volume, record, entry),
	}));
	for (const [i, { lowestVcn }] of pieces.entries()) {
		if (i === 0 ? lowestVcn === 0 : lowestVcn > (pieces[i - 1]?.lowestVcn ?? 0)) continue;
		throw corrupt(volume.name, record.at, "the parts of an attribute are not in order");
	}
	return { first: await pieces[0]?.load(), pieces };
}

async function loadPiece(volume: NtfsVolume, record: Record, entry: ListEntry): Promise<Attribute> {
	const reference = parseReference(entry.reference);
	const isOwn = reference.number === record.number;
	const holder = isOwn ? record : await readRecord(volume, reference, entry.at);
	const found = holder.attributes.find(
		({ type, name, instance }) => type === entry.type && name === entry.name && instance === entry.instance,
	);
	if (found === undefined || (!isOwn && holder.base !== record.number)) {
		throw corrupt(volume.name, holder.at, `an attribute of file record ${record.number} is not where it should be`);
	}
	return found;
}

/** In memory, of one attribute. */
const MOST_EXTENTS = 1 << 20;

/** The extents of all parts of an attribute, each read through those before it: of the MFT, which has its own parts. */
export async function allExtents(volume: NtfsVolume, file: NtfsFile, found: Extent[]): Promise<void> {
	const { pieces } = await piecesOf(volume, file, AttributeType.DATA, "");
	for (const [i, { load }] of pieces.entries()) {
		if (i === 0) continue;
		const { extents, from } = decodeRuns(volume, await load());
		if (from !== found.at(-1)?.to) throw corrupt(volume.name, file.record.at, "a part of the MFT is missing");
		if (found.length + extents.length > MOST_EXTENTS) {
			throw refused(`${volume.name}: the MFT is in more than ${MOST_EXTENTS} pieces`, { file: volume.name });
		}
		found.push(...extents);
	}
}

function openStream(volume: NtfsVolume, attribute: Attribute, pieces: readonly Piece[]): Stream {
	const { name: file } = volume;
	const { bytes, at, flags } = attribute;
	if (attribute.isResident) {
		const { valueOffset, valueLength } = ResidentAttribute.parse(bytes, 0, file, at);
		if (valueOffset + valueLength > bytes.length) throw corrupt(file, at, "the value of an attribute does not fit it");
		const value = bytes.subarray(valueOffset, valueOffset + valueLength);
		const nowhere = () => ({ at: undefined, count: 1 });
		return { size: valueLength, flags, at, value, map: nowhere, validLength: valueLength, unit: 1 };
	}
	const { lowestVcn, compressionUnit } = NonResidentAttribute.parse(bytes, 0, file, at);
	if (lowestVcn !== 0) throw corrupt(file, at, "the first part of an attribute is missing");
	const { fileSize, validDataLength } = AttributeSizes.parse(bytes, NonResidentAttribute.size, file, at);
	return {
		size: fileSize,
		flags,
		at,
		map: mapOf(volume, pieces, at),
		validLength: Math.min(validDataLength, fileSize),
		unit: 2 ** compressionUnit,
	};
}

function mapOf(volume: NtfsVolume, pieces: readonly Piece[], at: number): BlockMap {
	/** Reading goes on where it was: most lookups need the part of the one before. */
	let recent: ExtentList | undefined;
	return async (logical, most) => {
		if (recent === undefined || logical < recent.from || logical >= recent.to) {
			let i = 0;
			for (let high = pieces.length - 1; i < high; ) {
				const middle = Math.ceil((i + high) / 2);
				if ((pieces[middle]?.lowestVcn ?? 0) <= logical) i = middle;
				else high = middle - 1;
			}
			const piece = pieces[i];
			const list = piece && decodeRuns(volume, await piece.load());
			if (list?.from !== piece?.lowestVcn || list === undefined || logical >= list.to) {
				throw corrupt(volume.name, at, `cluster ${logical} of an attribute is missing`);
			}
			recent = list;
		}
		return findRun(recent, volume.parameters.clusterSize, logical, most);
	};
}

/**
 * Mapping pairs: lengths, and the distances of runs from the ones before; no distance makes a hole.
 * https://flatcap.github.io/linux-ntfs/ntfs/concepts/data_runs.html
 */
export function decodeRuns({ name, parameters }: Pick<NtfsVolume, "name" | "parameters">, attribute: Attribute) {
	const { bytes, at } = attribute;
	if (attribute.isResident) throw corrupt(name, at, "an attribute is resident in one part and not in another");
	const { lowestVcn, highestVcn, mappingPairsOffset } = NonResidentAttribute.parse(bytes, 0, name, at);
	const extents: Extent[] = [];
	let vcn = lowestVcn;
	let lcn = 0;
	for (let offset = mappingPairsOffset; ; ) {
		const head = bytes[offset];
		if (head === undefined) throw corrupt(name, at, "the runs of an attribute have no end");
		if (head === 0) break;
		const [lengthSize, distanceSize] = [head & 0xf, head >>> 4];
		const count = readSigned(bytes, offset + 1, lengthSize);
		lcn += readSigned(bytes, offset + 1 + lengthSize, distanceSize);
		offset += 1 + lengthSize + distanceSize;
		const isHole = distanceSize === 0;
		if (count <= 0 || offset > bytes.length || !Number.isSafeInteger((vcn + count) * parameters.clusterSize)) {
			throw corrupt(name, at, `a run of an attribute has ${count} clusters`);
		}
		if (!isHole && (lcn < 0 || lcn + count > parameters.clusters)) {
			throw corrupt(name, at, `${count} clusters from ${lcn} on are used, but the file system has no such clusters`);
		}
		extents.push({ from: vcn, to: vcn + count, at: isHole ? undefined : lcn * parameters.clusterSize });
		vcn += count;
	}
	if (BigInt(vcn) !== BigInt.asIntN(64, highestVcn) + 1n) {
		throw corrupt(name, at, `the runs of an attribute end at cluster ${vcn}, but should at ${highestVcn}`);
	}
	return { from: lowestVcn, to: vcn, extents };
}

/** A little-endian number of `size` bytes; an unsafe one where it is too large for any. */
function readSigned(bytes: Uint8Array, at: number, size: number): number {
	let value = (bytes[at + size - 1] ?? 0) >= 0x80 && size > 0 ? -1 : 0;
	for (let i = size - 1; i >= 0; i--) value = value * 256 + (bytes[at + i] ?? 0);
	return value;
}

/** A stream that is neither compressed nor encrypted, named `name`. */
export function plainSource(volume: NtfsVolume, stream: Stream, name: string, from = volume.metadata): ByteSource {
	if (stream.value !== undefined) return bytesSource(stream.value, name);
	const stored = mappedSource(stream.map, stream.size, volume.parameters.clusterSize, from, name);
	return validPart(stored, stream.validLength);
}
