import { onNode } from "../platform.js";
import { flags64, struct, u8, u32 } from "../struct.js";
import { decoderOf } from "./engine.js";

/** https://github.com/tukaani-project/xz/blob/master/doc/lzma-file-format.txt */
export const LzmaHeader = struct("lzma header", "little", { properties: u8, dictionarySize: u32, size: flags64 });

/** One .lzma stream, the format before .xz. */
export const lzma = decoderOf(
	"lzma",
	async () =>
		(onNode ? await (await import("./node/xz.js")).liblzmaEngine("lzma") : undefined) ??
		(await import("./portable/lzma.js")).lzmaEngine,
);
