import { concat } from "../concat.js";
import { type AnyvisorError, damaged } from "../errors.js";
import type { ByteSource } from "../source.js";
import type { Codec, CodecId, Decoded, DecodeOptions, StreamOptions } from "./codec.js";
import { marks } from "./mark.js";

export interface About {
	/** "libzstd 1.5.4 of this system" */
	readonly implementation: string;
	/** How to get a faster one. */
	readonly hint?: string;
}

/** The {@link Engine.about} of what is always the same. */
export const about =
	(implementation: string, hint?: string): Engine["about"] =>
	() =>
		Promise.resolve({ implementation, ...(hint !== undefined && { hint }) });

/** What does the work of a codec: a system library, Node, WebAssembly or JavaScript. */
export interface Engine {
	/** What it is, for `anyvisor doctor`; only to tell may load it. */
	readonly about: () => Promise<About>;
	/** As {@link Codec.stream}. */
	stream(source: ByteSource, at: number, options?: StreamOptions): AsyncGenerator<Uint8Array, number>;
	/**
	 * As {@link Codec.decode}, where there is a faster way than collecting {@link stream}: limits to 16 MiB only. It may
	 * leave `into` alone.
	 */
	decode?(input: Uint8Array, options: DecodeOptions): Promise<Decoded>;
}

/** An engine that compresses, too. `level` is the format's own scale, its usual default where absent. */
export interface EncodingEngine extends Engine {
	encode(input: Uint8Array, level?: number): Promise<Uint8Array>;
}

/** A codec as the registry has it: it can say who does its work. */
export interface RegisteredCodec<E extends Engine = Engine> extends Codec {
	engine(): Promise<E>;
}

/** A codec that always has {@link Codec.encode}. */
export type EncodingCodec = RegisteredCodec<EncodingEngine> & Required<Codec>;

/** Engines may allocate the whole limit at once; above this, memory follows what the data really holds. */
const LARGEST_BUFFER = 16 << 20;

/** A codec that only decodes. The engine is chosen when it is first needed. */
export function decoderOf(id: CodecId, choose: () => Promise<Engine>): RegisteredCodec {
	const engine = once(choose);
	return {
		id,
		matches: marks[id],
		engine,
		async decode(input, options) {
			const chosen = await engine();
			const small = options.limit <= LARGEST_BUFFER ? chosen.decode?.(input, options) : undefined;
			return placed(await (small ?? collect(chosen, id, input, options)), options.into);
		},
		async *stream(source, at, options) {
			return yield* (await engine()).stream(source, at, options);
		},
	};
}

/** The output in the array that was given for it, where an engine has made one of its own. */
function placed(decoded: Decoded, into: Uint8Array | undefined): Decoded {
	const { bytes, consumed } = decoded;
	if (into === undefined || bytes.buffer === into.buffer) return decoded;
	into.set(bytes);
	return { bytes: into.subarray(0, bytes.length), consumed };
}

/** A codec that decodes and encodes. */
export function codecOf(id: CodecId, choose: () => Promise<EncodingEngine>): EncodingCodec {
	const engine = once(choose);
	return {
		...decoderOf(id, engine),
		engine,
		encode: async (input, level) => (await engine()).encode(input, level),
	};
}

export function once<T>(make: () => Promise<T>): () => Promise<T> {
	let made: Promise<T> | undefined;
	return () => {
		made ??= make();
		return made;
	};
}

/** Decodes a buffer by collecting what the engine streams. */
export async function collect(
	engine: Pick<Engine, "stream">,
	id: CodecId,
	input: Uint8Array,
	options: DecodeOptions,
): Promise<Decoded> {
	const place = placeOf(options);
	const stream = engine.stream(inFile(input, place), place.offset);
	const pieces: Uint8Array[] = [];
	let length = 0;
	for (;;) {
		const step = await stream.next();
		if (step.done === true) return { bytes: concat(pieces), consumed: step.value - place.offset };
		length += step.value.length;
		if (length > options.limit) {
			await stream.return(0);
			throw tooLong(id, options);
		}
		pieces.push(step.value);
	}
}

/** `input` at the offset in the file that it was read from, so that errors name the place in the file. */
const inFile = (input: Uint8Array, { file, offset }: Place): ByteSource => ({
	name: file,
	size: offset + input.length,
	read(at, into) {
		into.set(input.subarray(at - offset, at - offset + into.length));
		return Promise.resolve();
	},
});

/** Buffers for one piece after the other: each a new one, or with `reuse` the same two in turn. */
export function pieceBuffers(length: number, { reuse = false }: StreamOptions = {}): () => Uint8Array {
	const kept: Uint8Array[] = [];
	return () => {
		const bytes = (kept.length === 2 ? kept.shift() : undefined) ?? new Uint8Array(length);
		if (reuse) kept.push(bytes);
		return bytes;
	};
}

/** Where a decoder's output goes: the array that the caller gave, or a new one of `limit` bytes. */
export const outputFor = ({ into, limit }: DecodeOptions): Uint8Array =>
	into?.subarray(0, limit) ?? new Uint8Array(limit);

/** The first `length` bytes of an {@link outputFor} these options. */
export const outputOf = (output: Uint8Array, length: number, { into }: DecodeOptions): Uint8Array =>
	into === undefined ? trimmed(output, length) : output.subarray(0, length);

/** The first `length` bytes of `output`, without keeping a much larger buffer alive for them. */
export const trimmed = (output: Uint8Array, length: number): Uint8Array =>
	length < output.length / 2 ? output.slice(0, length) : output.subarray(0, length);

/** Where a compressed stream begins. */
export interface Place {
	readonly file: string;
	readonly offset: number;
}

export const placeOf = ({ file = "compressed data", offset = 0 }: DecodeOptions): Place => ({ file, offset });

/** The error of every decoder. `reason` completes "… is damaged:". */
export function broken(id: CodecId, { file, offset }: Place, reason: string, cause?: unknown): AnyvisorError {
	return damaged(`${file}: the ${id} data at byte ${offset} is damaged: ${reason}`, {
		file,
		offset,
		hint: "Copy or download the file again and compare its checksum with the original's.",
		cause,
	});
}

export const truncated = (id: CodecId, place: Place): AnyvisorError => broken(id, place, "it ends too early");

export const tooLong = (id: CodecId, options: DecodeOptions): AnyvisorError =>
	broken(id, placeOf(options), `it holds more than the ${options.limit} bytes that belong there`);
