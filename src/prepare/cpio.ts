import { CpioHeader, cpioTrailer } from "../guest/initramfs/cpio.js";

/** A regular file or a directory for an initramfs. */
export interface CpioEntry {
	/** Without a leading slash. */
	readonly name: string;
	/** Absent for a directory. */
	readonly contents?: Uint8Array;
}

const directory = 0o40755;
const file = 0o100644;

/**
 * A cpio archive in the `newc` form, owned by root, all times zero so that the same input gives the same bytes. Its length
 * is a multiple of 4.
 * https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
 */
export function cpio(entries: readonly CpioEntry[]): Uint8Array {
	const records = [
		...entries.map(({ name, contents }, i) => record(name, i + 1, contents ? file : directory, contents)),
		record(cpioTrailer, 0, 0),
	].flat();
	const archive = new Uint8Array(records.reduce((sum, part) => sum + padded(part.length), 0));
	let at = 0;
	for (const part of records) {
		archive.set(part, at);
		at += padded(part.length);
	}
	return archive;
}

const padded = (length: number) => Math.ceil(length / 4) * 4;

/** Header with name, and contents: each is padded to a multiple of 4. */
function record(
	name: string,
	ino: number,
	mode: number,
	contents: Uint8Array = new Uint8Array(),
): [Uint8Array, Uint8Array] {
	const nameBytes = new TextEncoder().encode(`${name}\0`);
	const none = { uid: 0, gid: 0, mtime: 0, major: 0, minor: 0, rmajor: 0, rminor: 0, check: 0 };
	const sizes = { filesize: contents.length, namesize: nameBytes.length };
	const head = new Uint8Array(CpioHeader.size + nameBytes.length);
	head.set(CpioHeader.build({ magic: "070701", ino, mode, nlink: 1, ...none, ...sizes }));
	head.set(nameBytes, CpioHeader.size);
	return [head, contents];
}
