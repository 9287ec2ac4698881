import { crc32 } from "../bytes/checksum/index.js";
import { AnyvisorError, damaged } from "../bytes/errors.js";
import { type ByteSource, readBytes, readUpTo } from "../bytes/source.js";
import { flags64, guid, struct, text, u32, u64, utf16, type Value, viewOf } from "../bytes/struct.js";
import { saysGpt } from "./mbr.js";
import type { Volume, VolumeScheme } from "./volume.js";
import { volumeSource } from "./window.js";

/** https://uefi.org/specs/UEFI/2.10/05_GUID_Partition_Table_Format.html#gpt-header */
export const GptHeader = struct("GPT header", "little", {
	signature: text(8),
	revision: u32,
	headerSize: u32,
	/** CRC-32 of the first `headerSize` bytes, with this field as zero. */
	headerCrc32: u32,
	reserved: u32,
	myLba: u64,
	alternateLba: u64,
	firstUsableLba: u64,
	lastUsableLba: u64,
	diskGuid: guid,
	partitionEntryLba: u64,
	numberOfPartitionEntries: u32,
	sizeOfPartitionEntry: u32,
	partitionEntryArrayCrc32: u32,
});

/** https://uefi.org/specs/UEFI/2.10/05_GUID_Partition_Table_Format.html#gpt-partition-entry-array */
export const GptEntry = struct("GPT partition entry", "little", {
	partitionTypeGuid: guid,
	uniquePartitionGuid: guid,
	startingLba: u64,
	/** Inclusive. */
	endingLba: u64,
	attributes: flags64,
	partitionName: utf16(36),
});

const SIGNATURE = "EFI PART";
const LEGACY_BIOS_BOOTABLE = 1n << 2n;
const SECTOR_SIZES = [512, 4096];
/** Entries are 128 bytes times a power of two; usual tables have 128 of 128 bytes, this allows 8192. */
const LARGEST_ARRAY = 1 << 20;
const LARGEST_ENTRY = 4096;

/**
 * The partition table of UEFI. It is read from its backup where the primary one is damaged, and with the other sector
 * size where the disk's own does not fit: an image keeps the sectors of the disk that it was taken from.
 */
export const gpt: VolumeScheme = {
	id: "gpt",
	async read(disk, sectorSize) {
		if (!(await saysGpt(disk))) return undefined;
		const sizes = [sectorSize, ...SECTOR_SIZES.filter((size) => size !== sectorSize)];
		const places = [
			...sizes.map((size) => ({ size, at: size })),
			...sizes.map((size) => ({ size, at: (Math.floor(disk.size / size) - 1) * size })),
		];
		let fault: AnyvisorError | undefined;
		for (const { size, at } of places) {
			const table = await readTable(disk, size, at);
			if (Array.isArray(table)) return table;
			fault ??= table;
		}
		if (fault !== undefined) throw fault;
		return undefined;
	},
};

/** The volumes of the table whose header is at byte `at`; what is wrong with it; or `undefined` where there is none. */
async function readTable(disk: ByteSource, sectorSize: number, at: number) {
	if (at <= 0) return undefined;
	const sector = await readUpTo(disk, at, sectorSize);
	if (sector.length < GptHeader.size || text(8).get(viewOf(sector), 0, true) !== SIGNATURE) return undefined;
	try {
		const header = checkedHeader(disk, sector, at, sectorSize);
		return await readEntries(disk, header, sectorSize);
	} catch (error) {
		if (error instanceof AnyvisorError && error.kind === "damaged") return error;
		throw error;
	}
}

function checkedHeader(disk: ByteSource, sector: Uint8Array, at: number, sectorSize: number) {
	const header = GptHeader.parse(sector, 0, disk.name, at);
	if (header.headerSize < GptHeader.size || header.headerSize > sector.length) {
		throw broken(disk, at, `the GPT header claims ${header.headerSize} bytes`);
	}
	const summed = sector.slice(0, header.headerSize);
	summed.fill(0, GptHeader.offsets.headerCrc32, GptHeader.offsets.headerCrc32 + 4);
	if (crc32(summed) !== header.headerCrc32) throw broken(disk, at, "the GPT header's checksum is wrong");
	if (header.myLba * sectorSize !== at) {
		throw broken(disk, at, `the GPT header belongs in sector ${header.myLba} of ${sectorSize} bytes`);
	}
	const { numberOfPartitionEntries: count, sizeOfPartitionEntry: size } = header;
	if (size < GptEntry.size || size > LARGEST_ENTRY || size % GptEntry.size !== 0 || count * size > LARGEST_ARRAY) {
		throw broken(disk, at, `the GPT header claims ${count} entries of ${size} bytes`);
	}
	return header;
}

async function readEntries(disk: ByteSource, header: Value<typeof GptHeader>, sectorSize: number) {
	const { numberOfPartitionEntries: count, sizeOfPartitionEntry: entrySize } = header;
	const at = header.partitionEntryLba * sectorSize;
	const entries = await readBytes(disk, at, count * entrySize);
	if (crc32(entries) !== header.partitionEntryArrayCrc32) {
		throw broken(disk, at, "the checksum of the GPT partition entries is wrong");
	}
	const volumes: Volume[] = [];
	for (let index = 0; index < count; index++) {
		const raw = entries.subarray(index * entrySize, index * entrySize + GptEntry.size);
		if (raw.subarray(0, guid.size).every((byte) => byte === 0)) continue;
		const entry = GptEntry.parse(raw, 0, disk.name, at + index * entrySize);
		const { startingLba, endingLba } = entry;
		const number = index + 1;
		const end = (endingLba + 1) * sectorSize;
		if (endingLba < startingLba || !Number.isSafeInteger(end)) {
			throw broken(disk, at + index * entrySize, `GPT partition ${number} ends before it begins or beyond any disk`);
		}
		const start = startingLba * sectorSize;
		volumes.push({
			number,
			scheme: "gpt",
			at: start,
			size: end - start,
			type: entry.partitionTypeGuid,
			partUuid: entry.uniquePartitionGuid,
			...(entry.partitionName !== "" && { label: entry.partitionName }),
			bootable: (entry.attributes & LEGACY_BIOS_BOOTABLE) !== 0n,
			source: volumeSource(disk, number, start, end - start),
		});
	}
	return volumes;
}

const broken = (disk: ByteSource, offset: number, fault: string) =>
	damaged(`${disk.name}: ${fault}`, {
		file: disk.name,
		offset,
		hint: "Compare the file's size with the original's; \"sgdisk --verify\" on a copy tells what can be restored.",
	});
