import type { Codec } from "../bytes/codec/index.js";
import { damaged, refused } from "../bytes/errors.js";
import { type ByteSource, readUpTo } from "../bytes/source.js";

/** Enough to recognise any codec by. */
const HEAD = 16;
/** A stream after which these many bytes have come out on average is no trick to keep us busy. */
const LEAST_PER_STREAM = 256;
const STREAMS_FOR_FREE = 1024;

/**
 * The content of a compressed file: of all of its streams, since gzip, xz, zstd, bzip2 and lz4 files may be put one after
 * another; zeros may fill it up.
 */
export async function* decompressed(source: ByteSource, codec: Codec): AsyncGenerator<Uint8Array, void> {
	let length = 0;
	for (let at = 0, streams = 1; at < source.size; streams++) {
		const content = codec.stream(source, at);
		try {
			for (;;) {
				const step = await content.next();
				if (step.done === true) {
					at = step.value;
					break;
				}
				length += step.value.length;
				yield step.value;
			}
		} finally {
			await content.return(0);
		}
		if (streams > STREAMS_FOR_FREE && length < streams * LEAST_PER_STREAM) {
			throw refused(`${source.name} consists of ${streams} streams with hardly anything in them`, {
				file: source.name,
				offset: at,
			});
		}
		at = await afterZeros(source, at);
		if (at < source.size && !codec.matches(await readUpTo(source, at, HEAD))) {
			throw damaged(`${source.name} has something else after the end of its ${codec.id} data`, {
				file: source.name,
				offset: at,
				hint: "Copy or download the file again and compare its checksum with the original's.",
			});
		}
	}
}

/** The offset of the first byte that is not zero. */
async function afterZeros(source: ByteSource, at: number): Promise<number> {
	for (let next = at; ; ) {
		const piece = await readUpTo(source, next, 64 << 10);
		const found = piece.findIndex((byte) => byte !== 0);
		if (found >= 0) return next + found;
		if (piece.length === 0) return next;
		next += piece.length;
	}
}

/** The name of a compressed file's content: "disk.raw" for "disk.raw.gz", "app.tar" for "app.tgz". */
export function stemOf(name: string): string {
	const base = name.replace(/^.*[\\/:]/, "");
	const tar = base.replace(/\.t(gz|xz|zst|bz2?|lz4)$/i, ".tar");
	return tar === base ? base.replace(/\.(gz|xz|zst|zstd|bz2|lz4)$/i, "") : tar;
}
