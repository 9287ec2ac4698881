import { onNode } from "../platform.js";
import { flags64, struct, u8, u32 } from "../struct.js";
import { decoderOf } from "./engine.js";

/** https://github.com/tukaani-project/xz/blob/master/doc/lzma-file-format.txt */
export const LzmaHeader = struct("lzma header", "little", { properties: u8, dictionarySize: u32, size: flags64 });

/** The content then ends with a mark. */
export const UNKNOWN_SIZE = 0xffff_ffff_ffff_ffffn;

/** Whole powers of two and those with half as much again: what encoders use, and what liblzma asks for too. */
const isDictionarySize = (size: number) => {
	const power = 2 ** Math.floor(Math.log2(size));
	return size >= 4096 && (size === power || size === power * 1.5 || size === 0xffff_ffff);
};

/** Its magic is no more than a usual parameter: what follows has to make sense. */
function matches(head: Uint8Array): boolean {
	if (head.length < LzmaHeader.size || head[0] !== 0x5d) return false;
	const { dictionarySize, size } = LzmaHeader.parse(head);
	return isDictionarySize(dictionarySize) && (size === UNKNOWN_SIZE || size < 2n ** 38n);
}

/** One .lzma stream, the format before .xz. */
export const lzma = decoderOf(
	"lzma",
	matches,
	async () =>
		(onNode ? await (await import("./node/xz.js")).liblzmaEngine("lzma") : undefined) ??
		(await import("./portable/lzma.js")).lzmaEngine,
);
