import { AnyvisorError, unsupported } from "../../bytes/errors.js";
import type { ByteSink } from "../../bytes/sink.js";
import { contentUuid } from "../content-uuid.js";
import { copyUnits, ONE_UNIT } from "../copy.js";
import type { Disk, WriteOptions, Written } from "../disk.js";
import { preallocated } from "../preallocate.js";
import { after, TablePages } from "../table-pages.js";
import { variantOf } from "../variant.js";
import {
	BAT_ENTRY,
	BLOCK_SIZES,
	chunkRatio,
	DISK_SIZE_LIMIT,
	FILE_FLAG,
	FileParameters,
	FileTypeIdentifier,
	HEADER_OFFSETS,
	HEADER_SIGNATURE,
	Header,
	ITEM,
	KIB,
	METADATA_FLAG,
	METADATA_SIGNATURE,
	MetadataTableEntry,
	MetadataTableHeader,
	MIB,
	REGION,
	REGION_REQUIRED,
	REGION_SIGNATURE,
	REGION_TABLE_OFFSETS,
	RegionTableEntry,
	RegionTableHeader,
	SectorSize,
	STATE,
	sealed,
	TABLE_SIZE,
	VirtualDiskId,
	VirtualDiskSize,
} from "./layout.js";
import { FILE_SIGNATURE, VARIANTS } from "./mark.js";

/** What Hyper-V itself takes for a dynamic disk. */
const USUAL_BLOCK = 32 * MIB;

// The order of the file: header section, log, metadata, block allocation table, payload.
const LOG_AT = MIB;
const METADATA_AT = 2 * MIB;
const BAT_AT = 3 * MIB;
const REGION_UNIT = MIB;
const PHYSICAL_SECTOR = 4096;
const BAT_PAGE = 64 * KIB;

/** What of the disk's description is the caller's choice. */
interface Shape {
	readonly fixed: boolean;
	/** In bytes. */
	readonly blockSize: number;
	/** Logical, in bytes. */
	readonly sectorSize: number;
}

/**
 * Writes `disk` as VHDX, in blocks of `unitSize`: 1 to 256 MiB; where left out, as small as a table of 1 MiB allows, and
 * at most 32 MiB. Zeros are not written: a block without data is not in a dynamic file, a piece without data is a hole of
 * the file. GUIDs are made from the file's name and the disk's beginning: the same disk gives the same file.
 */
export async function writeVhdx(disk: Disk, sink: ByteSink, options: WriteOptions): Promise<Written> {
	const shape = shapeOf(disk, options);
	const { fixed, blockSize, sectorSize } = shape;
	const blocks = Math.ceil(disk.size / blockSize);
	const ratio = chunkRatio(sectorSize, blockSize);
	const batLength = batLengthFor(disk.size, sectorSize, blockSize);
	const payloadAt = BAT_AT + batLength;

	await writeHeaderSection(disk, sink, batLength);
	await writeMetadata(disk, sink, shape);

	const bat = new BatWriter(sink);
	let end = payloadAt;
	const place = (block: number) => {
		const at = end;
		end += blockSize;
		const index = block + Math.floor(block / ratio);
		return after(bat.begin(index), () => {
			bat.set(index, at);
			return at;
		});
	};
	const placing = fixed ? { unit: ONE_UNIT, place: () => payloadAt } : { unit: blockSize, place };
	const whole = fixed ? { from: payloadAt, to: payloadAt + blocks * blockSize } : undefined;
	await preallocated(sink, options, whole, (into) => copyUnits(disk, into, placing, options));
	if (fixed) for (let block = 0; block < blocks; block++) await place(block);
	await bat.finish();
	return { size: end };
}

/** Bytes of the block allocation table's region. */
function batLengthFor(size: number, sectorSize: number, blockSize: number): number {
	const blocks = Math.ceil(size / blockSize);
	const entries = blocks + Math.floor((blocks - 1) / chunkRatio(sectorSize, blockSize));
	return Math.ceil((entries * BAT_ENTRY) / REGION_UNIT) * REGION_UNIT;
}

/**
 * The smallest blocks for which the table fits into the MiB that it has in any case, at most Hyper-V's usual ones. What
 * is scattered over the disk then takes little space where files have no holes; Microsoft advises the same for Linux.
 */
function blockSizeFor(size: number, sectorSize: number): number {
	let blockSize: number = BLOCK_SIZES.min;
	while (blockSize < USUAL_BLOCK && batLengthFor(size, sectorSize, blockSize) > REGION_UNIT) blockSize *= 2;
	return blockSize;
}

