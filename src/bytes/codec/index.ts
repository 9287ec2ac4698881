import { bzip2 } from "./bzip2.js";
import type { Codec, CodecId } from "./codec.js";
import { deflate } from "./deflate.js";
import type { About, RegisteredCodec } from "./engine.js";
import { gzip } from "./gzip.js";
import { lz4 } from "./lz4.js";
import { lz4Legacy } from "./lz4-legacy.js";
import { lzma } from "./lzma.js";
import { lzop } from "./lzop.js";
import { markedCodec } from "./mark.js";
import { xz } from "./xz.js";
import { zlib } from "./zlib.js";
import { zstd } from "./zstd.js";

export type { Codec, CodecId, Decoded, DecodeOptions } from "./codec.js";

const codecs = {
	deflate,
	zlib,
	gzip,
	zstd,
	xz,
	lz4,
	"lz4-legacy": lz4Legacy,
	bzip2,
	lzop,
	lzma,
} satisfies Record<CodecId, RegisteredCodec>;

/** The codec of a format. Those that Anyvisor writes have `encode`, and their types say so. */
export const codec = <Id extends CodecId>(id: Id): (typeof codecs)[Id] => codecs[id];

/** The codec whose magic `head` (the first 16 bytes or more) begins with. DEFLATE and zlib have none. */
export function recogniseCodec(head: Uint8Array): Codec | undefined {
	const id = markedCodec(head);
	return id && codecs[id];
}

/** Who does a codec's work here. */
export interface CodecReport extends About {
	readonly codec: CodecId;
}

/** For `anyvisor doctor`: which implementation each codec has found. Loads all of them. */
export const codecReport = (): Promise<CodecReport[]> =>
	Promise.all(Object.values<RegisteredCodec>(codecs).map((codec) => report(codec)));

async function report(codec: RegisteredCodec): Promise<CodecReport> {
	const engine = await codec.engine();
	return { codec: codec.id, ...(await engine.about()) };
}
