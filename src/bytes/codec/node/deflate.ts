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
import { broken, type EncodingEngine, type Place, placeOf, tooLong, truncated } from "../engine.js";
import { type Format, type Libdeflate, libdeflate } from "./libdeflate.js";
import { zlibLevel } from "./zlib-direct.js";

/** Each piece goes through one job of the thread pool; the worst DEFLATE can do with it is 66 MB of output. */
const PIECE = 64 << 10;
const HINT =
	"Install libdeflate (Debian and Ubuntu: apt-get install libdeflate0) and keep the npm package koffi, for twice the speed.";

/** Raw DEFLATE on Node's thread pool: libdeflate for buffers where this system has it, zlib for the rest. */
export async function deflateEngine(): Promise<EncodingEngine> {
	const native = await libdeflate();
	return { ...described(native), ...buffers("deflate", native), stream: inflateStream };
}

/** The same for zlib streams, whose checksum the library then computes in the background as well. */
export async function zlibEngine(portable: EncodingEngine): Promise<EncodingEngine> {
	return { ...portable, ...buffers("zlib", await libdeflate()) };
}

const described = (native: Libdeflate | undefined) =>
	native === undefined
		? { implementation: "node:zlib", hint: HINT }
		: { implementation: "libdeflate of this system, node:zlib for streams" };

/** What zlib says of a buffer: with `info`, it also tells how much of the input was used. */
type Inflate = (input: InputType, options: ZlibOptions) => Promise<unknown>;

const inflaters: Record<Format, Inflate> = { deflate: promisify(inflateRaw), zlib: promisify(inflate) };
const deflaters = { deflate: promisify(deflateRaw), zlib: promisify(deflate) };

function buffers(
	format: Format,
	native: Libdeflate | undefined,
): Pick<EncodingEngine, "encode"> & Required<Pick<EncodingEngine, "decode">> {
	return {
		decode: (input, options) =>
			native === undefined ? inflateBuffer(format, input, options) : native.decode(format, input, options),
		encode: (input, level) =>
			native === undefined
				? deflaters[format](input, { level: zlibLevel(input, level) })
				: native.encode(format, input, level),
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
	const inflater = createInflateRaw({ chunkSize: PIECE });
	const output: Uint8Array[] = [];
	inflater.on("data", (piece: Uint8Array) => output.push(piece));
	// Errors are taken where they belong to a piece; one that came at another time must not end the process.
	inflater.on("error", () => undefined);
	try {
		for (let given = 0; ; ) {
			const piece = await readUpTo(source, at + given, PIECE);
			// zlib calls nothing at all a stream, and not a truncated one.
			if (given === 0 && piece.length === 0) throw truncated("deflate", place);
			await feed(inflater, piece);
			given += piece.length;
			yield* output.splice(0);
			// zlib leaves what follows the end of the stream untouched; without a next piece it has seen the end, or failed.
			if (inflater.bytesWritten < given || piece.length === 0) return at + inflater.bytesWritten;
		}
	} catch (error) {
		throw explained("deflate", place, error);
	} finally {
		inflater.destroy();
	}
}

/** Hands zlib a piece, or the news that there is none, and waits until all of its output has been emitted. */
async function feed(inflater: InflateRaw, piece: Uint8Array): Promise<void> {
	await new Promise<void>((resolve, reject) => {
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
	while (inflater.read() !== null);
}

const codeOf = (error: unknown) => (error instanceof Error && "code" in error ? error.code : undefined);

/** zlib's errors are about the data; everything else passes through. */
function explained(format: Format, place: Place, error: unknown): unknown {
	const code = codeOf(error);
	if (code === "Z_BUF_ERROR") return truncated(format, place);
	if (code === "Z_DATA_ERROR" || code === "Z_NEED_DICT") return broken(format, place, (error as Error).message, error);
	return error;
}
