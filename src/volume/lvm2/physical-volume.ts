import { AnyvisorError, damaged, unsupported } from "../../bytes/errors.js";
import { type ByteSource, readBytes, readUpTo } from "../../bytes/source.js";
import type { Value } from "../../bytes/struct.js";
import {
	DiskLocation,
	IGNORED,
	LABEL_ID,
	LABEL_SECTORS,
	LABEL_TYPE,
	LabelHeader,
	lvmChecksum,
	METADATA_MAGIC,
	METADATA_VERSION,
	MetadataAreaHeader,
	PhysicalVolumeHeader,
	SECTOR,
} from "./layout.js";

/** What a physical volume says of itself and of its group. */
export interface PhysicalVolume {
	/** 32 characters, without hyphens. */
	readonly id: string;
	/** The group's metadata as each readable metadata area has it: none where the volume keeps none or has no group. */
	readonly texts: readonly string[];
	/** What is wrong with a metadata area. */
	readonly problem: AnyvisorError | undefined;
}

/** Metadata is a megabyte unless somebody asked for more; 16 MiB describe some 50 000 logical volumes. */
const LARGEST_TEXT = 16 << 20;

type Location = Value<typeof DiskLocation>;

/** The physical volume on `source`; `undefined` where there is none. */
export async function readPhysicalVolume(source: ByteSource): Promise<PhysicalVolume | undefined> {
	const head = await readUpTo(source, 0, LABEL_SECTORS * SECTOR);
	for (let at = 0; at + SECTOR <= head.length; at += SECTOR) {
		const sector = head.subarray(at, at + SECTOR);
		if (!says(sector, LabelHeader.offsets.id, LABEL_ID) || !says(sector, LabelHeader.offsets.type, LABEL_TYPE))
			continue;
		const label = LabelHeader.parse(sector, 0, source.name, at);
		if (lvmChecksum(sector.subarray(LabelHeader.offsets.offset_xl)) !== label.crc_xl) {
			throw broken(source, at, "the LVM2 label's checksum is wrong");
		}
		if (label.sector_xl * SECTOR !== at)
			throw broken(source, at, `the LVM2 label belongs in sector ${label.sector_xl}`);
		const header = PhysicalVolumeHeader.parse(sector, label.offset_xl, source.name, at);
		const areas = metadataAreas(source, sector, label.offset_xl + PhysicalVolumeHeader.size, at);
		return { id: header.pv_uuid, ...(await readTexts(source, areas)) };
	}
	return undefined;
}

const says = (sector: Uint8Array, at: number, mark: string) =>
	String.fromCharCode(...sector.subarray(at, at + mark.length)) === mark;

/** The second of the two lists in the label's sector. */
function metadataAreas(source: ByteSource, sector: Uint8Array, lists: number, sectorAt: number): readonly Location[] {
	const found: Location[] = [];
	let ended = 0;
	for (let at = lists; ended < 2; at += DiskLocation.size) {
		const location = DiskLocation.parse(sector, at, source.name, sectorAt);
		if (location.offset === 0) ended++;
		else if (ended === 1) found.push(location);
	}
	return found;
}

/** A volume may have several copies of the metadata, so that one of them may be damaged. */
async function readTexts(source: ByteSource, areas: readonly Location[]): Promise<Omit<PhysicalVolume, "id">> {
	const texts: string[] = [];
	let problem: AnyvisorError | undefined;
	for (const area of areas) {
		try {
			const text = await readText(source, area);
			if (text !== undefined) texts.push(text);
		} catch (error) {
			if (!(error instanceof AnyvisorError)) throw error;
			problem ??= error;
		}
	}
	return { texts, problem };
}

async function readText(source: ByteSource, { offset: start, size }: Location): Promise<string | undefined> {
	const sector = await readBytes(source, start, SECTOR);
	if (!says(sector, MetadataAreaHeader.offsets.magic, METADATA_MAGIC)) {
		throw broken(source, start, "an LVM2 metadata area does not begin with its mark");
	}
	const header = MetadataAreaHeader.parse(sector, 0, source.name, start);
	if (lvmChecksum(sector.subarray(MetadataAreaHeader.offsets.magic)) !== header.checksum_xl) {
		throw broken(source, start, "the checksum of an LVM2 metadata area's header is wrong");
	}
	if (header.version !== METADATA_VERSION) {
		throw unsupported(`${source.name}: version ${header.version} of LVM2 metadata areas is not known`, {
			file: source.name,
			offset: start,
		});
	}
	const { offset, size: length, checksum, flags } = header.raw_locn;
	if (offset === 0 || (flags & IGNORED) !== 0) return undefined;
	if (header.start !== start || header.size !== size || size <= SECTOR || start + size > source.size) {
		throw broken(source, start, "an LVM2 metadata area is not where it says, or larger than its volume");
	}
	if (offset < SECTOR || offset >= size || length > size - SECTOR || length > LARGEST_TEXT) {
		throw broken(source, start, `${length} bytes of LVM2 metadata at ${offset} do not fit an area of ${size} bytes`);
	}
	// What does not fit the end of the ring goes on behind its header.
	const first = await readBytes(source, start + offset, Math.min(length, size - offset));
	const rest = await readBytes(source, start + SECTOR, length - first.length);
	if (lvmChecksum(rest, lvmChecksum(first)) !== checksum) {
		throw broken(source, start + offset, "the checksum of the LVM2 metadata is wrong");
	}
	// Names are ASCII, and what is in comments does not matter.
	const latin1 = new TextDecoder("latin1");
	return (latin1.decode(first) + latin1.decode(rest)).replace(/\0+$/, "");
}

const broken = (source: ByteSource, offset: number, fault: string) =>
	damaged(`${source.name}: ${fault}`, {
		file: source.name,
		offset,
		hint: 'Compare the file with the original; "pvck" on a copy tells what can be restored.',
	});
