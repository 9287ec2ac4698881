import { onNode } from "../platform.js";
import { decoderOf } from "./engine.js";

/** One .lzma stream, the format before .xz. */
export const lzma = decoderOf(
	"lzma",
	async () =>
		(onNode ? await (await import("./node/xz.js")).liblzmaEngine("lzma") : undefined) ??
		(await import("./portable/lzma.js")).lzmaEngine,
);
