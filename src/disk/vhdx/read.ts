import { damaged, unsupported } from "../../bytes/errors.js";
import { type ByteSource, checkRange, readBytes } from "../../bytes/source.js";
import { type Struct, viewOf } from "../../bytes/struct.js";
import { cached } from "../cache.js";
import type { Disk, Extent } from "../disk.js";
import {
	BAT_ENTRY,
	BLOCK_SIZES,
	checksum,
	chunkRatio,
	DISK_SIZE_LIMIT,
	FILE_FLAG,
	FILE_SIGNATURE,
	FileParameters,
	HEADER_OFFSETS,
	HEADER_SECTION_SIZE,
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
	TABLE_ENTRIES_LIMIT,
	TABLE_SIZE,
	VirtualDiskSize,
} from "./layout.js";
import { replayed } from "./log.js";

const BAT_PAGE = 64 * KIB;
const BAT_PAGES_CACHED = 64;

export const isVhdx = (head: Uint8Array): boolean =>
	String.fromCharCode(...head.subarray(0, FILE_SIGNATURE.length)) === FILE_SIGNATURE;

/** Opens a fixed or dynamic VHDX; a log that is not empty is replayed in memory. Differencing ones are `unsupported`. */
export async function openVhdx(file: ByteSource): Promise<Disk> {
	const source = await replayed(file, await currentHeader(file));
	const regions = await readRegions(source);
	const { size, sectorSize, blockSize, fixed } = await readMetadata(source, regions.metadata);
	const { name } = source;
	const blocks = Math.ceil(size / blockSize);
	const ratio = chunkRatio(sectorSize, blockSize);
	const batSize = (blocks + Math.floor((blocks - 1) / ratio)) * BAT_ENTRY;
	if (batSize > regions.bat.length) {
		throw damaged(`${name}: the block allocation table needs ${batSize} bytes, but has ${regions.bat.length}`, {
			file: name,
			offset: regions.bat.at,
		});
	}
	const page = cached(BAT_PAGES_CACHED, async (index) => {
		const at = index * BAT_PAGE;
		return viewOf(await readBytes(source, regions.bat.at + at, Math.min(BAT_PAGE, batSize - at)));
	});
	/** Byte offset of a payload block's entry: one for a sector bitmap follows the entries of each chunk. */
	const entryAt = (block: number) => (block + Math.floor(block / ratio)) * BAT_ENTRY;

	/** Where a payload block lies in the file, by its entry at `at`; undefined where it reads as zero. */
	function payload(view: DataView, at: number): number | undefined {
		const low = view.getUint32(at % BAT_PAGE, true);
		const state = low & 7;
		const offset = (view.getUint32((at % BAT_PAGE) + 4, true) * 2 ** 12 + (low >>> 20)) * MIB;
		switch (state) {
			case STATE.fullyPresent:
				if (offset >= HEADER_SECTION_SIZE && offset < source.size) return offset;
				break;
			case STATE.notPresent:
			case STATE.undefined:
			case STATE.zero:
			case STATE.unmapped:
				return undefined;
			default:
		}
		throw damaged(`${name}: a block has state ${state} and offset ${offset}, which cannot be`, {
			file: name,
			offset: regions.bat.at + at,
		});
	}

	return {
		name,
		format: fixed ? "vhdx/fixed" : "vhdx/dynamic",
		size,
		sectorSize,
		async read(at, into) {
			checkRange({ name, size }, at, into.length);
			for (let done = 0; done < into.length; ) {
				const within = (at + done) % blockSize;
				const part = into.subarray(done, done + Math.min(blockSize - within, into.length - done));
				const entry = entryAt(Math.floor((at + done) / blockSize));
				const offset = payload(await page(Math.floor(entry / BAT_PAGE)), entry);
				if (offset === undefined) part.fill(0);
				else await source.read(offset + within, part);
				done += part.length;
			}
		},
		async *extents() {
			let dataBlocks = 0;
			let start = 0;
			let kind: Extent["kind"] = "zero";
			let index = 0;
			let view = await page(index);
			for (let block = 0; block < blocks; block++) {
				const entry = entryAt(block);
				if (entry >= (index + 1) * BAT_PAGE) view = await page(++index);
				const next = payload(view, entry) === undefined ? "zero" : "data";
				if (next === "data" && ++dataBlocks * blockSize > source.size + blockSize) {
					throw damaged(`${name}: the block allocation table names more data than the file can hold`, { file: name });
				}
				if (next === kind) continue;
				if (block > 0) yield { at: start, length: block * blockSize - start, kind };
				start = block * blockSize;
				kind = next;
			}
			if (size > start) yield { at: start, length: size - start, kind };
		},
	};
}

