import { AnyvisorError, damaged } from "../bytes/errors.js";
import { bytes, type Field, struct, text, type Value } from "../bytes/struct.js";

/** Tar's unit, in bytes: a header is one block, contents are filled up to whole ones. */
export const TAR_BLOCK = 512;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** UTF-8 text, ended by NUL where shorter. */
function utf8(length: number): Field<string> {
	const raw = bytes(length);
	return {
		size: length,
		get: (view, at, little) => untilNul(raw.get(view, at, little)),
		set: (view, at, value, little) => raw.set(view, at, encoder.encode(value), little),
	};
}

/** The UTF-8 text before the first NUL. */
export function untilNul(all: Uint8Array): string {
	const end = all.indexOf(0);
	return decoder.decode(end < 0 ? all : all.subarray(0, end));
}

/** GNU's mark of a number in base 256. */
const BASE_256 = 0x80;

/**
 * A number in octal digits, ended by NUL or space. One that does not fit is big-endian behind a byte 0x80:
 * https://www.gnu.org/software/tar/manual/html_node/Extensions.html
 */
export function number(length: number): Field<number> {
	const digits = text(length);
	return {
		size: length,
		get(view, at, little) {
			if (view.getUint8(at) !== BASE_256) return Number.parseInt(digits.get(view, at, little).trim() || "0", 8) || 0;
			let value = 0;
			for (let i = 1; i < length; i++) value = value * 256 + view.getUint8(at + i);
			if (!Number.isSafeInteger(value)) throw damaged("it holds a number larger than any real size");
			return value;
		},
		set(view, at, value, little) {
			const octal = value.toString(8).padStart(length - 1, "0");
			if (octal.length < length) return digits.set(view, at, octal, little);
			for (let i = length - 1, rest = value; i > 0; i--, rest = Math.floor(rest / 256)) {
				view.setUint8(at + i, rest % 256);
			}
			view.setUint8(at, BASE_256);
		},
	};
}

/** https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html#tag_20_92_13_06 */
export const TarHeader = struct("tar header", "big", {
	name: utf8(100),
	mode: number(8),
	uid: number(8),
	gid: number(8),
	size: number(12),
	mtime: number(12),
	chksum: number(8),
	typeflag: text(1),
	linkname: utf8(100),
	magic: text(6),
	version: text(2),
	uname: utf8(32),
	gname: utf8(32),
	devmajor: number(8),
	devminor: number(8),
	prefix: utf8(155),
	padding: bytes(12),
});

export type TarHeaderFields = Value<typeof TarHeader>;

/** The sum of the header's bytes with the checksum field taken as spaces. */
function checksum(header: Uint8Array): number {
	let sum = 0;
	for (const byte of header) sum += byte;
	const at = TarHeader.offsets.chksum;
	for (const byte of header.subarray(at, at + 8)) sum += 0x20 - byte;
	return sum;
}

/** True when `head` (512 bytes or more) begins with the header of a tar archive: its checksum is right. */
export function isTar(head: Uint8Array): boolean {
	if (head.length < TAR_BLOCK || head[0] === 0) return false;
	const header = head.subarray(0, TAR_BLOCK);
	const stated = header.subarray(TarHeader.offsets.chksum, TarHeader.offsets.typeflag);
	// A checksum is always written in digits; a sum of nothing would agree with many a file.
	return (
		/^ *[0-7]+[ \0]/.test(String.fromCharCode(...stated)) &&
		TarHeader.parse(stateOnly(header)).chksum === checksum(header)
	);
}

/** The header with nothing but its checksum, so that no other field of what may not be a tar can be an error. */
function stateOnly(header: Uint8Array): Uint8Array {
	const at = TarHeader.offsets.chksum;
	const only = new Uint8Array(TAR_BLOCK);
	only.set(header.subarray(at, at + 8), at);
	return only;
}

/**
 * Builds the ustar header of a plain file.
 *
 * @param name at most 100 bytes of UTF-8, or 255 with a "/" where it can be cut; a longer one is a `usage` error
 * @param size of the content in bytes; above 8 GiB the header becomes GNU's, which every reader of today knows
 * @param mtime seconds since 1970
 */
export function tarHeader(name: string, size: number, mtime = 0): Uint8Array {
	const fields = { ...splitName(name), mode: 0o644, size, mtime, typeflag: "0", magic: "ustar", version: "00" };
	return withChecksum(TarHeader.build(fields));
}

/** `header` with its checksum put in. */
export function withChecksum(header: Uint8Array): Uint8Array {
	header.set(encoder.encode(`${checksum(header).toString(8).padStart(6, "0")}\0 `), TarHeader.offsets.chksum);
	return header;
}

function splitName(name: string): { name: string; prefix: string } {
	const fits = (part: string, length: number) => encoder.encode(part).length <= length;
	if (fits(name, 100)) return { name, prefix: "" };
	for (let cut = name.indexOf("/", 1); cut > 0; cut = name.indexOf("/", cut + 1)) {
		const [prefix, rest] = [name.slice(0, cut), name.slice(cut + 1)];
		if (rest !== "" && fits(prefix, 155) && fits(rest, 100)) return { name: rest, prefix };
	}
	throw new AnyvisorError("usage", `"${name}" is too long for a tar archive`, {
		file: name,
		hint: "Choose a name of 100 bytes at most.",
	});
}
