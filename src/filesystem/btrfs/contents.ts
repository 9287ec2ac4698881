import { type ByteSource, checkRange } from "../../bytes/source.js";
import { decodeName } from "./directory.js";
import type { Extents } from "./extents.js";
import type { Inode } from "./inode.js";
import { corrupt } from "./superblock.js";

/** Longer targets than the kernel takes (PATH_MAX). */
const LONGEST_LINK = 4096;

/** The contents of a file, named `name`. Where each part is gets looked up when it is read. */
export function contents(extents: Extents, inode: Inode, name: string): ByteSource {
	const source: ByteSource = {
		name,
		size: inode.fields.size,
		async read(at, into) {
			checkRange(source, at, into.length);
			await extents.read(inode, at, into);
		},
	};
	return source;
}

/** The target of a symbolic link, exactly as stored. */
export async function linkTarget(extents: Extents, inode: Inode, name: string): Promise<string> {
	const { size } = inode.fields;
	if (size > LONGEST_LINK) throw corrupt(extents.name, inode.at, `a link's target has ${size} bytes`);
	const target = new Uint8Array(size);
	await contents(extents, inode, name).read(0, target);
	return decodeName(target);
}
