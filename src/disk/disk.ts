import type { ByteSink } from "../bytes/sink.js";
import type { ByteSource } from "../bytes/source.js";

/** Where a run of a disk is kept. */
export interface Stored {
	/** The file: the image itself, an extent of it, a backing file, a parent. */
	readonly source: ByteSource;
	/** Offset of the run's first byte in `source`, the others following it; of its first unit where it is compressed. */
	readonly at: number;
	/** Compressed units lie anywhere in `source`, each wherever its table says. */
	readonly compressed?: true;
}

/** A run of a disk, in bytes. */
export interface Extent {
	readonly at: number;
	readonly length: number;
	/** `zero`: reads as zero without touching the file. `data`: may hold anything, zeros included. */
	readonly kind: "data" | "zero";
	/** Of data; absent where the bytes are in no file. */
	readonly stored?: Stored;
	/** Of zeros: the file that holds what is around them has a hole there. */
	readonly hole?: true;
}

/** A state of the disk that its image keeps beside the current one. */
export interface Snapshot {
	/** Unique in the image. */
	readonly id: string;
	readonly name: string;
	/** When it was taken, in seconds since 1970. */
	readonly date: number;
	/** Size of the virtual disk then, in bytes. */
	readonly size: number;
	/** Length of the machine state that was saved with it, in bytes; 0 where there is none. */
	readonly vmStateSize: number;
}

/** Facts of an image that only its format has, for people: cluster size, creator, state of its log, … */
export type DiskDetails = Readonly<Record<string, string | number | boolean>>;

/** A virtual disk: `size` is its virtual size, a multiple of `sectorSize`. */
export interface Disk extends ByteSource {
	/** A {@link DiskFormat} id, with its variant after a slash where there is one: `vmdk/streamOptimized`, `vhd/dynamic`. */
	readonly format: string;
	/** Logical sector size in bytes: 512 or 4096. */
	readonly sectorSize: number;
	/** The whole disk in ascending order without gaps or overlaps; cost follows the data, never the virtual size. */
	extents(): AsyncIterable<Extent>;
	readonly details?: DiskDetails;
	/** Makes the ids of files that are written from it others than those that its contents give. */
	readonly salt?: string;
	/** Present in formats that have snapshots inside. Opening one: {@link OpenOptions.snapshot}. */
	readonly snapshots?: readonly Snapshot[];
}

/**
 * A format's only way to another file: a backing file, an extent, a parent. Names are taken relative to the file that
 * mentions them; a name that leaves its folder, and a chain more than 10 deep, are `refused`.
 */
export interface Neighbours {
	open(name: string): Promise<ByteSource>;
	/** Opens a neighbour as a disk of any format, or of the one named. */
	openDisk(name: string, format?: string): Promise<Disk>;
	/** What stands for a parent that is not there, for whoever only wants to know about the image and will not read it. */
	standIn?(name: string): Disk;
}

export interface OpenOptions {
	/** Id or name of a snapshot inside the image, to be opened instead of its current state; `not-found` if there is none. */
	readonly snapshot?: string | undefined;
}

export interface WriteOptions {
	/** One of the format's {@link DiskFormat.variants}; the first where left out. */
	readonly variant?: string;
	/** 0 to 9 on zlib's scale, where the format compresses; left out, about as small as zlib makes it at 6. */
	readonly level?: number | undefined;
	/** Compression of qcow2 clusters. */
	readonly compression?: "zlib" | "zstd";
	/** Bytes of a cluster or block, a power of two; each format has its range and its default. */
	readonly unitSize?: number;
	/** `metadata`: all tables are there from the start; `full`: the file system reserves all of the data's space, too. */
	readonly preallocation?: "metadata" | "full";
	/** Logical sector size of the disk to write, in bytes, where the format can tell; that of the source where left out. */
	readonly sectorSize?: 512 | 4096;
	/** Writes only what differs from this disk; the image refers to it by `name` and `format`. Only qcow2 can. */
	readonly backing?: { readonly name: string; readonly format: string; readonly disk: Disk };
	/** A writer's only way to a second file, beside the first. The writer commits it. */
	readonly siblings?: (name: string) => Promise<ByteSink>;
	/** Called with the number of source bytes dealt with since the last call. */
	readonly onProgress?: (bytes: number) => void;
	readonly signal?: AbortSignal;
}

/** What a writer tells of the file it wrote. */
export interface Written {
	/** Length of the file in bytes; the writer has written it but not committed the sink. */
	readonly size: number;
}

/** What is wrong with an image. */
export interface Finding {
	/** `error`: data is lost or at risk. `leak`: space is wasted. `warning`: unusual; nothing is lost. */
	readonly severity: "error" | "leak" | "warning";
	readonly message: string;
	readonly file: string;
	/** Byte offset in `file`. */
	readonly offset?: number;
}

export interface DiskFormat {
	readonly id: string;
	/** File name suffixes, the usual one first, with the dot. For naming outputs; never for recognising inputs. */
	readonly extensions: readonly string[];
	/** Recognises by content: the first 4096 bytes and the last 512 (fewer where the file is smaller). */
	matches(head: Uint8Array, tail: Uint8Array): boolean;
	open(source: ByteSource, neighbours: Neighbours, options?: OpenOptions): Promise<Disk>;
	/** What {@link write} makes, the usual variant first; empty where the format is only read. */
	readonly variants: readonly string[];
	/** Writes `disk` to `sink`, in ascending order as far as the format allows; the caller commits the returned size. */
	write?(disk: Disk, sink: ByteSink, options: WriteOptions): Promise<Written>;
	/**
	 * Looks through the format's own structures for what reading does not notice. Extents that overlap or leave their file
	 * are found for every format alike.
	 */
	check?(source: ByteSource, neighbours: Neighbours): AsyncIterable<Finding>;
}
