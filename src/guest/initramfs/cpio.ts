import { type AnyvisorError, damaged } from "../../bytes/errors.js";
import { type Field, struct, text } from "../../bytes/struct.js";
import type { ForwardReader } from "./reader.js";

/** Eight hexadecimal digits, either case. */
const hex8: Field<number> = {
	size: 8,
	get(view, at) {
		let value = 0;
		for (let i = 0; i < 8; i++) {
			const digit = hexDigit(view.getUint8(at + i));
			if (digit < 0) throw damaged(`the header field at +${at} is not a hexadecimal number`);
			value = value * 16 + digit;
		}
		return value;
	},
	set(view, at, value) {
		const digits = value.toString(16).toUpperCase().padStart(8, "0");
		for (let i = 0; i < 8; i++) view.setUint8(at + i, digits.charCodeAt(i));
	},
};

function hexDigit(char: number): number {
	if (char >= 0x30 && char <= 0x39) return char - 0x30;
	const letter = char | 0x20;
	return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/**
 * The "newc" header, and the "crc" one that differs in its magic.
 * https://www.kernel.org/doc/html/latest/driver-api/early-userspace/buffer-format.html
 */
export const CpioHeader = struct("cpio header", "big", {
	magic: text(6),
	ino: hex8,
	mode: hex8,
	uid: hex8,
	gid: hex8,
	nlink: hex8,
	mtime: hex8,
	filesize: hex8,
	major: hex8,
	minor: hex8,
	rmajor: hex8,
	rminor: hex8,
	/** With the NUL that ends the name. */
	namesize: hex8,
	/** Sum of the content's bytes in the "crc" format, else 0. */
	check: hex8,
});

export const cpioTrailer = "TRAILER!!!";

/** The kernel's PATH_MAX, for names and for targets of links. */
const longestName = 4096;

export interface CpioEntry {
	/** As stored. */
	readonly name: string;
	/** Type and permission bits. */
	readonly mode: number;
	readonly size: number;
	readonly nlink: number;
	/** Equal for the names of one file where `nlink` is 2 or more; an archive's trailer ends what is shared. */
	readonly inode: string;
	/** Of what was asked for, and of every symbolic link its target. */
	readonly contents?: Uint8Array;
}

export interface CpioOptions {
	/** For messages: the file, and where in it `reader` begins. */
	readonly file: string;
	readonly offset: number;
	/** Whether the contents of a regular file are wanted; they are skipped otherwise. */
	wants(name: string, size: number): boolean;
}

/**
 * Reads archives the way the kernel's unpacker does: entries and trailers alike end in padding to 4 bytes, any number
 * of zero bytes may follow, and archives may follow each other. Ends before a byte that begins neither. `TRAILER!!!` is
 * an entry like others.
 */
export async function* readCpio(reader: ForwardReader, options: CpioOptions): AsyncGenerator<CpioEntry, void> {
	const { file, offset } = options;
	const fail = (what: string, at: number): AnyvisorError =>
		damaged(`${file}: ${what} in the cpio archive at byte ${offset + at}`, {
			file,
			offset: offset + at,
			hint: "Have the guest write its initramfs anew (update-initramfs -u, dracut -f or mkinitcpio -P).",
		});

	for (;;) {
		if ((await reader.skipZeros()) !== 0x30) return;
		const at = reader.at;
		if (at % 4 !== 0) throw fail("a header is not aligned to 4 bytes", at);
		const bytes = await reader.take(CpioHeader.size);
		if (bytes.length < CpioHeader.size) throw fail("a header is cut off", at);
		const header = CpioHeader.parse(bytes, 0, file, offset + at);
		if (header.magic !== "070701" && header.magic !== "070702") throw fail(`"${header.magic}" begins no entry`, at);
		if (header.namesize === 0 || header.namesize > longestName) {
			throw fail(`a name of ${header.namesize} bytes`, at);
		}
		const rawName = await reader.take(header.namesize);
		if (rawName.at(-1) !== 0 || rawName.length < header.namesize) throw fail("a name without its end", at);
		const name = new TextDecoder().decode(rawName.subarray(0, rawName.indexOf(0)));

		const type = header.mode & fileTypeMask;
		const size = header.filesize;
		if (type === symbolicLink && size > longestName) throw fail(`a link to a path of ${size} bytes`, at);
		const wanted = type === symbolicLink || (type === regularFile && size > 0 && options.wants(name, size));
		await reader.skip(-reader.at & 3);
		let contents: Uint8Array | undefined;
		if (wanted) {
			contents = (await reader.take(size)).slice();
			if (contents.length < size) throw fail(`${name} is cut off`, at);
			// Links carry no sum.
			if (header.magic === "070702" && type === regularFile && sum(contents) !== header.check) {
				throw fail(`${name} has a bad checksum`, at);
			}
		} else if ((await reader.skip(size)) < size) throw fail(`${name} is cut off`, at);
		await reader.skip(-reader.at & 3);

		yield {
			name,
			mode: header.mode,
			size,
			nlink: header.nlink,
			inode: `${header.major}:${header.minor}:${header.ino}:${type}`,
			...(contents && { contents }),
		};
	}
}

export const fileTypeMask = 0o170000;
export const regularFile = 0o100000;
export const symbolicLink = 0o120000;
export const directory = 0o040000;

const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => (total + byte) >>> 0, 0);
