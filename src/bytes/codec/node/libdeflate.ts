import { type Direct, FAILED } from "../bulk.js";
import type { Decoded, DecodeOptions } from "../codec.js";
import { broken, once, outputFor, outputOf, placeOf, tooLong, trimmed } from "../engine.js";
import { levelFor } from "./level.js";
import { type NativeLibrary, Pool, pointer, systemLibrary, THREADS } from "./native.js";

/** The two containers of DEFLATE that libdeflate is asked for. */
export type Format = "deflate" | "zlib";

export interface Libdeflate {
	decode(format: Format, input: Uint8Array, options: DecodeOptions): Promise<Decoded>;
	encode(format: Format, input: Uint8Array, level?: number): Promise<Uint8Array>;
	/** The same on this thread. */
	direct(format: Format): Direct;
}

/**
 * What makes a grain of 64 KiB about as small as zlib does at its default of 6 (0.5 % larger to 0.1 % smaller on guests'
 * disks), measured in docs/performance.md.
 */
const DEFAULT_LEVEL = 4;

/** https://github.com/ebiggers/libdeflate/blob/master/libdeflate.h: enum libdeflate_result */
const SUCCESS = 0;
const INSUFFICIENT_SPACE = 3;

/** libdeflate of this system (Debian: libdeflate0), twice to four times the speed of zlib for buffers. */
export const libdeflate: () => Promise<Libdeflate | undefined> = once(async () => {
	const library = await systemLibrary("libdeflate.so.0", "libdeflate.so.1", "libdeflate.dylib");
	return library === undefined ? undefined : bind(library);
});

function bind(library: NativeLibrary): Libdeflate {
	const newDecompressor = library.func("void *libdeflate_alloc_decompressor()");
	const newCompressor = library.func("void *libdeflate_alloc_compressor(int level)");
	const functions = (format: Format) => ({
		decompress: library.func(
			`int libdeflate_${format}_decompress_ex(void *d, const void *in, size_t in_nbytes, void *out, size_t out_nbytes_avail, void *actual_in_nbytes, void *actual_out_nbytes)`,
		),
		compress: library.func(
			`size_t libdeflate_${format}_compress(void *c, const void *in, size_t in_nbytes, void *out, size_t out_nbytes_avail)`,
		),
		bound: library.func(`size_t libdeflate_${format}_compress_bound(void *c, size_t in_nbytes)`),
	});
	const by = { deflate: functions("deflate"), zlib: functions("zlib") };
	const decompressors = new Pool(THREADS, () => pointer(newDecompressor()));
	const compressors = new Map<number, Pool<bigint>>();
	const direct = (format: Format): Direct => {
		const { decompress, compress } = by[format];
		const decompressor = pointer(newDecompressor());
		const ofLevel = new Map<number, bigint>();
		const taken = new BigUint64Array(1);
		const made = new BigUint64Array(1);
		return {
			encode({ input, output }, asked) {
				const level = levelFor(input, asked, DEFAULT_LEVEL);
				const compressor = ofLevel.get(level) ?? pointer(newCompressor(level));
				ofLevel.set(level, compressor);
				return Number(compress(compressor, input, input.length, output, output.length)) || FAILED;
			},
			decode({ input, output }) {
				const result = decompress(decompressor, input, input.length, output, output.length, taken, made);
				return result === SUCCESS ? Number(made[0]) : FAILED;
			},
		};
	};
	const directly = new Map<Format, Direct>();

	return {
		direct(format) {
			const known = directly.get(format) ?? direct(format);
			directly.set(format, known);
			return known;
		},
		async decode(format, input, options) {
			const output = outputFor(options);
			const taken = new BigUint64Array(1);
			const made = new BigUint64Array(1);
			const result = await decompressors.use((decompressor) =>
				by[format].decompress.inBackground([decompressor, input, input.length, output, output.length, taken, made]),
			);
			if (result === INSUFFICIENT_SPACE) throw tooLong(format, options);
			if (result !== SUCCESS) throw broken(format, placeOf(options), "it is corrupt or ends too early");
			return { bytes: outputOf(output, Number(made[0]), options), consumed: Number(taken[0]) };
		},
		async encode(format, input, asked) {
			const level = levelFor(input, asked, DEFAULT_LEVEL);
			let pool = compressors.get(level);
			if (pool === undefined) {
				pool = new Pool(THREADS, () => pointer(newCompressor(level)));
				compressors.set(level, pool);
			}
			return pool.use(async (compressor) => {
				const output = new Uint8Array(Number(by[format].bound(compressor, input.length)));
				const length = await by[format].compress.inBackground([compressor, input, input.length, output, output.length]);
				return trimmed(output, Number(length));
			});
		},
	};
}
