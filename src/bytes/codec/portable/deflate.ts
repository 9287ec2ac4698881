import { deflateRaw, Z_BUF_ERROR, Z_NO_FLUSH, Z_OK, Z_STREAM_END, ZStream, zlibInflate, zlibInflateInit2 } from "pako";
import { readUpTo } from "../../source.js";
import { about, broken, type EncodingEngine, truncated } from "../engine.js";

const PIECE = 64 << 10;
/** zlib's way to ask for raw DEFLATE with a 32 KiB window. */
const RAW = -15;

/** DEFLATE in JavaScript, for browsers. */
export const deflateEngine: EncodingEngine = {
	about: about("pako (JavaScript)"),
	async *stream(source, at) {
		const place = { file: source.name, offset: at };
		const state = new ZStream();
		zlibInflateInit2(state, RAW);
		for (let next = at; ; ) {
			const piece = await readUpTo(source, next, PIECE);
			if (piece.length === 0) throw truncated("deflate", place);
			next += piece.length;
			state.input = piece;
			state.next_in = 0;
			state.avail_in = piece.length;
			do {
				state.output = new Uint8Array(PIECE);
				state.next_out = 0;
				state.avail_out = PIECE;
				const status = zlibInflate(state, Z_NO_FLUSH);
				if (status !== Z_OK && status !== Z_STREAM_END && status !== Z_BUF_ERROR) {
					throw broken("deflate", place, state.msg);
				}
				if (state.next_out > 0) yield state.output.subarray(0, state.next_out);
				if (status === Z_STREAM_END) return next - state.avail_in;
			} while (state.avail_out === 0);
		}
	},
	encode: (input, level = 6) => Promise.resolve(deflateRaw(input, { level: clampLevel(level) })),
};

/** zlib's levels are 0 to 9; libdeflate's reach 12. */
export const clampLevel = (level: number) => Math.min(level, 9) as 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9;
