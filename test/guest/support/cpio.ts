import { CpioHeader, cpioTrailer } from "../../../src/guest/initramfs/cpio.js";

export interface Entry {
	readonly name: string;
	/** Regular file, unless said otherwise. */
	readonly mode?: number;
	readonly contents?: string | Uint8Array;
	readonly ino?: number;
	readonly nlink?: number;
	readonly magic?: string;
	readonly check?: number;
}

export const folder = (name: string): Entry => ({ name, mode: 0o040755 });
export const link = (name: string, target: string): Entry => ({ name, mode: 0o120777, contents: target });

/** A "newc" archive, trailer included. */
export function archive(entries: readonly Entry[]): Uint8Array {
	return concat([...entries, { name: cpioTrailer, mode: 0 }].map(record));
}

function record({ name, mode = 0o100644, contents = "", ino = 0, nlink = 1, magic = "070701", check = 0 }: Entry) {
	const encoded = new TextEncoder().encode(`${name}\0`);
	const data = typeof contents === "string" ? new TextEncoder().encode(contents) : contents;
	const header = CpioHeader.build({
		magic,
		ino,
		mode,
		uid: 0,
		gid: 0,
		nlink,
		mtime: 0,
		filesize: data.length,
		major: 0,
		minor: 0,
		rmajor: 0,
		rminor: 0,
		namesize: encoded.length,
		check,
	});
	return concat([padded(concat([header, encoded])), padded(data)]);
}

const padded = (bytes: Uint8Array) => concat([bytes, new Uint8Array(-bytes.length & 3)]);

export function concat(parts: readonly Uint8Array[]): Uint8Array {
	const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
	let at = 0;
	for (const part of parts) {
		whole.set(part, at);
		at += part.length;
	}
	return whole;
}
