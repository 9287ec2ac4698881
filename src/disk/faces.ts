import { refused, unsupported } from "../bytes/errors.js";
import type { ByteSink } from "../bytes/sink.js";
import { type ByteSource, readBytes } from "../bytes/source.js";
import { guid, viewOf } from "../bytes/struct.js";
import type { Disk, WriteOptions } from "./disk.js";
import { openRaw } from "./raw/read.js";
import { resized } from "./resize.js";
import { footerAt } from "./vhd/header.js";
import { vhd } from "./vhd/index.js";
import { DiskType, Footer } from "./vhd/layout.js";
import { fixedFooter, writeVhd } from "./vhd/write.js";
import { flatDescriptor } from "./vmdk/descriptor-text.js";
import { contentId } from "./vmdk/write-options.js";
import { isZero } from "./zero.js";

// One file with three faces: the bytes of a raw disk, followed by 512 bytes that make a fixed VHD of it, and named by a
// VMDK descriptor that says how many of its sectors are the disk. The VHD and the VMDK have the disk's size exactly. So
// has the raw face where the size is stated; who takes the whole file for the disk sees a sector more.
//
// The footer cannot lie inside of the disk: GPT keeps its backup header in the last sector, and Azure wants the disk
// itself, without the footer, to be whole MiB.

/** Azure takes disks of whole MiB. */
const FACES_UNIT = 1024 * 1024;
const SECTOR = 512;

/** Size of the disk that a file with faces has: that of the original, up to whole MiB. */
export const facesSize = (size: number): number => Math.ceil(size / FACES_UNIT) * FACES_UNIT;

/** What two sinks were given. */
export interface WrittenFaces {
	/** Of the disk, in bytes. */
	readonly virtualSize: number;
	/** Of the file that holds it, which the caller commits. */
	readonly size: number;
}

/**
 * Writes `disk` as a file with faces, and completes its descriptor.
 *
 * @throws `unsupported` for a disk with 4096-byte sectors, `refused` for one above VHD's 2040 GiB
 */
export async function writeFaces(
	disk: Disk,
	sink: ByteSink,
	descriptor: ByteSink,
	options: WriteOptions = {},
): Promise<WrittenFaces> {
	const grown = grownForFaces(disk);
	const { size } = await writeVhd(grown, sink, { ...options, variant: "fixed" });
	const text = new TextEncoder().encode(await facesDescriptor(grown, sink.name));
	await descriptor.write(0, text);
	await descriptor.commit(text.length);
	return { virtualSize: grown.size, size };
}

/** The UUID by which VirtualBox knows the VHD face of a file of that name: the footer's, in its own order of bytes. */
export async function facesUuid(disk: Disk, file: string): Promise<string> {
	const footer = await fixedFooter(grownForFaces(disk), file);
	return guid.get(viewOf(footer), Footer.offsets.uniqueId, false);
}

function grownForFaces(disk: Disk): Disk {
	if (disk.sectorSize !== SECTOR) {
		throw unsupported(`${disk.name}: neither VHD nor VMDK can hold a disk with sectors of ${disk.sectorSize} bytes`, {
			file: disk.name,
			hint: "Write it as VHDX, or raw.",
		});
	}
	return resized(disk, facesSize(disk.size));
}

/** The descriptor that lies beside `file` and names it. */
async function facesDescriptor(disk: Disk, file: string): Promise<string> {
	return flatDescriptor(plainName(file), disk.size, { contentId: await contentId(disk) });
}

/** Whether `text` is a descriptor of `file` and nothing else, whatever a hypervisor has changed in it since. */
export function describesOnly(text: string, file: string): boolean {
	const extents = text.split(/\r?\n/).filter((line) => /^\s*(RW|RDONLY|NOACCESS)\s/.test(line));
	const [extent = ""] = extents;
	return extents.length === 1 && extent.includes(`FLAT "${plainName(file)}" 0`) && /^parentCID=f{8}\s*$/im.test(text);
}

const plainName = (file: string) => file.split(/[/\\]/).at(-1) ?? file;

/** What makes a file with faces of a raw disk where it lies. No byte of the disk changes. */
export interface FacesInPlace {
	/** Of the disk, in bytes: where the footer goes. */
	readonly virtualSize: number;
	/** Undefined where the file has it already. */
	readonly footer: Uint8Array | undefined;
	/** It keeps the size that the raw disk had. */
	readonly descriptor: string;
}

/**
 * Plans what to add to a raw disk.
 *
 * @param descriptor that lies beside it already
 * @throws as {@link writeFaces}
 */
export async function facesInPlace(source: ByteSource, descriptor: string | undefined): Promise<FacesInPlace> {
	const present = await sizeInside(source);
	const disk = grownForFaces(openRaw(source, "raw", present ?? source.size));
	const original = present === undefined ? source.size : originalSize(present, descriptor);
	return {
		virtualSize: disk.size,
		footer: present === undefined ? await fixedFooter(disk, disk.name) : undefined,
		descriptor: `${await facesDescriptor(disk, source.name)}${ORIGINAL_SIZE}${original}\n`,
	};
}

/** Size of the disk in a file with faces, which is a fixed VHD of whole MiB; undefined for any other file. */
export async function sizeInside(source: ByteSource): Promise<number | undefined> {
	const size = source.size - Footer.size;
	if (size <= 0 || size % FACES_UNIT !== 0) return undefined;
	if (!vhd.matches(new Uint8Array(0), await readBytes(source, size, Footer.size))) return undefined;
	const footer = await footerAt(source, size);
	return footer?.diskType === DiskType.fixed && footer.currentSize === size ? size : undefined;
}

/**
 * The length that gives a file with faces back the size of the raw disk. What fills it up to whole MiB stays where
 * something was written into it, or where the descriptor does not tell.
 *
 * @param descriptor that lies beside it
 * @throws `refused` for a file without faces
 */
export async function sizeWithoutFaces(source: ByteSource, descriptor: string | undefined): Promise<number> {
	const size = await sizeInside(source);
	if (size === undefined) {
		throw refused(`${source.name} has no VHD footer that could be taken away`, {
			file: source.name,
			hint: "Look at it with: anyvisor disk info.",
		});
	}
	const original = originalSize(size, descriptor);
	return isZero(await readBytes(source, original, size - original)) ? original : size;
}

/** A comment of the descriptor. VHD's "original size" cannot keep this: libvhdi takes it for the disk's. */
const ORIGINAL_SIZE = "\n# Size of the raw disk before it got its faces: ";

function originalSize(size: number, descriptor = ""): number {
	const at = descriptor.indexOf(ORIGINAL_SIZE.trim());
	const stated = at < 0 ? Number.NaN : Number.parseInt(descriptor.slice(at + ORIGINAL_SIZE.trim().length), 10);
	return facesSize(stated) === size ? stated : size;
}
