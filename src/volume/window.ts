import { type ByteSource, checkRange, slice } from "../bytes/source.js";

/**
 * The bytes of partition `number`, named like `disk.qcow2:p3`. Where the disk was cut short, the partition keeps the
 * size that its table gives, and reading what is not there says so.
 */
export function volumeSource(disk: ByteSource, number: number, at: number, size: number): ByteSource {
	const name = `${disk.name}:p${number}`;
	if (at + size <= disk.size) return slice(disk, at, size, name);
	const source = {
		name,
		size,
		async read(offset: number, into: Uint8Array) {
			checkRange(source, offset, into.length);
			await disk.read(at + offset, into);
		},
	};
	return source;
}
