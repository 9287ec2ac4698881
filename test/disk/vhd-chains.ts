import { notFound } from "../../src/bytes/errors.js";
import { type ByteSource, bytesSource } from "../../src/bytes/source.js";
import { viewOf } from "../../src/bytes/struct.js";
import type { Neighbours } from "../../src/disk/disk.js";
import { confinedNeighbours } from "../../src/disk/neighbours.js";
import * as vhd from "../../src/disk/vhd/layout.js";
import { FOOTER_COOKIE } from "../../src/disk/vhd/mark.js";
import * as vhdx from "../../src/disk/vhdx/layout.js";
import { FILE_SIGNATURE } from "../../src/disk/vhdx/mark.js";

/** What a differencing disk holds itself, and whose child it is. */
export interface Layer {
	/** All of the virtual disk; what lies in sectors that are not `own` does not count. */
	readonly content: Uint8Array;
	/** Whether the disk holds a sector itself. */
	readonly own: (sector: number) => boolean;
	readonly blockSize: number;
	readonly parentId: string;
	readonly id: string;
	/** As Windows would write it: `.\parent.vhd`. */
	readonly relativePath?: string;
	/** `C:\folder\parent.vhd` */
	readonly absolutePath?: string;
}

const utf16 = (text: string) => new Uint8Array(Buffer.from(text, "utf16le"));

function ownIn({ own }: Layer, first: number, count: number): number {
	let found = 0;
	for (let sector = first; sector < first + count; sector++) if (own(sector)) found++;
	return found;
}

/** A differencing VHD in the order that Hyper-V has: footer, header, two locators, BAT, blocks, footer. */
export function buildVhdChild(layer: Layer): Uint8Array {
	const { content, blockSize, own } = layer;
	const sectors = content.length / vhd.SECTOR;
	const blocks = Math.ceil(content.length / blockSize);
	const locators = [
		{ platformCode: "W2ku", at: 4096, path: utf16(layer.absolutePath ?? "") },
		{ platformCode: "W2ru", at: 8192, path: utf16(layer.relativePath ?? "") },
	];
	const tableOffset = 12_288;
	const perBlock = blockSize / vhd.SECTOR;
	const bitmapSize = vhd.bitmapSize(blockSize);
	const bat = new Uint8Array(Math.ceil((blocks * 4) / vhd.SECTOR) * vhd.SECTOR).fill(0xff);
	const parts: Uint8Array[] = [];
	let end = tableOffset + bat.length;
	for (let block = 0; block < blocks; block++) {
		const first = block * perBlock;
		const count = Math.min(perBlock, sectors - first);
		if (ownIn(layer, first, count) === 0) continue;
		const bytes = new Uint8Array(bitmapSize + blockSize);
		for (let i = 0; i < count; i++) {
			const at = (first + i) * vhd.SECTOR;
			const sector = content.subarray(at, at + vhd.SECTOR);
			// What the parent has must not be read here.
			if (own(first + i)) bytes[i >>> 3] = (bytes[i >>> 3] ?? 0) | (0x80 >>> (i % 8));
			bytes.set(own(first + i) ? sector : new Uint8Array(vhd.SECTOR).fill(0xee), bitmapSize + i * vhd.SECTOR);
		}
		viewOf(bat).setUint32(block * 4, end / vhd.SECTOR);
		parts.push(bytes);
		end += bytes.length;
	}
	const footer = vhd.Footer.build({
		cookie: FOOTER_COOKIE,
		features: vhd.FEATURES_RESERVED,
		fileFormatVersion: vhd.VERSION,
		dataOffset: 512n,
		creatorApplication: "win ",
		creatorVersion: 0x000a_0000,
		creatorHostOs: "Wi2k",
		originalSize: content.length,
		currentSize: content.length,
		cylinders: 1,
		heads: 1,
		sectorsPerTrack: 1,
		diskType: vhd.DiskType.differencing,
		uniqueId: layer.id,
	});
	viewOf(footer).setUint32(64, vhd.checksum(footer, 64));
	const header = vhd.DynamicHeader.build({
		cookie: vhd.DYNAMIC_COOKIE,
		dataOffset: vhd.NO_OFFSET,
		tableOffset,
		headerVersion: vhd.VERSION,
		maxTableEntries: blocks,
		blockSize,
		parentUniqueId: layer.parentId,
		parentUnicodeName: layer.absolutePath ?? "",
		parentLocators: locators
			.filter(({ path }) => path.length > 0)
			.map(({ platformCode, at, path }) => ({
				platformCode,
				platformDataSpace: 4096,
				platformDataLength: path.length,
				reserved: 0,
				platformDataOffset: at,
			})),
	});
	viewOf(header).setUint32(36, vhd.checksum(header, 36));
	const image = new Uint8Array(end + footer.length);
	image.set(footer);
	image.set(header, 512);
	for (const { at, path } of locators) image.set(path, at);
	image.set(bat, tableOffset);
	let at = tableOffset + bat.length;
	for (const bytes of parts) {
		image.set(bytes, at);
		at += bytes.length;
	}
	image.set(footer, end);
	return image;
}

