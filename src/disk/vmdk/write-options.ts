import { crc32 } from "../../bytes/checksum/index.js";
import { AnyvisorError, unsupported } from "../../bytes/errors.js";
import type { ByteSink } from "../../bytes/sink.js";
import { readUpTo } from "../../bytes/source.js";
import type { Disk, WriteOptions } from "../disk.js";
import type { AdapterType, CreateType, DescriptorOptions } from "./descriptor-text.js";
import { CAPACITY_LIMIT, DIRECTORY_LIMIT, ENTRIES_PER_TABLE, SECTOR } from "./layout.js";

export interface VmdkWriteOptions extends WriteOptions {
	/** `streamOptimized` when left out. */
	readonly variant?: CreateType | (string & {});
	/** `lsilogic` when left out. */
	readonly adapterType?: AdapterType;
}

/** What all variants are written with. */
export interface Job {
	readonly disk: Disk;
	/** Of the file that has the descriptor. */
	readonly sink: ByteSink;
	/** In bytes. */
	readonly grainSize: number;
	readonly descriptor: DescriptorOptions;
	readonly options: VmdkWriteOptions;
}

/** VMware's own grains. */
const GRAIN = 64 * 1024;
const SMALLEST_GRAIN = 8 * 1024;
/** Larger ones would not fit evenly into the files of a disk that is split. */
const LARGEST_GRAIN = 1024 * 1024;

export async function writeJob(disk: Disk, sink: ByteSink, options: VmdkWriteOptions): Promise<Job> {
	const { sectorSize = disk.sectorSize, unitSize: grainSize = GRAIN, adapterType } = options;
	if (sectorSize !== SECTOR) {
		throw unsupported(`${disk.name}: VMDK cannot hold a disk with sectors of ${sectorSize} bytes`, {
			file: disk.name,
			hint: "Write it as VHDX, or raw.",
		});
	}
	if (grainSize < SMALLEST_GRAIN || grainSize > LARGEST_GRAIN || !Number.isInteger(Math.log2(grainSize))) {
		throw new AnyvisorError("usage", `VMDK has no grains of ${grainSize} bytes`, {
			hint: "Choose a power of two from 8 KiB to 1 MiB; VMware's own grains have 64 KiB.",
		});
	}
	if (disk.size === 0 || disk.size > CAPACITY_LIMIT || disk.size / grainSize / ENTRIES_PER_TABLE > DIRECTORY_LIMIT) {
		throw unsupported(`${disk.name}: VMDK holds disks of up to 64 TiB here, not one of ${disk.size} bytes`, {
			file: disk.name,
			hint: "Write it as raw, qcow2 or VHDX; small grains hold less.",
		});
	}
	const descriptor = { contentId: await contentId(disk), ...(adapterType && { adapterType }) };
	return { disk, sink, grainSize, descriptor, options };
}

/** The content ID that a disk is written with, 0 to 0xfffffffd; for `flatDescriptor`. */
export async function contentId(disk: Disk): Promise<number> {
	const id = crc32(new TextEncoder().encode(disk.salt ?? ""), crc32(await readUpTo(disk, 0, GRAIN)));
	// The two largest values mean "no parent" and "never written to".
	return id >= 0xfffffffe ? id - 2 : id;
}

/** `usage`: grains get their place when they are written. */
export function refusePreallocation({ options }: Job): void {
	if (options.preallocation !== "full") return;
	throw new AnyvisorError("usage", "a sparse VMDK has no grains whose space could be reserved", {
		hint: "Choose the variant monolithicFlat, or leave the preallocation out.",
	});
}

/** The plain file name of an output. */
export const plainName = (sink: ByteSink): string => sink.name.split(/[/\\]/).at(-1) ?? sink.name;
