import type { ByteSink } from "../bytes/sink.js";
import type { ByteSource } from "../bytes/source.js";

/** A run of a disk, in bytes. */
export interface Extent {
	readonly at: number;
	readonly length: number;
	/** `zero`: reads as zero without touching the file. `data`: may hold anything, zeros included. */
	readonly kind: "data" | "zero";
}

/** A virtual disk: `size` is its virtual size, a multiple of `sectorSize`. */
export interface Disk extends ByteSource {
	/** A {@link DiskFormat} id, with its variant after a slash where there is one: `vmdk/streamOptimized`, `vhd/dynamic`. */
	readonly format: string;
	/** Logical sector size in bytes: 512 or 4096. */
	readonly sectorSize: number;
	/** The whole disk in ascending order without gaps or overlaps; cost follows the data, never the virtual size. */
	extents(): AsyncIterable<Extent>;
}

/**
 * A format's only way to another file: a backing file, an extent, a parent. Names are taken relative to the file that
 * mentions them; a name that leaves its folder, and a chain more than 10 deep, are `refused`.
 */
export interface Neighbours {
	open(name: string): Promise<ByteSource>;
	/** Opens a neighbour as a disk of any format, or of the one named. */
	openDisk(name: string, format?: string): Promise<Disk>;
}

export interface WriteOptions {
	/** The format's variant, for example `streamOptimized`, `dynamic`, `fixed`; each format has a default. */
	readonly variant?: string;
	/** 0 to 9 on zlib's scale, where the format compresses. */
	readonly level?: number;
	/** Compression of qcow2 clusters. */
	readonly compression?: "zlib" | "zstd";
	/** Called with the number of source bytes dealt with since the last call. */
	readonly onProgress?: (bytes: number) => void;
	readonly signal?: AbortSignal;
}

/** What a writer tells of the file it wrote. */
export interface Written {
	/** Length of the file in bytes; the writer has written it but not committed the sink. */
	readonly size: number;
}

export interface DiskFormat {
	readonly id: string;
	/** File name suffixes, the usual one first, with the dot. For naming outputs; never for recognising inputs. */
	readonly extensions: readonly string[];
	/** Recognises by content: the first 4096 bytes and the last 512 (fewer where the file is smaller). */
	matches(head: Uint8Array, tail: Uint8Array): boolean;
	open(source: ByteSource, neighbours: Neighbours): Promise<Disk>;
	/** Writes `disk` to `sink`, in ascending order as far as the format allows; the caller commits the returned size. */
	write?(disk: Disk, sink: ByteSink, options: WriteOptions): Promise<Written>;
}
