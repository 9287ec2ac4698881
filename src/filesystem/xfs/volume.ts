import type { ByteSource } from "../../bytes/source.js";
import type { BlockMap } from "../mapped.js";
import { corrupt, type XfsParameters } from "./superblock.js";

/** A file system whose superblock has been read. */
export interface XfsVolume {
	/** For messages. */
	readonly name: string;
	readonly parameters: XfsParameters;
	/** All its bytes, a log that was left behind already applied. */
	readonly source: ByteSource;
	/** The same bytes through a cache: for whatever is small and looked at again. */
	readonly metadata: ByteSource;
	/** Whether the log changed something in a range: the checksum there is not the one of what is read. */
	isNewer(at: number, length: number): boolean;
}

/**
 * Where block number `block` is, in bytes: its upper bits number the allocation group, the lower sb_agblklog the block
 * in it. Damaged unless `count` blocks from there on lie in one group; `referrer` is the byte that names it.
 */
export function blockAt({ name, parameters }: XfsVolume, block: number, count: number, referrer: number): number {
	const { sb_agblklog, sb_agblocks, sb_dblocks } = parameters.fields;
	const group = Math.floor(block / 2 ** sb_agblklog);
	const within = block % 2 ** sb_agblklog;
	const first = group * sb_agblocks + within;
	if (within + count > sb_agblocks || first + count > sb_dblocks) {
		throw corrupt(name, referrer, `${count} blocks from ${block} on are used, but the file system has no such blocks`);
	}
	return first * parameters.blockSize;
}

export interface MappedBlock {
	readonly bytes: Uint8Array;
	/** Where they begin on the volume. */
	readonly at: number;
	/** See {@link XfsVolume.isNewer}. */
	readonly newer: boolean;
}

/** Reads `size` bytes of metadata that may lie in pieces: from block `logical` of a file on; `undefined` in a hole. */
export async function readMapped(
	volume: XfsVolume,
	map: BlockMap,
	logical: number,
	size: number,
): Promise<MappedBlock | undefined> {
	const { blockSize } = volume.parameters;
	const first = await map(logical, size / blockSize);
	if (first.at === undefined) return undefined;
	const bytes = new Uint8Array(size);
	let newer = false;
	for (let done = 0; done < size; ) {
		const { at, count } = await map(logical + done / blockSize, (size - done) / blockSize);
		if (at === undefined) throw corrupt(volume.name, first.at, "a part of a directory's block is missing");
		const length = Math.min(count * blockSize, size - done);
		await volume.metadata.read(at, bytes.subarray(done, done + length));
		newer ||= volume.isNewer(at, length);
		done += length;
	}
	return { bytes, at: first.at, newer };
}
