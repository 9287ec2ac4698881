import { damaged } from "../bytes/errors.js";
import { type ByteSource, readBytes, readUpTo } from "../bytes/source.js";
import { array, bytes, struct, u8, u16, u32, type Value } from "../bytes/struct.js";
import { isFileSystemBootSector } from "./boot-sector.js";
import { isBsdSlice, partitionsOf } from "./bsd.js";
import type { Volume, VolumeScheme } from "./volume.js";
import { volumeSource } from "./window.js";

/** https://uefi.org/specs/UEFI/2.10/05_GUID_Partition_Table_Format.html#legacy-master-boot-record-mbr */
const PartitionRecord = struct("MBR partition record", "little", {
	bootIndicator: u8,
	startingChs: bytes(3),
	osType: u8,
	endingChs: bytes(3),
	/** In sectors; counted from the table it stands in, or from the extended partition: see {@link logicalPartitions}. */
	startingLba: u32,
	sizeInLba: u32,
});

/** A master boot record; the extended boot records of logical partitions have the same shape. */
export const BootRecord = struct("boot record", "little", {
	bootCode: bytes(440),
	uniqueMbrDiskSignature: u32,
	unknown: u16,
	partitionRecord: array(PartitionRecord.field, 4),
	signature: u16,
});

type Record = Value<typeof PartitionRecord>;

const SIGNATURE = 0xaa55;
const ACTIVE = 0x80;
/** The type of the record that covers a GPT disk, so that tools which only know the MBR leave it alone. */
const PROTECTIVE = 0xee;
/** CHS, LBA, and Linux' own. */
const EXTENDED = new Set([0x05, 0x0f, 0x85]);
/** Far beyond what any partitioning tool makes (Linux numbers 256 partitions at most). */
const MOST_LOGICAL = 256;

const isUsed = (record: Record) => record.osType !== 0 && record.sizeInLba !== 0;

/** The boot record in sector 0, or `undefined` where there is no signature of one. */
async function readBootRecord(disk: ByteSource) {
	const sector = await readUpTo(disk, 0, BootRecord.size);
	if (sector.length < BootRecord.size) return undefined;
	const record = BootRecord.parse(sector, 0, disk.name);
	return record.signature === SIGNATURE ? { sector, records: record.partitionRecord, record } : undefined;
}

/** Whether the disk's MBR says that its partitions stand in a GPT; a hybrid MBR does as well. */
export async function saysGpt(disk: ByteSource): Promise<boolean> {
	return (await readBootRecord(disk))?.records.some(({ osType }) => osType === PROTECTIVE) ?? false;
}

/**
 * The partition table of PCs before UEFI: four primary partitions, one of which may be extended and then holds a chain
 * of logical ones, numbered from 5. An extended partition is not a volume itself.
 */
export const mbr: VolumeScheme = {
	id: "mbr",
	async read(disk, sectorSize) {
		const boot = await readBootRecord(disk);
		if (boot === undefined || isFileSystemBootSector(boot.sector)) return undefined;
		const { records, record: table } = boot;
		if (!records.some(isUsed)) return undefined;
		if (records.some(({ bootIndicator }) => bootIndicator !== 0 && bootIndicator !== ACTIVE)) return undefined;
		const found: Partition[] = [];
		const logical: Partition[] = [];
		for (const [index, record] of records.entries()) {
			if (!isUsed(record) || record.osType === PROTECTIVE) continue;
			if (EXTENDED.has(record.osType)) {
				const first = 5 + logical.length;
				logical.push(...(await logicalPartitions(disk, sectorSize, record.startingLba, first)));
			} else found.push({ number: index + 1, record, startingLba: record.startingLba });
		}
		if (found.length + logical.length === 0 && records.some(({ osType }) => osType === PROTECTIVE)) {
			throw damaged(`${disk.name} says that it has a GUID partition table, but there is none`, {
				file: disk.name,
				offset: sectorSize,
				hint: "Compare the file's size with the original's: the table may be cut off.",
			});
		}
		const volumes = [...found, ...logical].map((partition) => {
			return volume(disk, sectorSize, table.uniqueMbrDiskSignature, partition);
		});
		// Linux numbers what is in the slices of the BSDs behind the logical partitions.
		for (const slice of volumes.filter(isBsdSlice)) {
			const last = Math.max(4, ...volumes.map(({ number }) => number));
			volumes.push(...((await partitionsOf(disk, sectorSize, slice, last + 1)) ?? []));
		}
		return volumes;
	},
};

interface Partition {
	readonly number: number;
	readonly record: Record;
	/** From the beginning of the disk, in sectors. */
	readonly startingLba: number;
}

/**
 * Follows the chain of extended boot records. In each, the first record is a logical partition whose start counts from
 * the boot record itself; an extended record leads to the next boot record and counts from the extended partition.
 */
async function logicalPartitions(disk: ByteSource, sectorSize: number, extendedLba: number, firstNumber: number) {
	const found: Partition[] = [];
	const seen = new Set<number>();
	for (let lba: number | undefined = extendedLba; lba !== undefined; ) {
		const at: number = lba * sectorSize;
		if (seen.has(lba) || seen.size === MOST_LOGICAL) {
			const fault = seen.has(lba) ? "runs in a circle" : `has more than ${MOST_LOGICAL} links`;
			throw damaged(`${disk.name}: the chain of logical partitions ${fault}`, { file: disk.name, offset: at });
		}
		seen.add(lba);
		const link = BootRecord.parse(await readBytes(disk, at, BootRecord.size), 0, disk.name, at);
		// Linux ends the chain here as well: an extended partition that nobody has divided yet has no boot record.
		if (link.signature !== SIGNATURE) break;
		let next: number | undefined;
		for (const record of link.partitionRecord) {
			if (!isUsed(record)) continue;
			if (EXTENDED.has(record.osType)) next ??= extendedLba + record.startingLba;
			else found.push({ number: firstNumber + found.length, record, startingLba: lba + record.startingLba });
		}
		lba = next;
	}
	return found;
}

function volume(disk: ByteSource, sectorSize: number, diskSignature: number, partition: Partition): Volume {
	const { number, record, startingLba } = partition;
	const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
	const at = startingLba * sectorSize;
	const size = record.sizeInLba * sectorSize;
	return {
		number,
		scheme: "mbr",
		at,
		size,
		type: hex(record.osType, 2),
		...(diskSignature !== 0 && { partUuid: `${hex(diskSignature, 8)}-${hex(number, 2)}` }),
		bootable: record.bootIndicator === ACTIVE,
		source: volumeSource(disk, number, at, size),
	};
}
