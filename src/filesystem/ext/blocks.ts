import type { ByteSource } from "../../bytes/source.js";
import { readBytes } from "../../bytes/source.js";
import { corrupt, type ExtParameters } from "./superblock.js";

/** A file system whose superblock has been read. */
export interface ExtVolume {
	/** For messages. */
	readonly name: string;
	readonly parameters: ExtParameters;
	/** All its bytes, a journal that was left behind already applied. */
	readonly source: ByteSource;
	/** The same bytes through a cache: for whatever is small and looked at again. */
	readonly metadata: ByteSource;
}

/** Reads a block of metadata; `referrer` is the byte that names it, for messages. */
export async function readBlock(volume: ExtVolume, block: number, referrer: number): Promise<Uint8Array> {
	checkBlocks(volume, block, 1, referrer);
	const { blockSize } = volume.parameters;
	return readBytes(volume.metadata, block * blockSize, blockSize);
}

/** Throws unless the blocks lie inside the file system and behind its superblock. */
export function checkBlocks(volume: ExtVolume, block: number, count: number, referrer: number): void {
	const { blocks } = volume.parameters;
	if (block === 0 || block + count > blocks) {
		throw corrupt(volume.name, referrer, `block ${block} is used, but the file system has ${blocks} blocks`);
	}
}
