import { adler32 } from "../checksum/index.js";
import { unsupported } from "../errors.js";
import { onNode } from "../platform.js";
import { struct, u8, u32 } from "../struct.js";
import { deflate } from "./deflate.js";
import { broken, codecOf } from "./engine.js";
import { type Wrapper, wrapped } from "./wrapper.js";

/** https://www.rfc-editor.org/rfc/rfc1950#section-2.2 */
const ZlibHeader = struct("zlib header", "big", { cmf: u8, flg: u8 });
const ZlibTrailer = struct("zlib trailer", "big", { adler32: u32 });

const DEFLATE_32K = 0x78;
const FDICT = 0x20;

const wrapper: Wrapper = {
	id: "zlib",
	longestHeader: ZlibHeader.size,
	headerLength(bytes, place) {
		const { cmf, flg } = ZlibHeader.parse(bytes, 0, place.file, place.offset);
		if ((cmf & 0x0f) !== 8 || cmf > DEFLATE_32K || (cmf * 256 + flg) % 31 !== 0) {
			throw broken("zlib", place, "it does not begin with a zlib header");
		}
		if ((flg & FDICT) !== 0) {
			throw unsupported(`${place.file}: the zlib data at byte ${place.offset} needs a preset dictionary`, {
				file: place.file,
				offset: place.offset,
			});
		}
		return ZlibHeader.size;
	},
	sum: adler32,
	emptySum: 1,
	trailer: (sum) => ZlibTrailer.build({ adler32: sum }),
	// The check bits make the two bytes a multiple of 31; the level they also state is a hint that nobody reads.
	header: () => ZlibHeader.build({ cmf: DEFLATE_32K, flg: 0x9c }),
};

/** zlib streams (RFC 1950): VMDK grains. Two bytes are too few to recognise them by. */
export const zlib = codecOf("zlib", async () => {
	const portable = wrapped(wrapper, await deflate.engine());
	return onNode ? (await import("./node/deflate.js")).zlibEngine(portable) : portable;
});
