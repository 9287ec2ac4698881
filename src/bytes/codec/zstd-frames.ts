import { concat } from "../concat.js";
import { inOrder } from "../in-order.js";
import type { ByteSink } from "../sink.js";
import { codec } from "./index.js";

/** Bytes that are compressed at once. */
const FRAME = 4 << 20;
const FRAMES_IN_FLIGHT = 4;

/**
 * Writes what it is given as zstd frames, one behind the other, which any reader of zstd takes for one file
 * (https://www.rfc-editor.org/rfc/rfc8878#section-3). Several are compressed side by side.
 *
 * @param pieces are kept until their frame is written
 * @param level 0 to 9 on zlib's scale
 * @returns the length of what was written, in bytes
 */
export async function writeZstdFrames(
	pieces: AsyncIterable<Uint8Array>,
	sink: ByteSink,
	level: number | undefined,
): Promise<number> {
	const zstd = codec("zstd");
	let position = 0;
	for await (const frame of inOrder(inFrames(pieces), FRAMES_IN_FLIGHT, (whole) => zstd.encode(whole, level))) {
		await sink.write(position, frame);
		position += frame.length;
	}
	return position;
}

async function* inFrames(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
	let pending: Uint8Array[] = [];
	let length = 0;
	for await (const piece of pieces) {
		pending.push(piece);
		length += piece.length;
		if (length < FRAME) continue;
		yield concat(pending);
		pending = [];
		length = 0;
	}
	if (length > 0) yield concat(pending);
}
