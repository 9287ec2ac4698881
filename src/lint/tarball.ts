import { type ByteSource, readUpTo } from "../bytes/source.js";
import { isTar, TAR_BLOCK, TarHeader } from "../source/tar-header.js";
import { oldGnuRealSize } from "../source/tar-sparse.js";
import type { Subject } from "./subject.js";

/** Of the compressed file; headers compress well. */
const PEEKED = 64 << 10;

export const isGzip = (head: Uint8Array) => head[0] === 0x1f && head[1] === 0x8b;

/** What the first header of a gzip-compressed tar says of a disk image; undefined where there is no such thing. */
export async function peekTarball(source: ByteSource): Promise<Subject["tarball"]> {
	const block = await firstBlock(await readUpTo(source, 0, PEEKED));
	if (block === undefined || !isTar(block)) return undefined;
	const { name, size, typeflag, magic, version } = TarHeader.parse(block);
	if (!/\.(?:raw|img)$/i.test(name)) return undefined;
	return {
		member: name.replace(/^\.\//, ""),
		size: typeflag === "S" ? oldGnuRealSize(block) : size,
		format: magic.startsWith("ustar") ? (`${magic}${version}`.startsWith("ustar ") ? "gnu" : "posix") : "v7",
	};
}

/** The first block of what is compressed, or undefined where that is damaged. */
async function firstBlock(compressed: Uint8Array): Promise<Uint8Array | undefined> {
	const stream = new Blob([new Uint8Array(compressed)]).stream().pipeThrough(new DecompressionStream("gzip"));
	const reader = stream.getReader();
	const block = new Uint8Array(TAR_BLOCK);
	let filled = 0;
	try {
		while (filled < block.length) {
			const { done, value } = await reader.read();
			if (done) return undefined;
			const piece = (value as Uint8Array).subarray(0, block.length - filled);
			block.set(piece, filled);
			filled += piece.length;
		}
		return block;
	} catch {
		return undefined;
	} finally {
		// The rest is not needed, and cut off anyway.
		await reader.cancel().catch(() => {});
	}
}
