import { type ByteSource, readInto } from "../../source.js";
import { flags64, struct, u64 } from "../../struct.js";
import { type Direct, FAILED } from "../bulk.js";
import {
	about,
	broken,
	type EncodingEngine,
	once,
	outputFor,
	outputOf,
	pieceBuffers,
	placeOf,
	tooLong,
	trimmed,
	truncated,
} from "../engine.js";
import { type NativeLibrary, type NativeValue, Pool, pointer, systemLibrary, THREADS } from "./native.js";

/** https://facebook.github.io/zstd/zstd_manual.html#Chapter8 on a 64-bit machine. */
const Buffer = struct("ZSTD_inBuffer", "little", { address: flags64, size: u64, pos: u64 });

const INPUT_PIECE = 256 << 10;
/** Twice what libzstd recommends at least: fewer trips to the thread pool. */
const OUTPUT_PIECE = 1 << 20;
const DEFAULT_LEVEL = 3;
/** The name of ZSTD_error_dstSize_tooSmall. */
const TOO_SMALL = "Destination buffer is too small";

/** libzstd of this system, on libuv's threads; undefined where there is none. */
export const libzstd: () => Promise<Libzstd | undefined> = once(async () => {
	const library = await systemLibrary("libzstd.so.1", "libzstd.dylib", "libzstd.dll");
	return library === undefined ? undefined : bind(library);
});

export interface Libzstd extends EncodingEngine {
	/** The same for buffers, on this thread. */
	readonly direct: Direct;
}

/** Begins at once; a failure is told to whoever waits for it, if anybody does. */
function readPiece(source: ByteSource, at: number, buffer: Uint8Array): Promise<Uint8Array> {
	const piece = readInto(source, at, buffer);
	piece.catch(() => undefined);
	return piece;
}

function bind(library: NativeLibrary): Libzstd {
	const version = library.func("const char *ZSTD_versionString()");
	const isError = library.func("unsigned int ZSTD_isError(size_t code)");
	const errorName = library.func("const char *ZSTD_getErrorName(size_t code)");
	const newDecoder = library.func("void *ZSTD_createDCtx()");
	const freeDecoder = library.func("size_t ZSTD_freeDCtx(void *dctx)");
	const decompress = library.func("size_t ZSTD_decompressStream(void *zds, void *output, void *input)");
	const frameLength = library.func("size_t ZSTD_findFrameCompressedSize(const void *src, size_t srcSize)");
	const decompressFrame = library.func(
		"size_t ZSTD_decompressDCtx(void *dctx, void *dst, size_t dstCapacity, const void *src, size_t srcSize)",
	);
	const newEncoder = library.func("void *ZSTD_createCCtx()");
	const bound = library.func("size_t ZSTD_compressBound(size_t size)");
	const compress = library.func(
		"size_t ZSTD_compressCCtx(void *cctx, void *dst, size_t dstCapacity, const void *src, size_t srcSize, int level)",
	);
	const decoders = new Pool(THREADS, () => pointer(newDecoder()));
	const encoders = new Pool(THREADS, () => pointer(newEncoder()));

	let decoder: bigint | undefined;
	let encoder: bigint | undefined;
	const lengthOf = (result: NativeValue) => (isError(result) === 0 ? Number(result) : FAILED);
	const direct: Direct = {
		encode({ input, output }, level = DEFAULT_LEVEL) {
			encoder ??= pointer(newEncoder());
			return lengthOf(compress(encoder, output, output.length, input, input.length, level));
		},
		decode({ input, output }) {
			const length = frameLength(input, input.length);
			if (isError(length) !== 0) return FAILED;
			decoder ??= pointer(newDecoder());
			return lengthOf(decompressFrame(decoder, output, output.length, input, length));
		},
	};

	return {
		direct,
		about: about(`libzstd ${String(version())} of this system`),
		async *stream(source, at, options) {
			const inputBuffer = pieceBuffers(INPUT_PIECE, { reuse: true });
			const outputBuffer = pieceBuffers(OUTPUT_PIECE, options);
			let bytes: Uint8Array | undefined;
			const place = { file: source.name, offset: at };
			const decoder = pointer(newDecoder());
			try {
				for (let next = at, reading = readPiece(source, at, inputBuffer()); ; ) {
					const piece = await reading;
					// Read while another thread decodes; of no use where the frame ends first.
					reading = readPiece(source, next + piece.length, inputBuffer());
					const input = Buffer.build({ address: library.address(piece), size: piece.length });
					for (;;) {
						bytes ??= outputBuffer();
						const output = Buffer.build({ address: library.address(bytes), size: bytes.length });
						const result = await decompress.inBackground([decoder, output, input], [bytes, piece]);
						if (isError(result) !== 0) throw broken("zstd", place, String(errorName(result)));
						const made = Buffer.parse(output).pos;
						if (made > 0) {
							yield bytes.subarray(0, made);
							bytes = undefined;
						}
						if (result === 0) return next + Buffer.parse(input).pos;
						if (made < OUTPUT_PIECE) break;
					}
					if (piece.length === 0) throw truncated("zstd", place);
					next += piece.length;
				}
			} finally {
				freeDecoder(decoder);
			}
		},
		async decode(input, options) {
			const place = placeOf(options);
			const length = frameLength(input, input.length);
			if (isError(length) !== 0) throw broken("zstd", place, String(errorName(length)));
			const output = outputFor(options);
			const result = await decoders.use((decoder) =>
				decompressFrame.inBackground([decoder, output, output.length, input, length]),
			);
			if (isError(result) === 0) {
				return { bytes: outputOf(output, Number(result), options), consumed: Number(length) };
			}
			const reason = String(errorName(result));
			throw reason === TOO_SMALL ? tooLong("zstd", options) : broken("zstd", place, reason);
		},
		encode: (input, level = DEFAULT_LEVEL) =>
			encoders.use(async (encoder) => {
				const output = new Uint8Array(Number(bound(input.length)));
				const length = await compress.inBackground([encoder, output, output.length, input, input.length, level]);
				if (isError(length) !== 0) throw new RangeError(`libzstd cannot compress this: ${String(errorName(length))}`);
				return trimmed(output, Number(length));
			}),
	};
}
