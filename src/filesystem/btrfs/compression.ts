import { codec } from "../../bytes/codec/index.js";
import { decodeLzo1x } from "../../bytes/codec/lzo1x.js";
import { unsupported } from "../../bytes/errors.js";
import { viewOf } from "../../bytes/struct.js";
import { corrupt } from "./superblock.js";

/** By their numbers, from 1: https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#extent-data-6c */
const compressions = ["zlib", "lzo", "zstd"] as const;
type Compression = (typeof compressions)[number];

export function compressionOf(number: number, name: string, at: number): Compression {
	const known = compressions[number - 1];
	if (known !== undefined) return known;
	throw unsupported(`${name}: a file is compressed in the way ${number}, which is not known`, {
		file: name,
		offset: at,
	});
}

/**
 * Decodes an extent, each of which is a stream of its own. What the stream leaves out at its end is zero.
 *
 * @param size of the result, in bytes
 * @param at where the extent is named on the device, for messages
 */
export async function decompress(
	compression: Compression,
	stored: Uint8Array,
	size: number,
	sectorSize: number,
	name: string,
	at: number,
): Promise<Uint8Array> {
	// The stream ends with a sector, where the file may have ended before.
	const output = new Uint8Array(Math.ceil(size / sectorSize) * sectorSize);
	if (compression === "lzo") {
		if (!decodeLzo(stored, output, sectorSize)) throw corrupt(name, at, "the lzo data of a file extent are damaged");
	} else {
		const { bytes } = await codec(compression).decode(stored, { limit: output.length, file: name, offset: at });
		output.set(bytes);
	}
	return output.subarray(0, size);
}

/**
 * LZO has no frame of its own: the total length comes first, then segments of a length and a stream each, one for each
 * sector. A length never crosses the end of a sector; what is left of one is then padding. False where this is damaged.
 */
function decodeLzo(stored: Uint8Array, output: Uint8Array, sectorSize: number): boolean {
	const LENGTH = 4;
	if (stored.length < LENGTH) return false;
	const view = viewOf(stored);
	const end = view.getUint32(0, true);
	if (end > stored.length) return false;
	let to = 0;
	for (let at = LENGTH; to < output.length; to += sectorSize) {
		const left = sectorSize - (at % sectorSize);
		if (left < LENGTH) at += left;
		if (at + LENGTH > end) break;
		const length = view.getUint32(at, true);
		at += LENGTH;
		if (at + length > end) return false;
		const segment = stored.subarray(at, at + length);
		if (decodeLzo1x(segment, output.subarray(to, to + sectorSize)) === undefined) return false;
		at += length;
	}
	return true;
}
