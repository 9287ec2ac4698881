import { unsupported } from "../../bytes/errors.js";
import { type ByteSource, readBytes } from "../../bytes/source.js";
import { mappedSource } from "../mapped.js";
import { isSound } from "./checksum.js";
import { mapOf } from "./extents.js";
import type { Inode } from "./inode.js";
import { Format, InodeFlag, LONGEST_LINK, SYMLINK_MAGIC, SymlinkHeader } from "./layout.js";
import { corrupt } from "./superblock.js";
import type { XfsVolume } from "./volume.js";

/** The contents of a regular file, named `name`. Where each block is gets looked up when it is read. */
export function contents(volume: XfsVolume, inode: Inode, name: string): ByteSource {
	if (inode.fields.di_flags & InodeFlag.REALTIME) {
		throw unsupported(`${name} is on the realtime device of its XFS file system, which Anyvisor cannot read`, {
			file: volume.name,
			offset: inode.at,
		});
	}
	return mappedSource(mapOf(volume, inode), inode.size, volume.parameters.blockSize, volume.source, name);
}

/** The target of a symbolic link, exactly as stored. */
export async function linkTarget(volume: XfsVolume, inode: Inode): Promise<string> {
	const { size, fork, fields } = inode;
	if (size > LONGEST_LINK) throw corrupt(volume.name, inode.at, `a link's target has ${size} bytes`);
	if (fields.di_format !== Format.LOCAL) return decodeName(await remoteTarget(volume, inode));
	if (size > fork.bytes.length) throw corrupt(volume.name, inode.at, "a link's target does not fit its inode");
	return decodeName(fork.bytes.subarray(0, size));
}

/** Each extent is one buffer, and in version 5 begins with a header that covers it with a checksum. */
async function remoteTarget(volume: XfsVolume, inode: Inode): Promise<Uint8Array> {
	const { blockSize, checksums } = volume.parameters;
	const map = mapOf(volume, inode);
	const target = new Uint8Array(inode.size);
	// With headers, what fills 1024 bytes of blocks needs a block more.
	const most = Math.ceil((LONGEST_LINK + SymlinkHeader.size) / blockSize) + 1;
	let done = 0;
	for (let logical = 0; done < target.length; ) {
		const { at, count } = await map(logical, most);
		if (at === undefined || logical >= most)
			throw corrupt(volume.name, inode.at, "a part of a link's target is missing");
		const bytes = await readBytes(volume.metadata, at, count * blockSize);
		let part = bytes;
		if (checksums) {
			const header = SymlinkHeader.parse(bytes, 0, volume.name, at);
			const trusted = volume.isNewer(at, bytes.length) || isSound(bytes, SymlinkHeader.offsets.sl_crc);
			if (header.sl_magic !== SYMLINK_MAGIC || !trusted) {
				throw corrupt(volume.name, at, "the checksum of a link's target is wrong");
			}
			if (header.sl_offset !== done || header.sl_owner !== BigInt(inode.number)) {
				throw corrupt(volume.name, at, "this is not the link's target that it should be");
			}
			part = bytes.subarray(SymlinkHeader.size, SymlinkHeader.size + header.sl_bytes);
		}
		part = part.subarray(0, target.length - done);
		target.set(part, done);
		done += part.length;
		logical += count;
	}
	return target;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Names are bytes to the kernel and UTF-8 to everyone else; what is not UTF-8 shows as U+FFFD. */
export const decodeName = (bytes: Uint8Array): string => decoder.decode(bytes);
