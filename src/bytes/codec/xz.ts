import { onNode } from "../platform.js";
import { decoderOf } from "./engine.js";

/** One .xz stream, without the padding that may follow it. */
export const xz = decoderOf(
	"xz",
	async () =>
		(onNode ? await (await import("./node/xz.js")).liblzmaEngine("xz") : undefined) ??
		(await import("./portable/xz.js")).xzEngine,
);