export interface VhdxLayer extends Layer {
	readonly sectorSize: number;
	/** Blocks that the disk says are zero, whatever the parent has there. */
	readonly zeroBlocks?: ReadonlySet<number>;
}

const { KIB, MIB } = vhdx;

/** A differencing VHDX: header section, log, metadata, BAT, then blocks and sector bitmaps as they come. */
export function buildVhdxChild(layer: VhdxLayer): Uint8Array {
	const { content, blockSize, sectorSize, own, zeroBlocks } = layer;
	const blocks = Math.ceil(content.length / blockSize);
	const perBlock = blockSize / sectorSize;
	const ratio = vhdx.chunkRatio(sectorSize, blockSize);
	const [metadataAt, batAt] = [2 * MIB, 3 * MIB];
	const bat = new Uint8Array(MIB);
	const entries = viewOf(bat);
	const parts: Uint8Array[] = [];
	let end = 4 * MIB;
	const put = (entry: number, state: number, bytes?: Uint8Array) => {
		entries.setBigUint64(entry * 8, BigInt((bytes === undefined ? 0 : end) + state), true);
		if (bytes === undefined) return;
		parts.push(bytes);
		end += bytes.length;
	};
	for (let chunk = 0; chunk * ratio < blocks; chunk++) {
		let bitmap: Uint8Array | undefined;
		for (let block = chunk * ratio; block < Math.min(blocks, (chunk + 1) * ratio); block++) {
			const first = block * perBlock;
			const count = Math.min(perBlock, content.length / sectorSize - first);
			const owned = ownIn(layer, first, count);
			const entry = block + chunk;
			if (zeroBlocks?.has(block) === true) put(entry, vhdx.STATE.zero);
			else if (owned > 0) {
				const bytes = new Uint8Array(blockSize);
				for (let i = 0; i < count; i++) {
					const at = (first + i) * sectorSize;
					const mine = own(first + i);
					bytes.set(
						mine ? content.subarray(at, at + sectorSize) : new Uint8Array(sectorSize).fill(0xee),
						i * sectorSize,
					);
					if (!mine || owned === count) continue;
					bitmap ??= new Uint8Array(vhdx.BITMAP_BLOCK);
					const bit = (block % ratio) * perBlock + i;
					bitmap[bit >>> 3] = (bitmap[bit >>> 3] ?? 0) | (1 << (bit % 8));
				}
				put(entry, owned === count ? vhdx.STATE.fullyPresent : vhdx.STATE.partiallyPresent, bytes);
			}
		}
		if (bitmap !== undefined) put((chunk + 1) * (ratio + 1) - 1, vhdx.STATE.fullyPresent, bitmap);
	}

	const image = new Uint8Array(end);
	image.set(vhdx.FileTypeIdentifier.build({ signature: FILE_SIGNATURE, creator: "a test" }));
	for (const [i, at] of vhdx.HEADER_OFFSETS.entries()) {
		const header = vhdx.Header.build({
			signature: vhdx.HEADER_SIGNATURE,
			sequenceNumber: i + 1,
			fileWriteGuid: layer.id,
			dataWriteGuid: layer.id,
			version: 1,
			logLength: MIB,
			logOffset: MIB,
		});
		image.set(vhdx.sealed(header), at);
	}
	const table = new Uint8Array(vhdx.TABLE_SIZE);
	table.set(vhdx.RegionTableHeader.build({ signature: vhdx.REGION_SIGNATURE, entryCount: 2 }));
	for (const [i, region] of [
		{ guid: vhdx.REGION.metadata, fileOffset: metadataAt },
		{ guid: vhdx.REGION.bat, fileOffset: batAt },
	].entries()) {
		const entry = vhdx.RegionTableEntry.build({ ...region, length: MIB, flags: vhdx.REGION_REQUIRED });
		table.set(entry, vhdx.RegionTableHeader.size + i * vhdx.RegionTableEntry.size);
	}
	vhdx.sealed(table);
	for (const at of vhdx.REGION_TABLE_OFFSETS) image.set(table, at);
	image.set(buildMetadata(layer), metadataAt);
	image.set(bat, batAt);
	let at = 4 * MIB;
	for (const bytes of parts) {
		image.set(bytes, at);
		at += bytes.length;
	}
	return image;
}

