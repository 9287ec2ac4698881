import { onNode } from "../platform.js";
import { decoderOf } from "./engine.js";
import { LzmaHeader, lzmaEngine, UNKNOWN_SIZE } from "./portable/lzma.js";

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
	async () => (onNode ? await (await import("./node/xz.js")).liblzmaEngine("lzma") : undefined) ?? lzmaEngine,
);
