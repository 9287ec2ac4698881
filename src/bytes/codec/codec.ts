import type { ByteSource } from "../source.js";

export type CodecId = "deflate" | "zlib" | "gzip" | "zstd" | "xz" | "lzma" | "lzop" | "lz4" | "lz4-legacy" | "bzip2";

export interface Decoded {
	readonly bytes: Uint8Array;
	/** How many bytes of the input the compressed stream took; what follows them is not looked at. */
	readonly consumed: number;
}

export interface DecodeOptions {
	/** Most bytes the output may have; more is `damaged`. Callers always know a bound (cluster, grain, file). */
	readonly limit: number;
	/** An array of `limit` bytes: the output goes there, and the result's bytes are a view of it. */
	readonly into?: Uint8Array;
	/** For messages: the file and the offset in it where `input` begins. */
	readonly file?: string;
	readonly offset?: number;
}

export interface StreamOptions {
	/** A piece may be overwritten once the second one after it is asked for: fresh memory costs as much as decoding. */
	readonly reuse?: boolean;
}

/** One compression format. Broken input is a `damaged` error, never a hang and never more than `limit` bytes. */
export interface Codec {
	readonly id: CodecId;
	/** True when `head` (the first 16 bytes or more) begins a stream of this format; formats without a magic say false. */
	matches(head: Uint8Array): boolean;
	/** Decodes one whole stream that begins at `input[0]`; bytes after its end are ignored. */
	decode(input: Uint8Array, options: DecodeOptions): Promise<Decoded>;
	/**
	 * Decodes one stream that begins at `at` of `source` in bounded memory, whatever its size. Returns the offset of the
	 * first byte after the stream.
	 */
	stream(source: ByteSource, at: number, options?: StreamOptions): AsyncGenerator<Uint8Array, number>;
	/**
	 * Compresses; members only where Anyvisor writes the format. `level` is the format's own scale; left out, it is what
	 * makes about the size of the format's usual tool at its usual level.
	 */
	encode?(input: Uint8Array, level?: number): Promise<Uint8Array>;
}
