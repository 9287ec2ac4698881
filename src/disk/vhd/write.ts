import { AnyvisorError, refused, unsupported } from "../../bytes/errors.js";
import type { ByteSink } from "../../bytes/sink.js";
import { viewOf } from "../../bytes/struct.js";
import { contentUuid } from "../content-uuid.js";
import { copyUnits } from "../copy.js";
import type { Disk, WriteOptions, Written } from "../disk.js";
import { preallocated } from "../preallocate.js";
import { writeRaw } from "../raw/write.js";
import { variantOf } from "../variant.js";
import { geometryOf } from "./geometry.js";
import {
	bitmapSize,
	checksum,
	DiskType,
	DYNAMIC_COOKIE,
	DynamicHeader,
	EPOCH,
	FEATURES_RESERVED,
	Footer,
	MAX_SIZE,
	NO_OFFSET,
	SECTOR,
	VERSION,
} from "./layout.js";
import { FOOTER_COOKIE, VARIANTS } from "./mark.js";

/** The specification's two sizes of blocks. */
const BLOCK = 2 * 1024 * 1024;
const SMALL_BLOCK = 512 * 1024;
/** Block data begins at multiples of a 4 KiB sector, which real storage has. */
const ALIGNMENT = 4096;

export interface VhdWriteOptions extends WriteOptions {
	/** When the footer says that the disk was made, in seconds since 1970; 2000-01-01 where left out. */
	readonly timeStamp?: number;
}

/**
 * Writes a dynamic disk (variant `dynamic`, the default) in blocks of `unitSize`, 2 MiB or 512 KiB, or a fixed one
 * (`fixed`). The size is kept to the byte: the footer names the creator "win ", for whose disks every reader takes the
 * current size instead of rounding it to the geometry. The same disk gives the same file: the unique id is made from the
 * file's name and the disk's beginning, and no clock is looked at.
 */
export async function writeVhd(disk: Disk, sink: ByteSink, options: VhdWriteOptions): Promise<Written> {
	const variant = variantOf("VHD", options, VARIANTS);
	checkDisk(disk, options);
	return variant === "fixed" ? writeFixed(disk, sink, options) : writeDynamic(disk, sink, options);
}

/**
 * The footer that makes a fixed VHD of a file with the disk's bytes, the one that {@link writeVhd} gives it.
 *
 * @param name of that file
 * @throws what {@link writeVhd} throws of the disk
 */
export async function fixedFooter(disk: Disk, name: string): Promise<Uint8Array> {
	checkDisk(disk, {});
	return buildFooter(disk, { name }, {}, DiskType.fixed);
}

function checkDisk(disk: Disk, options: WriteOptions): void {
	const { sectorSize = disk.sectorSize } = options;
	if (sectorSize !== SECTOR) {
		throw unsupported(`${disk.name}: VHD cannot hold a disk with sectors of ${sectorSize} bytes`, {
			file: disk.name,
			hint: "Write a VHDX instead; or ask for sectors of 512 bytes, if no partition table depends on them.",
		});
	}
	if (disk.size > MAX_SIZE) {
		throw refused(`${disk.name} has ${disk.size} bytes, more than the 2040 GiB that a VHD can hold`, {
			file: disk.name,
			hint: "Write a VHDX instead.",
		});
	}
}

async function writeFixed(disk: Disk, sink: ByteSink, options: VhdWriteOptions): Promise<Written> {
	// The footer's id comes from the disk's beginning, which a disk that is read once has at first.
	const footer = await buildFooter(disk, sink, options, DiskType.fixed);
	const { size } = await writeRaw(disk, sink, { ...options, variant: "plain" });
	await sink.write(size, footer);
	return { size: size + footer.length };
}

async function writeDynamic(disk: Disk, sink: ByteSink, options: VhdWriteOptions): Promise<Written> {
	const { unitSize: blockSize = BLOCK } = options;
	if (blockSize !== BLOCK && blockSize !== SMALL_BLOCK) {
		throw new AnyvisorError("usage", `VHD has no blocks of ${blockSize} bytes`, { hint: "Choose 2 MiB or 512 KiB." });
	}
	const footer = await buildFooter(disk, sink, options, DiskType.dynamic);
	const blocks = Math.ceil(disk.size / blockSize);
	const tableOffset = Footer.size + DynamicHeader.size;
	const bat = new Uint8Array(Math.ceil((blocks * 4) / SECTOR) * SECTOR).fill(0xff);
	const entries = viewOf(bat);
	const bitmap = new Uint8Array(bitmapSize(blockSize)).fill(0xff);
	let end = tableOffset + bat.length;

	const place = async (block: number) => {
		const dataAt = Math.ceil((end + bitmap.length) / ALIGNMENT) * ALIGNMENT;
		end = dataAt + blockSize;
		entries.setUint32(block * 4, (dataAt - bitmap.length) / SECTOR);
		await sink.write(dataAt - bitmap.length, bitmap);
		return dataAt;
	};
	await preallocated(sink, options, undefined, (into) => copyUnits(disk, into, { unit: blockSize, place }, options));

	await sink.write(tableOffset, bat);
	await sink.write(Footer.size, buildDynamicHeader(tableOffset, blocks, blockSize));
	await sink.write(0, footer);
	await sink.write(end, footer);
	return { size: end + footer.length };
}

async function buildFooter(
	disk: Disk,
	sink: Pick<ByteSink, "name">,
	{ timeStamp = EPOCH }: VhdWriteOptions,
	diskType: number,
): Promise<Uint8Array> {
	const { size } = disk;
	return withChecksum(
		Footer.build({
			cookie: FOOTER_COOKIE,
			features: FEATURES_RESERVED,
			fileFormatVersion: VERSION,
			dataOffset: diskType === DiskType.fixed ? NO_OFFSET : BigInt(Footer.size),
			timeStamp: Math.max(0, Math.floor(timeStamp) - EPOCH),
			creatorApplication: "win ",
			creatorVersion: 0x000a_0000,
			creatorHostOs: "Wi2k",
			originalSize: size,
			currentSize: size,
			...geometryOf(size / SECTOR),
			diskType,
			uniqueId: await contentUuid(disk, sink, "vhd"),
		}),
		Footer.offsets.checksum,
	);
}

const buildDynamicHeader = (tableOffset: number, maxTableEntries: number, blockSize: number) =>
	withChecksum(
		DynamicHeader.build({
			cookie: DYNAMIC_COOKIE,
			dataOffset: NO_OFFSET,
			tableOffset,
			headerVersion: VERSION,
			maxTableEntries,
			blockSize,
		}),
		DynamicHeader.offsets.checksum,
	);

function withChecksum(structure: Uint8Array, at: number): Uint8Array {
	viewOf(structure).setUint32(at, checksum(structure, at));
	return structure;
}
