import { type AnyvisorError, damaged } from "../../bytes/errors.js";
import { type ByteSource, readUpTo } from "../../bytes/source.js";
import { BootSector, OEM_ID } from "./layout.js";

/** What the boot sector says, checked; sizes in bytes. */
export interface NtfsParameters {
	/** 512 to 2 MiB. */
	readonly clusterSize: number;
	readonly clusters: number;
	/** Of an entry of the MFT. */
	readonly recordSize: number;
	readonly mftAt: number;
	readonly serial: bigint;
}

const LARGEST_CLUSTER = 2 << 20;
const LARGEST_RECORD = 64 << 10;

/** "damaged", at a byte of the file system, with the way out. */
export const corrupt = (name: string, offset: number, fault: string): AnyvisorError =>
	damaged(`${name}: ${fault}`, {
		file: name,
		offset,
		hint: 'Run "chkdsk /f" in the guest, or on a copy of this file system.',
	});

const isPower = (value: number, least: number, most: number) =>
	value >= least && value <= most && Number.isInteger(Math.log2(value));

/** `undefined` where there is no NTFS; damaged where its boot sector contradicts itself. */
export async function readBoot(volume: ByteSource): Promise<NtfsParameters | undefined> {
	const sector = await readUpTo(volume, 0, BootSector.size);
	if (sector.length < BootSector.size) return undefined;
	const oemId = sector.subarray(BootSector.offsets.oemId, BootSector.offsets.bytesPerSector);
	if (String.fromCharCode(...oemId) !== OEM_ID) return undefined;
	const fields = BootSector.parse(sector, 0, volume.name);
	const fault = (what: string) => corrupt(volume.name, 0, `the NTFS boot sector claims ${what}`);
	const { bytesPerSector, numberSectors, mftStartLcn } = fields;
	if (!isPower(bytesPerSector, 256, 4096)) throw fault(`sectors of ${bytesPerSector} bytes`);
	const clusterSize = bytesPerSector * unsignedOrPower(fields.sectorsPerCluster);
	if (!isPower(clusterSize, 512, LARGEST_CLUSTER)) throw fault(`clusters of ${clusterSize} bytes`);
	const perRecord = fields.clustersPerFileRecord;
	const recordSize = perRecord < 0x80 ? perRecord * clusterSize : 2 ** (0x100 - perRecord);
	if (!isPower(recordSize, 512, LARGEST_RECORD)) throw fault(`file records of ${recordSize} bytes`);
	const clusters = Math.floor((numberSectors * bytesPerSector) / clusterSize);
	if (!Number.isSafeInteger(numberSectors * bytesPerSector)) throw fault(`${numberSectors} sectors`);
	if (mftStartLcn === 0 || mftStartLcn >= clusters) throw fault(`that the MFT begins at cluster ${mftStartLcn}`);
	return { clusterSize, clusters, recordSize, mftAt: mftStartLcn * clusterSize, serial: fields.serialNumber };
}

/** Up to 128 sectors are counted; more are given as the negative of their power of two. */
const unsignedOrPower = (value: number) => (value <= 0x80 ? value : 2 ** (0x100 - value));
