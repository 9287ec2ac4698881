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
	const compressing: Promise<Uint8Array>[] = [];
	const writeOldest = async () => {
		const frame = await compressing.shift();
		if (frame === undefined) return;
		await sink.write(position, frame);
		position += frame.length;
	};
	try {
		for await (const whole of inFrames(pieces)) {
			compressing.push(zstd.encode(whole, level));
			if (compressing.length === FRAMES_IN_FLIGHT) await writeOldest();
		}
		while (compressing.length > 0) await writeOldest();
	} finally {
		await Promise.allSettled(compressing);
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
		yield joined(pending, length);
		pending = [];
		length = 0;
	}
	if (length > 0) yield joined(pending, length);
}

function joined(pieces: readonly Uint8Array[], length: number): Uint8Array {
	const whole = new Uint8Array(length);
	let at = 0;
	for (const piece of pieces) {
		whole.set(piece, at);
		at += piece.length;
	}
	return whole;
}
