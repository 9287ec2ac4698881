import { constants, deflateRawSync, deflateSync, inflateRawSync, inflateSync } from "node:zlib";
import { type Direct, FAILED } from "../bulk.js";
import { levelFor } from "./level.js";
import type { Format } from "./libdeflate.js";

/** Within 1 % of the size of zlib's default of 6, in two thirds of the time. */
const ZLIB_LEVEL = 5;

export const zlibLevel = (input: Uint8Array, asked: number | undefined): number =>
	Math.min(levelFor(input, asked, ZLIB_LEVEL), constants.Z_BEST_COMPRESSION);

const deflaters = { deflate: deflateRawSync, zlib: deflateSync };
const inflaters = { deflate: inflateRawSync, zlib: inflateSync };

/** Smaller pieces would be joined by copying them. */
const inOnePiece = (output: Uint8Array) => Math.max(constants.Z_MIN_CHUNK, output.length);

/** Node's own zlib on the thread that calls it. */
export const zlibDirect = (format: Format): Direct => ({
	encode({ input, output }, asked) {
		const packed = deflaters[format](input, { level: zlibLevel(input, asked), chunkSize: inOnePiece(output) });
		if (packed.length > output.length) return FAILED;
		output.set(packed);
		return packed.length;
	},
	decode({ input, output }) {
		try {
			const bytes = inflaters[format](input, {
				// zlib wants a limit of 1 at least; what exceeds an output of 0 does not fit into it.
				maxOutputLength: Math.max(1, output.length),
				chunkSize: inOnePiece(output),
			});
			output.set(bytes);
			return bytes.length;
		} catch {
			return FAILED;
		}
	},
});
