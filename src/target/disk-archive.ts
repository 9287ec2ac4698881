import { crc32 } from "../bytes/checksum/index.js";
import { DEFLATE_END, deflatePart } from "../bytes/codec/deflate-part.js";
import { gzipHeader, gzipTrailer } from "../bytes/codec/gzip.js";
import { inOrder } from "../bytes/in-order.js";
import type { ByteSink } from "../bytes/sink.js";
import type { Disk } from "../disk/disk.js";
import { alignedStretches, checkSignal } from "../disk/sparse.js";
import { TAR_BLOCK } from "../source/tar-header.js";
import { type DataRun, oldGnuSparseHeader } from "../source/tar-sparse.js";
import type { LayoutOptions } from "./target.js";

/** Bytes that are read and compressed at once, and how finely holes are told. */
const PIECE = 1 << 20;
const PIECES_IN_FLIGHT = 4;
/** Tar ends with two empty blocks, and GNU's fills up to a record of twenty. */
const RECORD = 20 * TAR_BLOCK;

/**
 * Writes a disk as the only member, `name`, of a tar archive in GNU's old format, sparse, compressed by gzip: what
 * `tar --format=oldgnu -Sczf` makes of a raw image.
 *
 * @param now seconds since 1970
 * @returns the length of the archive
 */
export async function writeDiskArchive(
	disk: Disk,
	name: string,
	now: number,
	sink: ByteSink,
	{ level, onProgress, signal }: LayoutOptions,
): Promise<number> {
	const runs: DataRun[] = [];
	for await (const { at, length } of alignedStretches(disk.extents(), PIECE, Number.MAX_SAFE_INTEGER)) {
		runs.push({ at, length: Math.min(length, disk.size - at) });
	}
	let length = 0;
	let position = 0;
	let sum = 0;
	const append = async (bytes: Uint8Array) => {
		await sink.write(position, bytes);
		position += bytes.length;
	};
	await append(gzipHeader());
	const compressed = inOrder(members(disk, name, now, runs), PIECES_IN_FLIGHT, async ({ bytes, reached }) => {
		checkSignal(signal);
		const content = await bytes();
		return { content, reached, part: await deflatePart(content, level) };
	});
	let told = 0;
	for await (const { content, reached, part } of compressed) {
		await append(part);
		sum = crc32(content, sum);
		length += content.length;
		onProgress?.(reached - told);
		told = reached;
	}
	await append(DEFLATE_END);
	await append(gzipTrailer(sum, length));
	return position;
}

interface Piece {
	readonly bytes: () => Promise<Uint8Array>;
	/** How much of the disk is done with it. */
	readonly reached: number;
}

function* members(disk: Disk, name: string, now: number, runs: readonly DataRun[]): Generator<Piece> {
	const header = oldGnuSparseHeader(name, { size: disk.size, runs }, now);
	yield { bytes: () => Promise.resolve(header), reached: 0 };
	let length = header.length;
	for (const run of runs) {
		for (let at = run.at; at < run.at + run.length; at += PIECE) {
			const piece = new Uint8Array(Math.min(PIECE, run.at + run.length - at));
			yield { bytes: () => disk.read(at, piece).then(() => piece), reached: at + piece.length };
		}
		length += run.length;
	}
	const end = Math.ceil((length + 2 * TAR_BLOCK) / RECORD) * RECORD;
	yield { bytes: () => Promise.resolve(new Uint8Array(end - length)), reached: disk.size };
}
