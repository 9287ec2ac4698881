import { crc32 } from "../checksum/index.js";
import { bytes, struct, u8, u16, u32 } from "../struct.js";
import { deflate } from "./deflate.js";
import { broken, codecOf, type Place, truncated } from "./engine.js";
import { CM_DEFLATE, GZIP_ID, marks } from "./mark.js";
import { type Wrapper, wrapped } from "./wrapper.js";

/** https://www.rfc-editor.org/rfc/rfc1952#section-2.3 */
const GzipHeader = struct("gzip header", "little", { id: bytes(2), cm: u8, flg: u8, mtime: u32, xfl: u8, os: u8 });
const GzipExtra = struct("gzip extra field", "little", { xlen: u16 });
const GzipTrailer = struct("gzip trailer", "little", { crc32: u32, isize: u32 });

const FHCRC = 0x02;
const FEXTRA = 0x04;
const FNAME = 0x08;
const FCOMMENT = 0x10;
const OS_UNKNOWN = 255;

function headerLength(head: Uint8Array, place: Place): number {
	if (!marks.gzip(head)) throw broken("gzip", place, "it does not begin with a gzip header");
	const { flg } = GzipHeader.parse(head, 0, place.file, place.offset);
	let length = GzipHeader.size;
	if ((flg & FEXTRA) !== 0) {
		length += GzipExtra.size + GzipExtra.parse(head, length, place.file, place.offset).xlen;
	}
	for (const flag of [FNAME, FCOMMENT]) {
		if ((flg & flag) === 0) continue;
		const end = head.indexOf(0, length);
		if (end < 0) throw truncated("gzip", place);
		length = end + 1;
	}
	return (flg & FHCRC) === 0 ? length : length + 2;
}

/** The header of a member of one's own. */
export const gzipHeader = (): Uint8Array =>
	GzipHeader.build({ id: Uint8Array.from(GZIP_ID), cm: CM_DEFLATE, os: OS_UNKNOWN });

/** What follows a member's DEFLATE stream: {@link crc32} and length of what was compressed. */
export const gzipTrailer = (sum: number, length: number): Uint8Array =>
	GzipTrailer.build({ crc32: sum, isize: length % 0x1_0000_0000 });

const wrapper: Wrapper = {
	id: "gzip",
	// Extra field, name and comment; no real name or comment is longer than a few KiB.
	longestHeader: 128 << 10,
	headerLength,
	sum: crc32,
	emptySum: 0,
	trailer: gzipTrailer,
	header: gzipHeader,
};

/** One gzip member (RFC 1952); what follows it is the caller's, who knows whether another member belongs to the file. */
export const gzip = codecOf("gzip", async () => wrapped(wrapper, await deflate.engine()));
