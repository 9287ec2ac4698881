import { cached } from "../../bytes/cache.js";
import { type AnyvisorError, damaged, unsupported } from "../../bytes/errors.js";
import { type ByteSource, readBytes, readUpTo } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { AllocationTable, extentsOf } from "../fat/table.js";
import { type ExtentList, findRun, mappedSource } from "../mapped.js";
import { BootSector, CHECKED_SECTORS, FILE_SYSTEM_NAME, UNCHECKED_BYTES, VolumeFlag } from "./layout.js";

/** A volume whose boot sector has been read and checked. */
export interface ExfatVolume {
	/** For messages. */
	readonly name: string;
	readonly source: ByteSource;
	/** The same bytes through a cache: for whatever is small and looked at again. */
	readonly metadata: ByteSource;
	readonly clusterSize: number;
	/** Number of clusters; they are numbered from 2. */
	readonly clusters: number;
	/** Of cluster 2, in bytes. */
	readonly dataAt: number;
	readonly rootCluster: number;
	readonly serial: number;
	readonly isDirty: boolean;
	readonly usesSecondFat: boolean;
	readonly table: AllocationTable;
}

/** "damaged", at a byte of the file system, with the way out. */
export const corrupt = (name: string, offset: number, fault: string): AnyvisorError =>
	damaged(`${name}: ${fault}`, { file: name, offset, hint: 'Run "fsck.exfat" on a copy of this file system.' });

/** `undefined` where there is no exFAT; damaged where its boot sector contradicts itself. */
export async function openVolume(source: ByteSource): Promise<ExfatVolume | undefined> {
	const { name } = source;
	const sector = await readUpTo(source, 0, 512);
	const mark = sector.subarray(BootSector.offsets.fileSystemName, BootSector.offsets.mustBeZero);
	if (sector.length < 512 || String.fromCharCode(...mark) !== FILE_SYSTEM_NAME) return undefined;
	const boot = BootSector.parse(sector, 0, name);
	const fault = (what: string) => corrupt(name, 0, `the exFAT boot sector claims ${what}`);
	if (boot.bytesPerSectorShift < 9 || boot.bytesPerSectorShift > 12) {
		throw fault(`sectors of 2^${boot.bytesPerSectorShift} bytes`);
	}
	const sectorSize = 2 ** boot.bytesPerSectorShift;
	if (boot.bytesPerSectorShift + boot.sectorsPerClusterShift > 25) {
		throw fault(`clusters of 2^${boot.bytesPerSectorShift + boot.sectorsPerClusterShift} bytes`);
	}
	await checkBootRegion(source, sectorSize);
	const major = boot.fileSystemRevision >>> 8;
	if (major !== 1) {
		throw unsupported(`${name}: this exFAT is of version ${major}, which Anyvisor cannot read`, {
			file: name,
			offset: BootSector.offsets.fileSystemRevision,
		});
	}
	const clusterSize = sectorSize * 2 ** boot.sectorsPerClusterShift;
	const { clusterCount, numberOfFats, fatOffset, fatLength, clusterHeapOffset, volumeLength } = boot;
	const tableSize = fatLength * sectorSize;
	const end = clusterHeapOffset * sectorSize + clusterCount * clusterSize;
	if (clusterCount === 0 || clusterCount > 0xfffffff5 || end > volumeLength * sectorSize) {
		throw fault(`${clusterCount} clusters from sector ${clusterHeapOffset} of ${volumeLength} on`);
	}
	const usesSecondFat = numberOfFats === 2 && (boot.volumeFlags & VolumeFlag.ACTIVE_FAT) !== 0;
	if (numberOfFats < 1 || numberOfFats > 2) throw fault(`${numberOfFats} FATs`);
	const tableAt = fatOffset * sectorSize + (usesSecondFat ? tableSize : 0);
	if ((clusterCount + 2) * 4 > tableSize || tableAt + tableSize > clusterHeapOffset * sectorSize) {
		throw fault(`a FAT of ${tableSize} bytes for ${clusterCount} clusters`);
	}
	const metadata = cached(source);
	return {
		name,
		source,
		metadata,
		clusterSize,
		clusters: clusterCount,
		dataAt: clusterHeapOffset * sectorSize,
		rootCluster: boot.firstClusterOfRootDirectory,
		serial: boot.volumeSerialNumber,
		isDirty: (boot.volumeFlags & VolumeFlag.VOLUME_DIRTY) !== 0,
		usesSecondFat,
		table: new AllocationTable(source, { kind: "exfat", clusters: clusterCount, tableSize, tableAt, tablesAt: [] }),
	};
}

async function checkBootRegion(source: ByteSource, sectorSize: number): Promise<void> {
	const length = CHECKED_SECTORS * sectorSize;
	const bytes = await readBytes(source, 0, length + 4);
	const sum = checksum32(bytes.subarray(0, length), UNCHECKED_BYTES);
	if (viewOf(bytes).getUint32(length, true) !== sum) {
		throw corrupt(source.name, length, "the checksum of the exFAT boot sectors is wrong");
	}
}

/** Adds bytes up, rotating the sum before each. */
export function checksum32(bytes: Uint8Array, skipped: readonly number[] = []): number {
	let sum = 0;
	for (const [i, byte] of bytes.entries()) {
		if (!skipped.includes(i)) sum = (((sum << 31) | (sum >>> 1)) + byte) >>> 0;
	}
	return sum;
}

/** Where the `length` bytes that begin with cluster `first` are; `referrer` is the byte that names it, for messages. */
export async function extentsFrom(
	volume: ExfatVolume,
	first: number,
	length: number,
	isContiguous: boolean,
	referrer: number,
): Promise<ExtentList> {
	const needed = Math.ceil(length / volume.clusterSize);
	const placeOf = (cluster: number) => volume.dataAt + (cluster - 2) * volume.clusterSize;
	if (needed === 0) return { from: 0, to: 0, extents: [] };
	if (isContiguous) {
		if (first < 2 || first + needed > volume.clusters + 2) {
			throw corrupt(
				volume.name,
				referrer,
				`${needed} clusters from ${first} on are used, but there are no such clusters`,
			);
		}
		return extentsOf([{ first, count: needed }], placeOf);
	}
	const chain = await volume.table.chain(first, needed);
	if (chain.clusters < needed) throw corrupt(volume.name, referrer, "the clusters of a file end before its data");
	return extentsOf(chain.runs, placeOf);
}

/** The `size` bytes in some extents, of which `validLength` were written. */
export function extentsSource(
	volume: ExfatVolume,
	extents: ExtentList,
	size: number,
	name = volume.name,
	from = volume.metadata,
): ByteSource {
	const { clusterSize } = volume;
	return mappedSource((logical, most) => findRun(extents, clusterSize, logical, most), size, clusterSize, from, name);
}
