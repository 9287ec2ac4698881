import { refused } from "../../bytes/errors.js";
import type { ByteSink } from "../../bytes/sink.js";
import { viewOf } from "../../bytes/struct.js";
import { copyUnits } from "../copy.js";
import type { Disk, WriteOptions, Written } from "../disk.js";
import { writeRaw } from "../raw/write.js";
import { variantOf } from "../variant.js";
import { geometryOf } from "./geometry.js";
import {
	bitmapSize,
	checksum,
	DiskType,
	DYNAMIC_COOKIE,
	DynamicHeader,
	FEATURES_RESERVED,
	FOOTER_COOKIE,
	Footer,
	MAX_SIZE,
	NO_OFFSET,
	SECTOR,
	VERSION,
} from "./layout.js";

const BLOCK = 2 * 1024 * 1024;
const BITMAP = bitmapSize(BLOCK);
/** Block data begins at multiples of a 4 KiB sector, which real storage has. */
const ALIGNMENT = 4096;
/** Time stamps count seconds since 2000-01-01 UTC. */
const EPOCH = Date.UTC(2000, 0, 1);

/**
 * Writes a dynamic disk with blocks of 2 MiB (variant `dynamic`, the default) or a fixed one (`fixed`). The size is kept
 * to the byte: the footer names the creator "win ", for whose disks every reader takes the current size instead of
 * rounding it to the geometry.
 */
export async function writeVhd(disk: Disk, sink: ByteSink, options: WriteOptions): Promise<Written> {
	if (disk.size > MAX_SIZE) {
		throw refused(`${disk.name} has ${disk.size} bytes, more than the 2040 GiB that a VHD can hold`, {
			file: disk.name,
			hint: "Write a VHDX instead.",
		});
	}
	const variant = variantOf("VHD", options, ["dynamic", "fixed"]);
	return variant === "fixed" ? writeFixed(disk, sink, options) : writeDynamic(disk, sink, options);
}

async function writeFixed(disk: Disk, sink: ByteSink, options: WriteOptions): Promise<Written> {
	const { size } = await writeRaw(disk, sink, { ...options, variant: "plain" });
	await sink.write(size, buildFooter(size, DiskType.fixed));
	return { size: size + Footer.size };
}

async function writeDynamic(disk: Disk, sink: ByteSink, options: WriteOptions): Promise<Written> {
	const blocks = Math.ceil(disk.size / BLOCK);
	const tableOffset = Footer.size + DynamicHeader.size;
	const bat = new Uint8Array(Math.ceil((blocks * 4) / SECTOR) * SECTOR).fill(0xff);
	const entries = viewOf(bat);
	const bitmap = new Uint8Array(BITMAP).fill(0xff);
	let end = tableOffset + bat.length;

	const place = async (block: number) => {
		const dataAt = Math.ceil((end + BITMAP) / ALIGNMENT) * ALIGNMENT;
		end = dataAt + BLOCK;
		entries.setUint32(block * 4, (dataAt - BITMAP) / SECTOR);
		await sink.write(dataAt - BITMAP, bitmap);
		return dataAt;
	};
	await copyUnits(disk, sink, { unit: BLOCK, place }, options);

	const footer = buildFooter(disk.size, DiskType.dynamic);
	await sink.write(tableOffset, bat);
	await sink.write(Footer.size, buildDynamicHeader(tableOffset, blocks));
	await sink.write(0, footer);
	await sink.write(end, footer);
	return { size: end + footer.length };
}

function buildFooter(size: number, diskType: number): Uint8Array {
	return withChecksum(
		Footer.build({
			cookie: FOOTER_COOKIE,
			features: FEATURES_RESERVED,
			fileFormatVersion: VERSION,
			dataOffset: diskType === DiskType.fixed ? NO_OFFSET : BigInt(Footer.size),
			timeStamp: Math.max(0, Math.floor((Date.now() - EPOCH) / 1000)),
			creatorApplication: "win ",
			creatorVersion: 0x000a_0000,
			creatorHostOs: "Wi2k",
			originalSize: size,
			currentSize: size,
			...geometryOf(size / SECTOR),
			diskType,
			uniqueId: crypto.randomUUID(),
		}),
		Footer.offsets.checksum,
	);
}

const buildDynamicHeader = (tableOffset: number, maxTableEntries: number) =>
	withChecksum(
		DynamicHeader.build({
			cookie: DYNAMIC_COOKIE,
			dataOffset: NO_OFFSET,
			tableOffset,
			headerVersion: VERSION,
			maxTableEntries,
			blockSize: BLOCK,
		}),
		DynamicHeader.offsets.checksum,
	);

function withChecksum(structure: Uint8Array, at: number): Uint8Array {
	viewOf(structure).setUint32(at, checksum(structure, at));
	return structure;
}
