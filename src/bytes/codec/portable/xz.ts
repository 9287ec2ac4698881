import xzDecompress from "xz-decompress";
import { type ByteSource, readUpTo } from "../../source.js";
import { about, broken, type Engine } from "../engine.js";
import { xzLength } from "./xz-length.js";

const PIECE = 64 << 10;

/** XZ in WebAssembly, for browsers. It cannot tell where a stream ends, so the end is looked for first. */
export const xzEngine: Engine = {
	about: about(
		"xz-decompress (WebAssembly)",
		"Install liblzma (Debian and Ubuntu: apt-get install liblzma5) and keep the npm package koffi, for a third more speed.",
	),
	async *stream(source, at) {
		const end = at + (await xzLength(source, at));
		const output = new xzDecompress.XzReadableStream(pieces(source, at, end)).getReader();
		try {
			for (;;) {
				const { done, value } = await decoding(output.read(), source, at);
				if (done) return end;
				if (value.length > 0) yield value;
			}
		} finally {
			// Once it has failed it cannot be cancelled, and need not be.
			await output.cancel().catch(() => undefined);
		}
	},
};

function pieces(source: ByteSource, at: number, end: number): ReadableStream<Uint8Array> {
	let next = at;
	return new ReadableStream({
		async pull(controller) {
			const piece = await readUpTo(source, next, Math.min(PIECE, end - next));
			next += piece.length;
			if (piece.length > 0) controller.enqueue(piece);
			else controller.close();
		},
	});
}

async function decoding<T>(result: Promise<T>, source: ByteSource, at: number): Promise<T> {
	try {
		return await result;
	} catch (error) {
		throw broken("xz", { file: source.name, offset: at }, "it is corrupt, or uses a filter that is not known", error);
	}
}
