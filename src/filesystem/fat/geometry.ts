import { damaged } from "../../bytes/errors.js";
import { type ByteSource, readUpTo } from "../../bytes/source.js";
import { BootSector, Fat16Extension, Fat32Extension, signatureAt } from "./layout.js";

/** Where a FAT volume has what; offsets and sizes in bytes. */
export interface Geometry {
	readonly kind: "fat12" | "fat16" | "fat32";
	readonly sectorSize: number;
	readonly clusterSize: number;
	/** Number of data clusters; they are numbered from 2. */
	readonly clusters: number;
	/** One of the FATs. */
	readonly tableSize: number;
	/** Offset of the FAT that counts, and of every FAT that a change goes to. */
	readonly tableAt: number;
	readonly tablesAt: readonly number[];
	/** The root directory of FAT12 and FAT16: a fixed place of its own. */
	readonly fixedRoot?: { readonly at: number; readonly size: number };
	/** First cluster of the root directory: FAT32; 0 otherwise. */
	readonly rootCluster: number;
	/** Of cluster 2. */
	readonly dataAt: number;
	/** FAT32's FSInfo sector; 0 where there is none. */
	readonly infoAt: number;
	readonly volumeId: number;
	/** As the boot sector has it; the root directory's counts more. */
	readonly label: string;
}

const powerOfTwo = (value: number) => value > 0 && (value & (value - 1)) === 0;

/** `undefined` when `volume` is no FAT volume; `damaged` when it is one whose parts do not fit it. */
export async function readGeometry(volume: ByteSource): Promise<Geometry | undefined> {
	const sector = await readUpTo(volume, 0, 512);
	if (sector.length < 512 || sector[signatureAt] !== 0x55 || sector[signatureAt + 1] !== 0xaa) return undefined;
	const boot = BootSector.parse(sector, 0, volume.name);
	const sectorSize = boot.bytsPerSec;
	const plausible =
		powerOfTwo(sectorSize) &&
		sectorSize >= 512 &&
		sectorSize <= 4096 &&
		powerOfTwo(boot.secPerClus) &&
		boot.rsvdSecCnt > 0 &&
		boot.numFATs > 0 &&
		(boot.media === 0xf0 || boot.media >= 0xf8);
	if (!plausible) return undefined;

	const wide = boot.fatSz16 === 0;
	const extension32 = wide ? Fat32Extension.parse(sector, BootSector.size, volume.name) : undefined;
	const extension = extension32 ?? Fat16Extension.parse(sector, BootSector.size, volume.name);
	const sectors = boot.totSec16 || boot.totSec32;
	const tableSectors = extension32?.fatSz32 ?? boot.fatSz16;
	const rootSectors = Math.ceil((boot.rootEntCnt * 32) / sectorSize);
	const dataSector = boot.rsvdSecCnt + boot.numFATs * tableSectors + rootSectors;
	const clusters = Math.floor((sectors - dataSector) / boot.secPerClus);
	if (clusters < 1 || tableSectors === 0) {
		throw damaged(`${volume.name}: the FAT boot sector leaves no room for data`, { file: volume.name, offset: 0 });
	}
	if (dataSector * sectorSize + clusters * boot.secPerClus * sectorSize > volume.size) {
		throw damaged(
			`${volume.name}: the FAT file system is ${sectors * sectorSize} bytes long, but its volume only ${volume.size}`,
			{ file: volume.name, offset: 0, hint: "Check that the disk image is complete." },
		);
	}
	const kind = wide ? "fat32" : clusters < 4085 ? "fat12" : "fat16";
	const tableSize = tableSectors * sectorSize;
	const needed = Math.ceil(((clusters + 2) * { fat12: 3, fat16: 4, fat32: 8 }[kind]) / 2);
	if (needed > tableSize || (kind === "fat16" && clusters >= 65525) || clusters >= 0x0ffffff5) {
		throw damaged(`${volume.name}: its FAT of ${tableSize} bytes cannot number ${clusters} clusters`, {
			file: volume.name,
			offset: 0,
		});
	}

	const tables = Array.from({ length: boot.numFATs }, (_, i) => boot.rsvdSecCnt * sectorSize + i * tableSize);
	// ExtFlags bit 7: only the FAT whose number is in bits 0 to 3 is kept.
	const flags = extension32?.extFlags ?? 0;
	const only = (flags & 0x80) === 0 ? undefined : tables[flags & 0x0f];
	const infoSector = extension32?.fsInfo ?? 0;
	return {
		kind,
		sectorSize,
		clusterSize: boot.secPerClus * sectorSize,
		clusters,
		tableSize,
		tableAt: only ?? boot.rsvdSecCnt * sectorSize,
		tablesAt: only === undefined ? tables : [only],
		...(wide ? {} : { fixedRoot: { at: (dataSector - rootSectors) * sectorSize, size: boot.rootEntCnt * 32 } }),
		rootCluster: extension32?.rootClus ?? 0,
		dataAt: dataSector * sectorSize,
		infoAt: infoSector > 0 && infoSector < boot.rsvdSecCnt ? infoSector * sectorSize : 0,
		volumeId: extension.volID,
		label: extension.volLab.trimEnd(),
	};
}

/** Byte offset of a cluster on the volume; `damaged` when there is no such cluster. */
export function clusterAt(geometry: Geometry, cluster: number, file: string): number {
	if (cluster < 2 || cluster >= geometry.clusters + 2) {
		throw damaged(`${file}: cluster ${cluster} is not one of the ${geometry.clusters} that the volume has`, { file });
	}
	return geometry.dataAt + (cluster - 2) * geometry.clusterSize;
}