function buildMetadata({ content, blockSize, sectorSize, id, ...layer }: VhdxLayer): Uint8Array {
	const { ITEM } = vhdx;
	const values = new Map([["parent_linkage", `{${layer.parentId}}`]]);
	if (layer.absolutePath !== undefined) values.set("absolute_win32_path", layer.absolutePath);
	if (layer.relativePath !== undefined) values.set("relative_path", layer.relativePath);
	const items: [string, Uint8Array][] = [
		[ITEM.fileParameters, vhdx.FileParameters.build({ blockSize, flags: vhdx.FILE_FLAG.hasParent })],
		[ITEM.virtualDiskSize, vhdx.VirtualDiskSize.build({ virtualDiskSize: content.length })],
		[ITEM.virtualDiskId, vhdx.VirtualDiskId.build({ virtualDiskId: id })],
		[ITEM.logicalSectorSize, vhdx.SectorSize.build({ sectorSize })],
		[ITEM.physicalSectorSize, vhdx.SectorSize.build({ sectorSize: 4096 })],
		[ITEM.parentLocator, buildLocator(values)],
	];
	const region = new Uint8Array(vhdx.TABLE_SIZE + 16 * KIB);
	region.set(vhdx.MetadataTableHeader.build({ signature: vhdx.METADATA_SIGNATURE, entryCount: items.length }));
	let offset = vhdx.TABLE_SIZE;
	for (const [i, [itemId, value]] of items.entries()) {
		const entry = vhdx.MetadataTableEntry.build({ itemId, offset, length: value.length, flags: 4 });
		region.set(entry, vhdx.MetadataTableHeader.size + i * vhdx.MetadataTableEntry.size);
		region.set(value, offset);
		offset += value.length;
	}
	return region;
}

function buildLocator(values: ReadonlyMap<string, string>): Uint8Array {
	const header = vhdx.ParentLocatorHeader.build({ locatorType: vhdx.VHDX_LOCATOR, keyValueCount: values.size });
	const parts = [header];
	const texts: Uint8Array[] = [];
	let at = header.length + values.size * vhdx.ParentLocatorEntry.size;
	for (const pair of values) {
		const [key, value] = pair.map(utf16) as [Uint8Array, Uint8Array];
		const [keyLength, valueLength] = [key.length, value.length];
		parts.push(vhdx.ParentLocatorEntry.build({ keyOffset: at, valueOffset: at + keyLength, keyLength, valueLength }));
		texts.push(key, value);
		at += keyLength + valueLength;
	}
	return Buffer.concat([...parts, ...texts]);
}

/** Neighbours out of a folder that is in memory. */
export function inMemory(files: Readonly<Record<string, Uint8Array>>): Neighbours {
	return confinedNeighbours((name): Promise<ByteSource> => {
		const bytes = files[name];
		return bytes === undefined ? Promise.reject(notFound(name)) : Promise.resolve(bytesSource(bytes, name));
	});
}
