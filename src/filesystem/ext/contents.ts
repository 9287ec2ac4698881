import { refused } from "../../bytes/errors.js";
import { type ByteSource, bytesSource } from "../../bytes/source.js";
import { type BlockMap, mappedSource } from "../mapped.js";
import { blockMap } from "./block-map.js";
import type { ExtVolume } from "./blocks.js";
import { extentMap } from "./extents.js";
import { inlineContents } from "./inline-data.js";
import { hasFlag, type Inode } from "./inode.js";
import { InodeFlag, Inode as InodeLayout } from "./layout.js";
import { corrupt } from "./superblock.js";

/** Longer targets than the kernel takes (PATH_MAX). */
const LONGEST_LINK = 4096;

/**
 * The contents of an inode, named `name`. Where each block is gets looked up when it is read.
 *
 * @param through where the blocks are read from: the volume, or its cache
 */
export function contents(volume: ExtVolume, inode: Inode, name: string, through = volume.source): ByteSource {
	if (hasFlag(inode, InodeFlag.ENCRYPT)) throw encrypted(volume, inode, name);
	if (hasFlag(inode, InodeFlag.INLINE_DATA)) return bytesSource(inlineContents(volume.name, inode), name);
	return mappedSource(mapOf(volume, inode), inode.size, volume.parameters.blockSize, through, name);
}

/** Where the blocks of `inode` are. */
export function mapOf(volume: ExtVolume, inode: Inode): BlockMap {
	const at = inode.at + InodeLayout.offsets.i_block;
	const map = hasFlag(inode, InodeFlag.EXTENTS) ? extentMap : blockMap;
	return map(volume, inode.fields.i_block, at);
}

export const encrypted = (volume: ExtVolume, inode: Inode, name: string) =>
	refused(`${name} is encrypted, and its key is not in the file system`, { file: volume.name, offset: inode.at });

/** The target of a symbolic link, exactly as stored. */
export async function linkTarget(volume: ExtVolume, inode: Inode, name: string): Promise<string> {
	if (inode.size > LONGEST_LINK) throw corrupt(volume.name, inode.at, `a link's target has ${inode.size} bytes`);
	return decodeName(await targetBytes(volume, inode, name));
}

async function targetBytes(volume: ExtVolume, inode: Inode, name: string): Promise<Uint8Array> {
	const { i_block, i_flags } = inode.fields;
	// A short target takes the place of the block map.
	const isShort = !(i_flags & (InodeFlag.EXTENTS | InodeFlag.INLINE_DATA | InodeFlag.ENCRYPT));
	if (isShort && inode.size < i_block.length) return i_block.subarray(0, inode.size);
	const target = new Uint8Array(inode.size);
	await contents(volume, inode, name, volume.metadata).read(0, target);
	return target;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Names are bytes to the kernel and UTF-8 to everyone else; what is not UTF-8 shows as U+FFFD. */
export const decodeName = (bytes: Uint8Array): string => decoder.decode(bytes);