/** 2.2.2: of the headers that are valid, the one with the higher sequence number. */
async function currentHeader(source: ByteSource): Promise<ReturnType<typeof Header.parse>> {
	const file = source.name;
	const headers = [];
	for (const at of HEADER_OFFSETS) {
		const sector = await readBytes(source, at, Header.size);
		// A header that was being written when the power failed may hold anything: only a valid one is parsed.
		if (viewOf(sector).getUint32(Header.offsets.checksum, true) !== checksum(sector)) continue;
		const header = Header.parse(sector, 0, file, at);
		if (header.signature === HEADER_SIGNATURE) headers.push(header);
	}
	const [current] = headers.sort((a, b) => b.sequenceNumber - a.sequenceNumber);
	if (current === undefined) {
		throw damaged(`${file}: neither of the two VHDX headers is valid`, { file, offset: HEADER_OFFSETS[0] });
	}
	if (current.version !== 1) throw unsupported(`${file}: VHDX version ${current.version} is not known`, { file });
	return current;
}

interface Region {
	readonly at: number;
	readonly length: number;
}

/** 2.2.3: the first region table that is valid. */
async function readRegions(source: ByteSource): Promise<{ bat: Region; metadata: Region }> {
	const file = source.name;
	for (const at of REGION_TABLE_OFFSETS) {
		const table = await readBytes(source, at, TABLE_SIZE);
		const { signature, entryCount, checksum: expected } = RegionTableHeader.parse(table, 0, file, at);
		if (signature !== REGION_SIGNATURE || entryCount > TABLE_ENTRIES_LIMIT || checksum(table) !== expected) continue;

		const regions = new Map<string, Region>();
		for (let i = 0; i < entryCount; i++) {
			const entry = RegionTableEntry.parse(table, RegionTableHeader.size + i * RegionTableEntry.size, file, at);
			checkRange(source, entry.fileOffset, entry.length);
			regions.set(entry.guid, { at: entry.fileOffset, length: entry.length });
			const known = entry.guid === REGION.bat || entry.guid === REGION.metadata;
			if (!known && entry.flags & REGION_REQUIRED) {
				throw unsupported(`${file}: the VHDX needs region ${entry.guid}, which is not known`, { file, offset: at });
			}
		}
		const bat = regions.get(REGION.bat);
		const metadata = regions.get(REGION.metadata);
		if (bat === undefined || metadata === undefined) {
			throw damaged(`${file}: the region table lacks the block allocation table or the metadata`, { file, offset: at });
		}
		return { bat, metadata };
	}
	throw damaged(`${file}: neither of the two VHDX region tables is valid`, { file, offset: REGION_TABLE_OFFSETS[0] });
}

/** 2.6: what of the metadata describes the disk. */
async function readMetadata(source: ByteSource, region: Region) {
	const file = source.name;
	const broken = (message: string) => damaged(`${file}: ${message}`, { file, offset: region.at });
	const table = await readBytes(source, region.at, Math.min(TABLE_SIZE, region.length));
	const { signature, entryCount } = MetadataTableHeader.parse(table, 0, file, region.at);
	if (signature !== METADATA_SIGNATURE || entryCount > TABLE_ENTRIES_LIMIT) throw broken("no valid metadata table");

	const offsets = new Map<string, number>();
	for (let i = 0; i < entryCount; i++) {
		const at = MetadataTableHeader.size + i * MetadataTableEntry.size;
		const { itemId, offset, flags } = MetadataTableEntry.parse(table, at, file, region.at);
		// Items of the user's software may share an id with the system's.
		if ((flags & METADATA_FLAG.isUser) === 0) offsets.set(itemId, offset);
		if ((flags & METADATA_FLAG.isRequired) !== 0 && !Object.values<string>(ITEM).includes(itemId)) {
			throw unsupported(`${file}: the VHDX needs metadata ${itemId}, which is not known`, { file, offset: region.at });
		}
	}
	async function item<T>(id: string, layout: Struct<T>): Promise<T> {
		const offset = offsets.get(id);
		if (offset === undefined || offset + layout.size > region.length) throw broken(`the ${layout.name} is missing`);
		return layout.parse(await readBytes(source, region.at + offset, layout.size), 0, file, region.at + offset);
	}

	const { blockSize, flags } = await item(ITEM.fileParameters, FileParameters);
	if (flags & FILE_FLAG.hasParent) {
		throw unsupported(`${file}: a differencing VHDX, which continues another disk`, {
			file,
			hint: "Merge it into its parent with Hyper-V's Edit Disk or Merge-VHD, or delete the VM's checkpoints.",
		});
	}
	if (blockSize < BLOCK_SIZES.min || blockSize > BLOCK_SIZES.max || !Number.isInteger(Math.log2(blockSize))) {
		throw broken(`blocks of ${blockSize} bytes; 1 to 256 MiB and a power of two are possible`);
	}
	const { sectorSize } = await item(ITEM.logicalSectorSize, SectorSize);
	if (sectorSize !== 512 && sectorSize !== 4096) {
		throw broken(`logical sectors of ${sectorSize} bytes; 512 and 4096 are possible`);
	}
	const { virtualDiskSize: size } = await item(ITEM.virtualDiskSize, VirtualDiskSize);
	if (size === 0 || size > DISK_SIZE_LIMIT || size % sectorSize !== 0) {
		throw broken(`a disk of ${size} bytes; whole sectors up to 64 TiB are possible`);
	}
	return { size, sectorSize, blockSize, fixed: (flags & FILE_FLAG.leaveBlockAllocated) !== 0 };
}
