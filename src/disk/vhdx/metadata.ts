import { damaged, unsupported } from "../../bytes/errors.js";
import { type ByteSource, readBytes } from "../../bytes/source.js";
import type { Struct, Value } from "../../bytes/struct.js";
import type { Region } from "./header.js";
import {
	BLOCK_SIZES,
	DISK_SIZE_LIMIT,
	FILE_FLAG,
	FileParameters,
	ITEM,
	METADATA_FLAG,
	METADATA_SIGNATURE,
	MetadataTableEntry,
	MetadataTableHeader,
	MIB,
	ParentLocatorEntry,
	ParentLocatorHeader,
	SectorSize,
	TABLE_ENTRIES_LIMIT,
	TABLE_SIZE,
	VHDX_LOCATOR,
	VirtualDiskId,
	VirtualDiskSize,
} from "./layout.js";

export type MetadataTableEntryFields = Value<typeof MetadataTableEntry>;

/** What of the metadata describes the disk; sizes in bytes. */
export interface Metadata {
	readonly size: number;
	readonly sectorSize: number;
	/** 0 where the file does not tell. */
	readonly physicalSectorSize: number;
	readonly blockSize: number;
	readonly leaveBlockAllocated: boolean;
	/** Undefined where the file does not tell. */
	readonly virtualDiskId: string | undefined;
	/** 2.6.2.6.3: what a differencing disk knows of its parent, by key. */
	readonly parentLocator: ReadonlyMap<string, string> | undefined;
}

/** 2.6.1: the entries of the metadata table. */
export async function readMetadataTable(
	source: ByteSource,
	region: Region,
): Promise<readonly MetadataTableEntryFields[]> {
	const file = source.name;
	const table = await readBytes(source, region.at, Math.min(TABLE_SIZE, region.length));
	const { signature, entryCount } = MetadataTableHeader.parse(table, 0, file, region.at);
	if (signature !== METADATA_SIGNATURE || entryCount > TABLE_ENTRIES_LIMIT) {
		throw damaged(`${file}: no valid metadata table`, { file, offset: region.at });
	}
	const entryAt = (i: number) => MetadataTableHeader.size + i * MetadataTableEntry.size;
	return Array.from({ length: entryCount }, (_, i) => MetadataTableEntry.parse(table, entryAt(i), file, region.at));
}

/** 2.6 */
export async function readMetadata(source: ByteSource, region: Region): Promise<Metadata> {
	const file = source.name;
	const broken = (message: string) => damaged(`${file}: ${message}`, { file, offset: region.at });

	const items = new Map<string, MetadataTableEntryFields>();
	for (const entry of await readMetadataTable(source, region)) {
		const { itemId, flags } = entry;
		// Items of the user's software may share an id with the system's.
		if ((flags & METADATA_FLAG.isUser) === 0) items.set(itemId, entry);
		if ((flags & METADATA_FLAG.isRequired) !== 0 && !Object.values<string>(ITEM).includes(itemId)) {
			throw unsupported(`${file}: the VHDX needs metadata ${itemId}, which is not known`, { file, offset: region.at });
		}
	}
	async function optionalItem<T>(id: string, layout: Struct<T>): Promise<T | undefined> {
		const offset = items.get(id)?.offset;
		if (offset === undefined || offset + layout.size > region.length) return undefined;
		return layout.parse(await readBytes(source, region.at + offset, layout.size), 0, file, region.at + offset);
	}
	async function item<T>(id: string, layout: Struct<T>): Promise<T> {
		const value = await optionalItem(id, layout);
		if (value === undefined) throw broken(`the ${layout.name} is missing`);
		return value;
	}

	const { blockSize, flags } = await item(ITEM.fileParameters, FileParameters);
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
	let parentLocator: Metadata["parentLocator"];
	if (flags & FILE_FLAG.hasParent) {
		const locator = items.get(ITEM.parentLocator);
		if (locator === undefined || locator.length > MIB || locator.offset + locator.length > region.length) {
			throw broken("the disk has a parent, but no parent locator");
		}
		const at = region.at + locator.offset;
		parentLocator = parseParentLocator(await readBytes(source, at, locator.length), file, at);
	}
	return {
		size,
		sectorSize,
		physicalSectorSize: (await optionalItem(ITEM.physicalSectorSize, SectorSize))?.sectorSize ?? 0,
		blockSize,
		leaveBlockAllocated: (flags & FILE_FLAG.leaveBlockAllocated) !== 0,
		virtualDiskId: (await optionalItem(ITEM.virtualDiskId, VirtualDiskId))?.virtualDiskId,
		parentLocator,
	};
}

/** 2.6.2.6 */
function parseParentLocator(bytes: Uint8Array, file: string, offset: number): ReadonlyMap<string, string> {
	const { locatorType, keyValueCount } = ParentLocatorHeader.parse(bytes, 0, file, offset);
	if (locatorType !== VHDX_LOCATOR) {
		throw unsupported(`${file}: its parent is of a kind that is not known (${locatorType})`, {
			file,
			offset,
			hint: "Merge it into its parent on the hypervisor that made it.",
		});
	}
	const utf16 = new TextDecoder("utf-16le");
	const textAt = (at: number, length: number) => {
		if (at + length > bytes.length) {
			throw damaged(`${file}: the parent locator names text outside of itself`, { file, offset: offset + at });
		}
		return utf16.decode(bytes.subarray(at, at + length));
	};
	const values = new Map<string, string>();
	for (let i = 0; i < keyValueCount; i++) {
		const at = ParentLocatorHeader.size + i * ParentLocatorEntry.size;
		const entry = ParentLocatorEntry.parse(bytes, at, file, offset);
		values.set(textAt(entry.keyOffset, entry.keyLength), textAt(entry.valueOffset, entry.valueLength));
	}
	return values;
}
