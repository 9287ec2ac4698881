import { markedCodec } from "../bytes/codec/mark.js";
import { isTar } from "./tar-header.js";

/** Of a local file header, and of the end record of an archive without files. */
const ZIP_SIGNATURES = [
	[0x50, 0x4b, 3, 4],
	[0x50, 0x4b, 5, 6],
];

/** True when `head` begins with a zip archive. */
export const isZip = (head: Uint8Array): boolean =>
	ZIP_SIGNATURES.some((signature) => signature.every((byte, i) => head[i] === byte));

/** True when `head` (512 bytes or more) begins with an archive, or a compressed file. */
export const isContainer = (head: Uint8Array): boolean => markedCodec(head) !== undefined || isZip(head) || isTar(head);
