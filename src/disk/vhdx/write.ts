import { hasher } from "../../bytes/checksum/index.js";
import { AnyvisorError, unsupported } from "../../bytes/errors.js";
import type { ByteSink } from "../../bytes/sink.js";
import { readUpTo } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { copyUnits } from "../copy.js";
import type { Disk, WriteOptions, Written } from "../disk.js";
import {
	BAT_ENTRY,
	BLOCK_SIZES,
	chunkRatio,
	DISK_SIZE_LIMIT,
	FILE_FLAG,
	FILE_SIGNATURE,
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

export interface VhdxWriteOptions extends WriteOptions {
	/** `dynamic` when left out. */
	readonly variant?: "dynamic" | "fixed" | (string & {});
	/** Payload block size in bytes: 1 to 256 MiB, a power of two; 32 MiB, as Hyper-V has it, when left out. */
	readonly blockSize?: number;
}

// The order of the file: header section, log, metadata, block allocation table, payload.
const LOG_AT = MIB;
const METADATA_AT = 2 * MIB;
const BAT_AT = 3 * MIB;
const REGION_UNIT = MIB;
const PHYSICAL_SECTOR = 4096;
/** What the identifiers are made from. */
const PIECE = 64 * KIB;
const BAT_PAGE = 64 * KIB;

/**
 * Writes `disk` as VHDX. Zeros are not written: a block without data is not in a dynamic file, a piece without data is a
 * hole of the file. GUIDs are made from the file's name and the disk's beginning: the same disk gives the same file.
 */
export async function writeVhdx(disk: Disk, sink: ByteSink, options: VhdxWriteOptions = {}): Promise<Written> {
	const { variant = "dynamic", blockSize = 32 * MIB } = options;
	if (variant !== "dynamic" && variant !== "fixed") {
		throw new AnyvisorError("usage", `VHDX cannot be written as ${variant}`, { hint: "Choose dynamic or fixed." });
	}
	if (blockSize < BLOCK_SIZES.min || blockSize > BLOCK_SIZES.max || !Number.isInteger(Math.log2(blockSize))) {
		throw new AnyvisorError("usage", `VHDX has no blocks of ${blockSize} bytes: 1 to 256 MiB, a power of two`);
	}
	if (disk.size === 0 || disk.size > DISK_SIZE_LIMIT) {
		throw unsupported(`${disk.name}: VHDX holds disks of up to 64 TiB, not one of ${disk.size} bytes`, {
			file: disk.name,
		});
	}
	const fixed = variant === "fixed";
	const blocks = Math.ceil(disk.size / blockSize);
	const ratio = chunkRatio(disk.sectorSize, blockSize);
	const batSize = (blocks + Math.floor((blocks - 1) / ratio)) * BAT_ENTRY;
	const batLength = Math.ceil(batSize / REGION_UNIT) * REGION_UNIT;

	await writeHeaderSection(disk, sink, batLength);
	await writeMetadata(disk, sink, blockSize, fixed);

	const bat = new BatWriter(sink);
	let end = BAT_AT + batLength;
	let next = 0;
	/** Gives `block` its place; in a fixed file, every block before it as well. */
	const place = async (block: number) => {
		if (!fixed) next = block;
		for (; next <= block; next++) {
			await bat.set(next + Math.floor(next / ratio), end);
			end += blockSize;
		}
		return end - blockSize;
	};
	await copyUnits(disk, sink, { unit: blockSize, place }, options);
	if (fixed && next < blocks) await place(blocks - 1);
	await bat.finish();
	return { size: end };
}

/** Gathers one page of the block allocation table at a time; entries come in ascending order. */
class BatWriter {
	readonly #sink: ByteSink;
	#at = 0;
	#page: Uint8Array | undefined;

	constructor(sink: ByteSink) {
		this.#sink = sink;
	}

	async set(index: number, offset: number) {
		const within = (index * BAT_ENTRY) % BAT_PAGE;
		const at = BAT_AT + index * BAT_ENTRY - within;
		if (at !== this.#at) await this.finish();
		this.#at = at;
		this.#page ??= new Uint8Array(BAT_PAGE);
		// Offsets are whole MiB, so that the state has its bits to itself.
		viewOf(this.#page).setBigUint64(within, BigInt(offset + STATE.fullyPresent), true);
	}

	async finish() {
		if (this.#page !== undefined) await this.#sink.write(this.#at, this.#page);
		this.#page = undefined;
	}
}

async function writeHeaderSection(disk: Disk, sink: ByteSink, batLength: number) {
	const section = new Uint8Array(REGION_TABLE_OFFSETS[1] + TABLE_SIZE);
	section.set(FileTypeIdentifier.build({ signature: FILE_SIGNATURE, creator: "Anyvisor" }));
	const header = {
		signature: HEADER_SIGNATURE,
		fileWriteGuid: await contentGuid(disk, sink, "file"),
		dataWriteGuid: await contentGuid(disk, sink, "data"),
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

async function writeMetadata(disk: Disk, sink: ByteSink, blockSize: number, fixed: boolean) {
	const flags = fixed ? FILE_FLAG.leaveBlockAllocated : 0;
	const items = [
		{ itemId: ITEM.fileParameters, value: FileParameters.build({ blockSize, flags }) },
		{ itemId: ITEM.virtualDiskSize, value: VirtualDiskSize.build({ virtualDiskSize: disk.size }) },
		{
			itemId: ITEM.virtualDiskId,
			value: VirtualDiskId.build({ virtualDiskId: await contentGuid(disk, sink, "disk") }),
		},
		{ itemId: ITEM.logicalSectorSize, value: SectorSize.build({ sectorSize: disk.sectorSize }) },
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

/**
 * A version 8 GUID (RFC 9562) from the disk's beginning, where its partition table has a unique number. The file's name
 * is part of it, since a VM may have several empty disks but must not have two of one id.
 */
async function contentGuid(disk: Disk, sink: ByteSink, purpose: string): Promise<string> {
	const hash = await hasher("sha256");
	hash.update(new TextEncoder().encode(`${purpose} ${sink.name.split(/[/\\]/).at(-1)} ${disk.size} `));
	hash.update(await readUpTo(disk, 0, PIECE));
	const digits = hash.digest();
	return [
		digits.slice(0, 8),
		digits.slice(8, 12),
		`8${digits.slice(13, 16)}`,
		`8${digits.slice(17, 20)}`,
		digits.slice(20, 32),
	].join("-");
}
