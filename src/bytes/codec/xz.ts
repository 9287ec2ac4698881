import { onNode } from "../platform.js";
import { decoderOf } from "./engine.js";

/** https://tukaani.org/xz/xz-file-format.txt section 2.1.1.1 */
const HEADER_MAGIC = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] as const;

/** One .xz stream, without the padding that may follow it. */
export const xz = decoderOf(
	"xz",
	(head) => HEADER_MAGIC.every((byte, i) => head[i] === byte),
	async () =>
		(onNode ? await (await import("./node/xz.js")).liblzmaEngine("xz") : undefined) ??
		(await import("./portable/xz.js")).xzEngine,
);
