import type { TransformOptions } from "node:stream";
import { promisify } from "node:util";
import {
	createInflateRaw,
	deflate,
	deflateRaw,
	type InflateRaw,
	type InputType,
	inflate,
	inflateRaw,
	type ZlibOptions,
} from "node:zlib";
import { type ByteSource, readUpTo } from "../../source.js";
import type { Decoded, DecodeOptions } from "../codec.js";
import { type About, broken, type EncodingEngine, type Place, placeOf, tooLong, truncated } from "../engine.js";
import { type Format, libdeflate } from "./libdeflate.js";
import { zlibLevel } from "./zlib-direct.js";

/** Larger pieces make fewer trips to the thread pool. */
const PIECE = 256 << 10;
const OUTPUT_PIECE = 1 << 20;
/** It inflates on until that much waits to be read, whatever a piece holds. */
const STREAMING: ZlibOptions & TransformOptions = { chunkSize: OUTPUT_PIECE, readableHighWaterMark: OUTPUT_PIECE };
const HINT =
	"Install libdeflate (Debian and Ubuntu: apt-get install libdeflate0) and keep the npm package koffi, for twice the speed.";

/** Raw DEFLATE on Node's thread pool: libdeflate for buffers where this system has it, zlib for the rest. */
export const deflateEngine = (): EncodingEngine => ({ about: whose, ...buffers("deflate"), stream: inflateStream });

/** The same for zlib streams, whose checksum the library then computes in the background as well. */
export const zlibEngine = (portable: EncodingEngine): EncodingEngine => ({ ...portable, ...buffers("zlib") });

const whose = async (): Promise<About> =>
	(await libdeflate()) === undefined
		? { implementation: "node:zlib", hint: HINT }
		: { implementation: "libdeflate of this system, node:zlib for streams" };

/** What zlib says of a buffer: with `info`, it also tells how much of the input was used. */
type Inflate = (input: InputType, options: ZlibOptions) => Promise<unknown>;

const inflaters: Record<Format, Inflate> = { deflate: promisify(inflateRaw), zlib: promisify(inflate) };
const deflaters = { deflate: promisify(deflateRaw), zlib: promisify(deflate) };

/** The library is looked for with the first buffer: streams do without it, and it takes 15 ms to load. */
function buffers(format: Format): Pick<EncodingEngine, "encode"> & Required<Pick<EncodingEngine, "decode">> {
	return {
		async decode(input, options) {
			const native = await libdeflate();
			return native === undefined ? inflateBuffer(format, input, options) : native.decode(format, input, options);
		},
		async encode(input, level) {
			const native = await libdeflate();
			return native === undefined
				? deflaters[format](input, { level: zlibLevel(input, level) })
				: native.encode(format, input, level);
		},
	};
}

async function inflateBuffer(format: Format, input: Uint8Array, options: DecodeOptions): Promise<Decoded> {
	try {
		// zlib wants a limit of 1 at least; what exceeds a limit of 0 is caught below.
		const result = await inflaters[format](input, { maxOutputLength: Math.max(1, options.limit), info: true });
		const { buffer, engine } = result as { buffer: Uint8Array; engine: InflateRaw };
		if (buffer.length > options.limit) throw tooLong(format, options);
		return { bytes: buffer, consumed: engine.bytesWritten };
	} catch (error) {
		if (codeOf(error) === "ERR_BUFFER_TOO_LARGE") throw tooLong(format, options);
		throw explained(format, placeOf(options), error);
	}
}

async function* inflateStream(source: ByteSource, at: number): AsyncGenerator<Uint8Array, number> {
	const place = { file: source.name, offset: at };
	const inflater = createInflateRaw(STREAMING);
	let wake = () => {};
	inflater.on("readable", () => wake());
	// Errors are taken where they belong to a piece; one that came at another time must not end the process.
	inflater.on("error", () => undefined);
	let over = false;
	const feeding = feedAll(inflater, source, at).finally(() => {
		over = true;
		wake();
	});
	feeding.catch(() => undefined);
	try {
		for (;;) {
			const last = over;
			const content = inflater.read() as Uint8Array | null;
			if (content !== null) yield content;
			else if (last) return at + (await feeding);
			else if (!over) await new Promise<void>((resolve) => (wake = resolve));
		}
	} catch (error) {
		throw explained("deflate", place, error);
	} finally {
		inflater.destroy();
	}
}

/** Hands zlib all of a stream, and returns its length. */
async function feedAll(inflater: InflateRaw, source: ByteSource, at: number): Promise<number> {
	for (let given = 0; ; ) {
		const piece = await readUpTo(source, at + given, PIECE);
		// zlib calls nothing at all a stream, and not a truncated one.
		if (given === 0 && piece.length === 0) throw truncated("deflate", { file: source.name, offset: at });
		await feed(inflater, piece);
		given += piece.length;
		// zlib leaves what follows the end of the stream untouched; without a next piece it has seen the end, or failed.
		if (inflater.bytesWritten < given || piece.length === 0) return inflater.bytesWritten;
	}
}

/** Hands zlib a piece, or the news that there is none, and waits until it has taken it and its output has been read. */
function feed(inflater: InflateRaw, piece: Uint8Array): Promise<void> {
	return new Promise((resolve, reject) => {
		const done = () => {
			inflater.off("error", reject);
			resolve();
		};
		inflater.once("error", reject);
		if (piece.length > 0) {
			inflater.write(piece, (error) => (error === null || error === undefined ? done() : reject(error)));
		} else {
			// Not "finish", which comes before zlib has looked whether the stream is complete.
			inflater.once("end", done);
			inflater.end();
		}
	});
}

const codeOf = (error: unknown) => (error instanceof Error && "code" in error ? error.code : undefined);

/** zlib's errors are about the data; everything else passes through. */
function explained(format: Format, place: Place, error: unknown): unknown {
	const code = codeOf(error);
	if (code === "Z_BUF_ERROR") return truncated(format, place);
	if (code === "Z_DATA_ERROR" || code === "Z_NEED_DICT") return broken(format, place, (error as Error).message, error);
	return error;
}
