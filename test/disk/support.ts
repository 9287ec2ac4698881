import { type FileHandle, open } from "node:fs/promises";
import path from "node:path";
import { notFound } from "../../src/bytes/errors.js";
import type { ByteSink } from "../../src/bytes/sink.js";
import { type ByteSource, checkRange } from "../../src/bytes/source.js";
import type { Disk, Extent, Neighbours } from "../../src/disk/disk.js";
import { confinedNeighbours } from "../../src/disk/neighbours.js";
import { openDisk } from "../../src/disk/registry.js";

const openFiles = new Set<FileHandle>();

/** How many test files are open: a reader that forgets one shows here. */
export const openFileCount = () => openFiles.size;

export async function fileSource(file: string): Promise<ByteSource> {
	const handle = await open(file).catch((error: unknown) => {
		throw notFound(`${file} cannot be opened`, { file, cause: error });
	});
	openFiles.add(handle);
	const { size } = await handle.stat();
	return {
		name: path.basename(file),
		size,
		async read(at, into) {
			checkRange({ name: file, size }, at, into.length);
			for (let done = 0; done < into.length; ) {
				const { bytesRead } = await handle.read(into, done, into.length - done, at + done);
				if (bytesRead === 0) throw new Error(`${file} shrank`);
				done += bytesRead;
			}
		},
		async [Symbol.asyncDispose]() {
			openFiles.delete(handle);
			await handle.close();
		},
	};
}

export async function fileSink(file: string): Promise<ByteSink> {
	const handle = await open(file, "w");
	return {
		name: path.basename(file),
		async write(at, bytes) {
			await handle.write(bytes, 0, bytes.length, at);
		},
		commit: (size) => handle.truncate(size),
		[Symbol.asyncDispose]: () => handle.close(),
	};
}

export const neighboursOf = (file: string): Neighbours =>
	confinedNeighbours((name) => fileSource(path.join(path.dirname(file), name)));

/** Runs `use` on the image in `file` and closes what was opened for it. */
export async function withDisk<T>(file: string, use: (disk: Disk) => Promise<T>, format?: string): Promise<T> {
	const source = await fileSource(file);
	try {
		const disk = await openDisk(source, { format, neighbours: neighboursOf(file) });
		try {
			return await use(disk);
		} finally {
			await disk[Symbol.asyncDispose]?.();
		}
	} finally {
		await source[Symbol.asyncDispose]?.();
	}
}

export async function readAll(disk: Disk): Promise<Uint8Array> {
	const bytes = new Uint8Array(disk.size);
	await disk.read(0, bytes);
	return bytes;
}

export async function listExtents(disk: Disk): Promise<Extent[]> {
	const extents: Extent[] = [];
	for await (const extent of disk.extents()) extents.push(extent);
	return extents;
}