function shapeOf(disk: Disk, options: WriteOptions): Shape {
	const { sectorSize = disk.sectorSize, unitSize: blockSize = blockSizeFor(disk.size, sectorSize) } = options;
	const fixed = variantOf("VHDX", options, VARIANTS) === "fixed";
	if (blockSize < BLOCK_SIZES.min || blockSize > BLOCK_SIZES.max || !Number.isInteger(Math.log2(blockSize))) {
		throw new AnyvisorError("usage", `VHDX has no blocks of ${blockSize} bytes`, {
			hint: "Choose a power of two from 1 to 256 MiB.",
		});
	}
	if (disk.size === 0 || disk.size > DISK_SIZE_LIMIT) {
		throw unsupported(`${disk.name}: VHDX holds disks of up to 64 TiB, not one of ${disk.size} bytes`, {
			file: disk.name,
		});
	}
	if (disk.size % sectorSize !== 0) {
		throw new AnyvisorError("usage", `${disk.name}: its ${disk.size} bytes are not whole sectors of ${sectorSize}`, {
			file: disk.name,
			hint: `Let the disk grow to ${Math.ceil(disk.size / sectorSize) * sectorSize} bytes, or choose sectors of 512.`,
		});
	}
	return { fixed, blockSize, sectorSize };
}

/** Writes the block allocation table; entries come in ascending order. */
class BatWriter {
	readonly #pages: TablePages;

	constructor(sink: ByteSink) {
		this.#pages = new TablePages(BAT_PAGE, 0, (index, page) => sink.write(BAT_AT + index * BAT_PAGE, page));
	}

	/** Writes the page in front of the one of this entry, where there is one. */
	begin(index: number): Promise<void> | undefined {
		return this.#pages.begin(Math.floor((index * BAT_ENTRY) / BAT_PAGE));
	}

	/** Sets an entry whose page has begun. */
	set(index: number, offset: number): void {
		// Offsets are whole MiB, so that the state has its bits to itself.
		this.#pages.view.setBigUint64((index * BAT_ENTRY) % BAT_PAGE, BigInt(offset + STATE.fullyPresent), true);
	}

	finish(): Promise<void> {
		return this.#pages.finish();
	}
}

async function writeHeaderSection(disk: Disk, sink: ByteSink, batLength: number) {
	const section = new Uint8Array(REGION_TABLE_OFFSETS[1] + TABLE_SIZE);
	section.set(FileTypeIdentifier.build({ signature: FILE_SIGNATURE, creator: "Anyvisor" }));
	const header = {
		signature: HEADER_SIGNATURE,
		fileWriteGuid: await contentUuid(disk, sink, "file"),
		dataWriteGuid: await contentUuid(disk, sink, "data"),
		version: 1,
		logLength: REGION_UNIT,
		logOffset: LOG_AT,
	};
	for (const [i, at] of HEADER_OFFSETS.entries()) {
		section.set(sealed(Header.build({ ...header, sequenceNumber: i + 1 })), at);
	}
	const regions = [
		{ guid: REGION.metadata, fileOffset: METADATA_AT, length: REGION_UNIT },
		{ guid: REGION.bat, fileOffset: BAT_AT, length: batLength },
	];
	const table = new Uint8Array(TABLE_SIZE);
	table.set(RegionTableHeader.build({ signature: REGION_SIGNATURE, entryCount: regions.length }));
	for (const [i, region] of regions.entries()) {
		const at = RegionTableHeader.size + i * RegionTableEntry.size;
		table.set(RegionTableEntry.build({ ...region, flags: REGION_REQUIRED }), at);
	}
	for (const at of REGION_TABLE_OFFSETS) section.set(sealed(table), at);
	await sink.write(0, section);
}

async function writeMetadata(disk: Disk, sink: ByteSink, { fixed, blockSize, sectorSize }: Shape) {
	const flags = fixed ? FILE_FLAG.leaveBlockAllocated : 0;
	const items = [
		{ itemId: ITEM.fileParameters, value: FileParameters.build({ blockSize, flags }) },
		{ itemId: ITEM.virtualDiskSize, value: VirtualDiskSize.build({ virtualDiskSize: disk.size }) },
		{
			itemId: ITEM.virtualDiskId,
			value: VirtualDiskId.build({ virtualDiskId: await contentUuid(disk, sink, "disk") }),
		},
		{ itemId: ITEM.logicalSectorSize, value: SectorSize.build({ sectorSize }) },
		{ itemId: ITEM.physicalSectorSize, value: SectorSize.build({ sectorSize: PHYSICAL_SECTOR }) },
	];
	const region = new Uint8Array(TABLE_SIZE + KIB);
	region.set(MetadataTableHeader.build({ signature: METADATA_SIGNATURE, entryCount: items.length }));
	let offset = TABLE_SIZE;
	for (const [i, { itemId, value }] of items.entries()) {
		// 2.6.2: all but the file parameters describe the virtual disk.
		const about = itemId === ITEM.fileParameters ? 0 : METADATA_FLAG.isVirtualDisk;
		const entry = { itemId, offset, length: value.length, flags: METADATA_FLAG.isRequired | about };
		region.set(MetadataTableEntry.build(entry), MetadataTableHeader.size + i * MetadataTableEntry.size);
		region.set(value, offset);
		offset += value.length;
	}
	await sink.write(METADATA_AT, region);
}
