import { raw } from "./raw/index.js";
import { diskFormats } from "./registry.js";

const SECTOR = 512;
/** Less is hardly a disk without a mark of one. */
const SMALLEST_RAW = 1 << 20;
const GPT_SIGNATURE = "EFI PART";

/**
 * How much a file looks like a disk image, for choosing one among the members of an archive: 3 bears the mark of a
 * format, 2 begins like a disk with partitions, 1 may be raw by its size, 0 is none.
 *
 * @param head the first 4096 bytes, or all of a smaller file
 * @param size in bytes
 */
export function diskLikeness(head: Uint8Array, size: number): number {
	if (diskFormats.some((format) => format !== raw && format.matches(head, new Uint8Array()))) return 3;
	if (size % SECTOR !== 0 || size === 0) return 0;
	const gpt = String.fromCharCode(...head.subarray(SECTOR, SECTOR + GPT_SIGNATURE.length));
	if (gpt === GPT_SIGNATURE || (head[SECTOR - 2] === 0x55 && head[SECTOR - 1] === 0xaa)) return 2;
	return size >= SMALLEST_RAW ? 1 : 0;
}
