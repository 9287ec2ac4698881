import { refused, unsupported } from "../../errors.js";
import { readInto } from "../../source.js";
import { array, flags64, struct, u32, u64, viewOf } from "../../struct.js";
import { about, broken, type Engine, type Place, pieceBuffers, truncated } from "../engine.js";
import { type NativeLibrary, systemLibrary } from "./native.js";

/** lzma_stream of https://github.com/tukaani-project/xz/blob/master/src/liblzma/api/lzma/base.h on a 64-bit machine. */
const LzmaStream = struct("lzma_stream", "little", {
	next_in: flags64,
	avail_in: u64,
	total_in: u64,
	next_out: flags64,
	avail_out: u64,
	total_out: u64,
	allocator: flags64,
	internal: flags64,
	reserved_ptr: array(flags64, 4),
	reserved_int: array(u64, 4),
	reserved_enum: array(u32, 2),
});

const LZMA_RUN = 0;
const LZMA_OK = 0;
const LZMA_STREAM_END = 1;
const LZMA_MEMLIMIT_ERROR = 6;
const LZMA_OPTIONS_ERROR = 8;
/** No progress is possible: there is no input left. */
const LZMA_BUF_ERROR = 10;

/** "xz -9" needs 65 MiB. */
const MEMORY_LIMIT = 256 << 20;
const INPUT_PIECE = 128 << 10;
const OUTPUT_PIECE = 1 << 20;

type Format = "xz" | "lzma";

/** liblzma of this system, on libuv's threads; undefined where there is none. */
export async function liblzmaEngine(format: Format): Promise<Engine | undefined> {
	const library = await systemLibrary("liblzma.so.5", "liblzma.5.dylib", "liblzma.dll");
	return library === undefined ? undefined : bind(library, format);
}

function bind(library: NativeLibrary, format: Format): Engine {
	const version = library.func("const char *lzma_version_string()");
	const starts: Record<Format, (state: Uint8Array) => unknown> = {
		xz: (state) =>
			library.func("int lzma_stream_decoder(void *strm, uint64_t memlimit, uint32_t flags)")(state, MEMORY_LIMIT, 0),
		lzma: (state) => library.func("int lzma_alone_decoder(void *strm, uint64_t memlimit)")(state, MEMORY_LIMIT),
	};
	const start = starts[format];
	const code = library.func("int lzma_code(void *strm, int action)");
	const end = library.func("void lzma_end(void *strm)");

	return {
		about: about(`liblzma ${String(version())} of this system`),
		async *stream(source, at, options) {
			const input = new Uint8Array(INPUT_PIECE);
			const output = pieceBuffers(OUTPUT_PIECE, options);
			let bytes: Uint8Array | undefined;
			const place = { file: source.name, offset: at };
			const state = LzmaStream.build({});
			if (start(state) !== LZMA_OK) throw new RangeError("liblzma is out of memory");
			try {
				for (let next = at; ; ) {
					const piece = await readInto(source, next, input);
					if (piece.length === 0) throw truncated(format, place);
					next += piece.length;
					point(state, LzmaStream.offsets.next_in, library.address(piece), piece.length);
					for (;;) {
						bytes ??= output();
						point(state, LzmaStream.offsets.next_out, library.address(bytes), bytes.length);
						const result = Number(await code.inBackground([state, LZMA_RUN], [piece, bytes]));
						const { avail_out, total_in } = LzmaStream.parse(state);
						if (avail_out < OUTPUT_PIECE) {
							yield bytes.subarray(0, OUTPUT_PIECE - avail_out);
							bytes = undefined;
						}
						if (result === LZMA_STREAM_END) return at + total_in;
						if (result !== LZMA_OK && result !== LZMA_BUF_ERROR) throw failure(result, format, place);
						if (avail_out > 0) break;
					}
				}
			} finally {
				end(state);
			}
		},
	};
}

/** Sets a pointer of the state and the length that goes with it. */
function point(state: Uint8Array, at: number, address: bigint, length: number): void {
	const view = viewOf(state);
	view.setBigUint64(at, address, true);
	view.setBigUint64(at + 8, BigInt(length), true);
}

function failure(result: number, format: Format, place: Place): Error {
	const { file, offset } = place;
	if (result === LZMA_MEMLIMIT_ERROR) {
		return refused(
			`${file}: the ${format} data at byte ${offset} needs more than ${MEMORY_LIMIT} bytes of memory`,
			place,
		);
	}
	if (result === LZMA_OPTIONS_ERROR) {
		return unsupported(`${file}: the ${format} data at byte ${offset} uses a filter that liblzma does not know`, place);
	}
	return broken(format, place, "it is corrupt");
}
