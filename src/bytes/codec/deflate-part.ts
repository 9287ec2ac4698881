import { onNode } from "../platform.js";

/**
 * Compresses a part of a DEFLATE stream, on a thread where there are threads. Parts that are made side by side make one
 * stream: each ends on a byte, refers to nothing before it, and is not the end ({@link DEFLATE_END}).
 */
export const deflatePart = async (input: Uint8Array, level = 6): Promise<Uint8Array> => {
	const { deflatePart: compress } = onNode
		? await import("./node/deflate-part.js")
		: await import("./portable/deflate-part.js");
	return compress(input, level);
};

/** An empty block that is the last: https://www.rfc-editor.org/rfc/rfc1951#section-3.2.3 */
export const DEFLATE_END = Uint8Array.of(0x03, 0x00);
