import { open } from "node:fs/promises";
import path from "node:path";
import type { ByteSink } from "../../src/bytes/sink.js";
import type { ByteSource } from "../../src/bytes/source.js";
import type { Disk, Extent, Neighbours } from "../../src/disk/disk.js";
import { confinedNeighbours } from "../../src/disk/neighbours.js";
import { openDisk } from "../../src/disk/registry.js";
import { openFile } from "../../src/source/file.js";
import { folderNeighbours } from "../../src/source/neighbours.js";

let openFiles = 0;

/** How many test files are open: a reader that forgets one shows here. */
export const openFileCount = () => openFiles;

function counted(source: ByteSource): ByteSource {
	openFiles++;
	return {
		...source,
		async [Symbol.asyncDispose]() {
			openFiles--;
			await source[Symbol.asyncDispose]?.();
		},
	};
}

const fileSource = async (file: string): Promise<ByteSource> => counted(await openFile(file));

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

const neighboursOf = (file: string): Neighbours => {
	const open = folderNeighbours(path.dirname(file));
	return confinedNeighbours(async (name) => counted(await open(name)));
};

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
