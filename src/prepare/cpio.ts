/** A regular file or a directory for an initramfs. */
export interface CpioEntry {
	/** Without a leading slash. */
	readonly name: string;
	/** Absent for a directory. */
	readonly contents?: Uint8Array;
}

const trailer = "TRAILER!!!";
const directory = 0o40755;
const file = 0o100644;

/**
 * A cpio archive in the `newc` form, owned by root, all times zero so that the same input gives the same bytes.
 * https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
 */
export function cpio(entries: readonly CpioEntry[]): Uint8Array {
	const parts: Uint8Array[] = [];
	let size = 0;
	const push = (bytes: Uint8Array) => {
		const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
		padded.set(bytes);
		parts.push(padded);
		size += padded.length;
	};
	const add = (name: string, inode: number, mode: number, contents: Uint8Array) => {
		const nameBytes = new TextEncoder().encode(`${name}\0`);
		const fields = [inode, mode, 0, 0, 1, 0, contents.length, 0, 0, 0, 0, nameBytes.length, 0];
		const header = `070701${fields.map((value) => value.toString(16).toUpperCase().padStart(8, "0")).join("")}`;
		const head = new Uint8Array(header.length + nameBytes.length);
		head.set(new TextEncoder().encode(header));
		head.set(nameBytes, header.length);
		push(head);
		push(contents);
	};

	const none = new Uint8Array(0);
	entries.forEach(({ name, contents }, i) => add(name, i + 1, contents ? file : directory, contents ?? none));
	add(trailer, 0, 0, none);

	const archive = new Uint8Array(size);
	let at = 0;
	for (const part of parts) {
		archive.set(part, at);
		at += part.length;
	}
	return archive;
}
