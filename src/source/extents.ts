import { type NativeFunction, type NativeLibrary, processLibrary } from "../bytes/codec/node/native.js";
import type { DataExtent } from "../bytes/holes.js";

/** lseek(2): the numbers and the errno are the same on Linux and FreeBSD; macOS has the two the other way round. */
const [SEEK_DATA, SEEK_HOLE] = process.platform === "darwin" ? [4, 3] : [3, 4];
/** No data at or after the offset. */
const ENXIO = 6;

interface Seek {
	readonly library: NativeLibrary;
	readonly lseek: NativeFunction;
}

let seeking: Promise<Seek | undefined> | undefined;

async function loadSeek(): Promise<Seek | undefined> {
	const library = process.platform === "win32" ? undefined : await processLibrary();
	return library && { library, lseek: library.func("int64_t lseek(int fd, int64_t offset, int whence)") };
}

/**
 * Where an open file of `size` bytes has data and where it has holes. Without koffi, or on a file system that does not
 * know holes, all of it is data.
 */
export async function* dataExtents(fd: number, size: number): AsyncGenerator<DataExtent> {
	seeking ??= loadSeek();
	const seek = await seeking;
	for (let at = 0; at < size; ) {
		const data = seek === undefined ? at : nextData(seek, fd, at, size);
		if (data > at) yield { at, length: data - at, kind: "zero" };
		if (data === size) return;
		const hole = seek === undefined ? size : Number(seek.lseek(fd, data, SEEK_HOLE));
		// Not a later offset: an error, or a file that changes under our hands. Data is always a true answer.
		const end = hole > data && hole < size ? hole : size;
		yield { at: data, length: end - data, kind: "data" };
		at = end;
	}
}

function nextData({ library, lseek }: Seek, fd: number, at: number, size: number): number {
	const data = Number(lseek(fd, at, SEEK_DATA));
	if (data < 0) return library.errno() === ENXIO ? size : at;
	return Math.min(Math.max(data, at), size);
}
